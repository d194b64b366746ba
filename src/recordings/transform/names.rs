// SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause
//! Replacements of names: the same for the same key. A replacement does not reveal the name.

use hmac::{Hmac, KeyInit, Mac as _};
use sha2::Sha256;

use super::cryptopan::KEY;

/// The kind of a name: equal texts of two kinds have different replacements.
#[derive(Clone, Copy, Debug)]
pub(super) enum Of {
    Host,
    Boot,
    Recording,
    Command,
    Cgroup,
    Interface,
    Namespace,
    Capture,
    User,
    Token,
    Mac,
}

pub(super) struct Names(Hmac<Sha256>);

impl std::fmt::Debug for Names {
    /// Without the key.
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str("Names")
    }
}

impl Names {
    pub fn new(key: &[u8; KEY]) -> Self {
        let mac = <Hmac<Sha256> as KeyInit>::new_from_slice(key);
        Self(mac.expect("a key of any length will do"))
    }

    fn digest(&self, of: Of, text: &[u8]) -> [u8; 32] {
        let mut mac = self.0.clone();
        // The cipher of the addresses never sees such an input.
        mac.update(format!("{of:?}\0").as_bytes());
        mac.update(text);
        mac.finalize().into_bytes().into()
    }

    /// Eight hexadecimal digits behind a word; nothing for nothing.
    pub fn name(&self, of: Of, word: &str, text: &str) -> String {
        if text.is_empty() {
            return String::new();
        }
        let d = self.digest(of, text.as_bytes());
        format!("{word}{:08x}", u32::from_be_bytes([d[0], d[1], d[2], d[3]]))
    }

    /// A UUID for a UUID.
    pub fn uuid(&self, of: Of, text: &str) -> String {
        if text.is_empty() {
            return String::new();
        }
        let bytes: [u8; 16] = self.digest(of, text.as_bytes())[..16].try_into().expect("16 of 32");
        uuid::Builder::from_custom_bytes(bytes).into_uuid().to_string()
    }

    /// A path of as many components.
    pub fn path(&self, path: &str) -> String {
        let parts = path.split('/').map(|part| self.name(Of::Cgroup, "", part));
        parts.collect::<Vec<_>>().join("/")
    }

    /// The replacement of a user id. Root stays: it identifies no person.
    pub fn user(&self, uid: u32) -> u32 {
        if uid == 0 {
            return 0;
        }
        let d = self.digest(Of::User, &uid.to_be_bytes());
        // Tools take the upper half for negative.
        (u32::from_be_bytes([d[0], d[1], d[2], d[3]]) >> 1).max(1)
    }

    /// A token of MPTCP, which packets of others show (MP_JOIN); 0 is none.
    pub fn token(&self, token: u32) -> u32 {
        if token == 0 {
            return 0;
        }
        let d = self.digest(Of::Token, &token.to_be_bytes());
        u32::from_be_bytes([d[0], d[1], d[2], d[3]]).max(1)
    }

    /// An address of a link: a group stays one, all others are locally administered.
    pub fn mac(&self, mac: [u8; 6]) -> [u8; 6] {
        const GROUP: u8 = 1;
        const LOCAL: u8 = 2;
        if mac == [0; 6] || mac == [0xff; 6] {
            return mac;
        }
        let d = self.digest(Of::Mac, &mac);
        let first = d[0] & !(GROUP | LOCAL) | LOCAL | mac[0] & GROUP;
        [first, d[1], d[2], d[3], d[4], d[5]]
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_same_key_gives_the_same_names() {
        let (a, b, c) = (Names::new(&[1; KEY]), Names::new(&[1; KEY]), Names::new(&[2; KEY]));
        let name = |names: &Names| names.name(Of::Host, "host-", "lab");
        assert_eq!(name(&a), name(&b));
        assert_ne!(name(&a), name(&c));
        assert_eq!((name(&a).len(), name(&a).starts_with("host-")), (13, true));
        assert_ne!(a.name(Of::Command, "host-", "lab"), name(&a), "of another kind");
        assert_eq!(a.name(Of::Host, "host-", ""), "");
        assert_eq!((a.user(0), a.user(1000) == a.user(1001)), (0, false));
        let path = a.path("/system.slice/ssh.service");
        assert_eq!((path.split('/').count(), path.len()), (3, 18), "{path}");
        assert_eq!(a.path("/"), "/");
        let mac = a.mac([0, 1, 2, 3, 4, 5]);
        assert_eq!(mac[0] & 3, 2);
        assert_eq!(a.mac([1, 0, 0x5e, 0, 0, 1])[0] & 3, 3);
        assert_eq!(a.mac([0xff; 6]), [0xff; 6]);
    }
}
