// SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause
//! Base64 (RFC 4648, section 4): ten lines, too little for a dependency.

const ALPHABET: &[u8; 64] = b"ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789+/";

/// Appends the octets as text, padded.
pub fn encode(octets: &[u8], out: &mut String) {
    for group in octets.chunks(3) {
        let mut word = [0; 4];
        word[1..=group.len()].copy_from_slice(group);
        let bits = u32::from_be_bytes(word);
        for i in 0..4 {
            let digit = ALPHABET[(bits >> (18 - 6 * i)) as usize & 63];
            out.push(if i <= group.len() { char::from(digit) } else { '=' });
        }
    }
}

#[cfg(test)]
mod tests {
    #[test]
    fn vectors_of_the_rfc() {
        for (octets, text) in [
            ("", ""),
            ("f", "Zg=="),
            ("fo", "Zm8="),
            ("foo", "Zm9v"),
            ("foob", "Zm9vYg=="),
            ("fooba", "Zm9vYmE="),
            ("foobar", "Zm9vYmFy"),
        ] {
            let mut out = String::new();
            super::encode(octets.as_bytes(), &mut out);
            assert_eq!(out, text);
        }
        let mut out = String::new();
        super::encode(&[0xfb, 0xff, 0xfe], &mut out);
        assert_eq!(out, "+//+");
    }
}
