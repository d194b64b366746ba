// SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause
//! Crypto-PAn: addresses with a common prefix of n bits become addresses with a common prefix of n
//! bits, and nothing else is kept (Xu, Fan, Ammar, Moon: Prefix-Preserving IP Address Anonymization,
//! ICNP 2002). Whoever has the key can undo it bit by bit.

use std::net::{IpAddr, Ipv4Addr, Ipv6Addr};

use aes::Aes128;
use aes::cipher::{BlockCipherEncrypt as _, KeyInit as _};
use rustc_hash::FxHashMap;

/// Addresses of which the result is kept at hand: those of a recording come again and again, and each
/// costs as many encryptions as it has bits.
const KEPT: usize = 1 << 16;

/// Octets of the key: the cipher's, and as many that make the pad.
pub(super) const KEY: usize = 32;

pub(super) struct CryptoPan {
    cipher: Aes128,
    pad: u128,
    kept: FxHashMap<IpAddr, IpAddr>,
}

impl std::fmt::Debug for CryptoPan {
    /// Without the key.
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("CryptoPan").finish_non_exhaustive()
    }
}

impl CryptoPan {
    pub fn new(key: &[u8; KEY]) -> Self {
        let (own, pad) = key.split_at(KEY / 2);
        let cipher = Aes128::new(own.try_into().expect("half of the key"));
        let mut block = <[u8; 16]>::try_from(pad).expect("half of the key").into();
        cipher.encrypt_block(&mut block);
        Self { cipher, pad: u128::from_be_bytes(block.into()), kept: FxHashMap::default() }
    }

    /// The replacement of an address. An IPv4-mapped address becomes the mapped form of the replaced
    /// IPv4 address. The unspecified address (`0.0.0.0`, `::`) stays; an address that the cipher maps to
    /// it gets the replacement of the unspecified one.
    pub fn address(&mut self, addr: IpAddr) -> IpAddr {
        if let IpAddr::V6(v6) = addr
            && let Some(v4) = v6.to_ipv4_mapped()
        {
            return match self.address(IpAddr::V4(v4)) {
                IpAddr::V4(v4) => IpAddr::V6(v4.to_ipv6_mapped()),
                v6 @ IpAddr::V6(_) => v6,
            };
        }
        if addr.is_unspecified() {
            return addr;
        }
        if let Some(known) = self.kept.get(&addr) {
            return *known;
        }
        let mut new = self.permuted(addr);
        if new.is_unspecified() {
            new = self.permuted(new);
        }
        if self.kept.len() == KEPT {
            self.kept.clear();
        }
        self.kept.insert(addr, new);
        new
    }

    /// As the paper has it.
    fn permuted(&self, addr: IpAddr) -> IpAddr {
        match addr {
            IpAddr::V4(v4) => {
                let bits = u128::from(u32::from(v4)) << 96;
                IpAddr::V4(Ipv4Addr::from((self.bits(bits, 32) >> 96) as u32))
            }
            IpAddr::V6(v6) => IpAddr::V6(Ipv6Addr::from(self.bits(u128::from(v6), 128))),
        }
    }

    /// Flips the first `width` bits: each one by the cipher of all bits before it.
    fn bits(&self, addr: u128, width: u32) -> u128 {
        let mut flips = 0;
        for i in 0..width {
            let before = if i == 0 { 0 } else { u128::MAX << (128 - i) };
            let input = addr & before | self.pad & !before;
            let mut block = input.to_be_bytes().into();
            self.cipher.encrypt_block(&mut block);
            flips |= u128::from(block[0] >> 7) << (127 - i);
        }
        addr ^ flips
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    /// The key and the sample of the reference implementation.
    const REFERENCE: [u8; KEY] = [
        21, 34, 23, 141, 51, 164, 207, 128, 19, 10, 91, 22, 73, 144, 125, 16, 216, 152, 143, 131,
        121, 121, 101, 39, 98, 87, 76, 45, 42, 132, 34, 2,
    ];

    #[test]
    fn agrees_with_the_published_vectors() {
        let mut pan = CryptoPan::new(&REFERENCE);
        for (addr, expected) in [
            ("128.11.68.132", "135.242.180.132"),
            ("129.118.74.4", "134.136.186.123"),
            ("130.132.252.244", "133.68.164.234"),
            ("141.223.7.43", "141.167.8.160"),
            ("141.233.145.108", "141.129.237.235"),
            ("152.163.225.39", "151.140.114.167"),
            ("156.29.3.236", "147.225.12.42"),
            ("64.34.154.117", "0.221.154.117"),
            ("64.39.15.238", "0.219.7.41"),
            ("::ffff:128.11.68.132", "::ffff:135.242.180.132"),
            ("::1", "78ff:f001:9fc0:20df:8380:b1f1:704:ed"),
            ("::2", "78ff:f001:9fc0:20df:8380:b1f1:704:ef"),
            ("::ffff", "78ff:f001:9fc0:20df:8380:b1f1:704:f838"),
            ("2001:db8::1", "4401:2bc:603f:d91d:27f:ff8e:e6f1:dc1e"),
            ("0.0.0.0", "0.0.0.0"),
            ("::", "::"),
        ] {
            let found = pan.address(addr.parse().unwrap());
            assert_eq!(found, expected.parse::<IpAddr>().unwrap(), "{addr}");
        }
    }

    proptest! {
        #[test]
        fn only_common_prefixes_of_addresses_are_kept(a: u32, b: u32, c: u128, d: u128) {
            let pan = CryptoPan::new(&REFERENCE);
            let v4 = |a: u32| match pan.permuted(IpAddr::V4(a.into())) {
                IpAddr::V4(a) => u32::from(a),
                IpAddr::V6(_) => unreachable!(),
            };
            let v6 = |a: u128| match pan.permuted(IpAddr::V6(a.into())) {
                IpAddr::V6(a) => u128::from(a),
                IpAddr::V4(_) => unreachable!(),
            };
            prop_assert_eq!((v4(a) ^ v4(b)).leading_zeros(), (a ^ b).leading_zeros());
            prop_assert_eq!((v6(c) ^ v6(d)).leading_zeros(), (c ^ d).leading_zeros());
        }
    }
}
