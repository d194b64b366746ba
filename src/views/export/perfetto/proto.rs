// SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause
//! Protocol Buffers, as far as a trace needs them: fields of numbers, texts and messages.
//!
//! A message is its fields, one after the other: a key (the field's number and how its value is written),
//! then the value. A crate with a compiler of descriptions would be larger than all of this export.

// How a value is written.
const VARINT: u64 = 0;
const LENGTH: u64 = 2;

/// A message that is being written.
#[derive(Debug, Default)]
pub struct Message {
    octets: Vec<u8>,
}

impl Message {
    /// The octets written so far.
    pub fn octets(&self) -> &[u8] {
        &self.octets
    }

    /// A number: int32, int64, uint32, uint64, bool or enum.
    pub fn number(&mut self, field: u32, value: u64) -> &mut Self {
        self.key(field, VARINT);
        self.varint(value);
        self
    }

    /// A text.
    pub fn text(&mut self, field: u32, text: &str) -> &mut Self {
        self.bytes(field, text.as_bytes())
    }

    /// A message within this one.
    pub fn message(&mut self, field: u32, write: impl FnOnce(&mut Self)) -> &mut Self {
        let mut inner = Self::default();
        write(&mut inner);
        self.bytes(field, &inner.octets)
    }

    fn bytes(&mut self, field: u32, bytes: &[u8]) -> &mut Self {
        self.key(field, LENGTH);
        self.varint(bytes.len() as u64);
        self.octets.extend_from_slice(bytes);
        self
    }

    fn key(&mut self, field: u32, kind: u64) {
        self.varint(u64::from(field) << 3 | kind);
    }

    fn varint(&mut self, mut value: u64) {
        while value >= 0x80 {
            self.octets.push(value as u8 | 0x80);
            value >>= 7;
        }
        self.octets.push(value as u8);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_examples_of_the_encodings_description() {
        let mut message = Message::default();
        message.number(1, 150).text(2, "testing").message(3, |inner| {
            inner.number(1, 150);
        });
        let expected =
            [&[0x08, 0x96, 0x01, 0x12, 0x07][..], b"testing", &[0x1a, 0x03, 0x08, 0x96, 0x01]];
        assert_eq!(message.octets(), expected.concat());
        let mut message = Message::default();
        message.number(16, u64::MAX);
        let mut expected = vec![0x80, 0x01];
        expected.extend([0xff; 9]);
        expected.push(0x01);
        assert_eq!(message.octets(), expected);
    }
}
