// SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause
//! The values that a variable can have. One outside cannot be true: it is never stored.

use super::{Type, Var};

/// The least and the greatest value of a column, ends included.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Range {
    /// The least.
    pub least: i64,
    /// The greatest.
    pub most: i64,
}

impl Range {
    /// Counts and sizes: the columns have 64 bits with a sign.
    pub const COUNT: Self = Self::new(0, i64::MAX);
    /// 32 bits.
    pub const U32: Self = Self::new(0, u32::MAX as i64);
    /// A time that a packet took, in microseconds: half of what 32 bits hold. The other half is what
    /// a negative difference looks like.
    pub const ROUND_TRIP: Self = Self::new(1, i32::MAX as i64);
    /// A timeout in microseconds; 2^32 - 1 stands for none.
    pub const TIMEOUT: Self = Self::new(1, u32::MAX as i64 - 1);
    /// Octets between two sequence numbers: windows are smaller than half of the space (RFC 7323,
    /// 2.3).
    pub const SPAN: Self = Self::new(0, i32::MAX as i64);
    /// A segment size that TCP can send with: IP carries no more.
    pub const SEGMENT: Self = Self::new(1, u16::MAX as i64);
    /// A shift of the window scale option (RFC 7323, 2.3); -1 where there is no option.
    pub const SHIFT: Self = Self::new(-1, 14);
    /// Wall-clock time in microseconds since the epoch, up to the year 9999.
    pub const WALL_US: Self = Self::new(0, 253_402_300_799_999_999);

    /// From the least to the greatest, ends included.
    pub const fn new(least: i64, most: i64) -> Self {
        Self { least, most }
    }

    /// Whether the value is one of these.
    pub const fn has(&self, value: i64) -> bool {
        self.least <= value && value <= self.most
    }
}

impl Var {
    /// The values that it can have, as its column shows them: those of its stanza, else those of its
    /// type. For a code, from the first to the last that has a name.
    pub fn range(self) -> Range {
        let def = self.def();
        def.range.unwrap_or(match def.ty {
            Type::U8 => Range::new(0, 0xff),
            Type::U16 => Range::new(0, 0xffff),
            Type::U32 => Range::U32,
            Type::U64 | Type::MonotonicNs | Type::Address => Range::COUNT,
            Type::I32 => Range::new(i32::MIN as i64, i32::MAX as i64),
            Type::Truth => Range::new(1, 2),
            Type::Enum(names) => {
                let codes = || names.iter().map(|(code, _)| *code as i64);
                Range::new(codes().min().unwrap_or(0), codes().max().unwrap_or(0))
            }
            Type::WallUs => Range::WALL_US,
        })
    }

    /// Whether a value of the log, or one that was computed, is one that the variable can have.
    pub fn can_be(self, value: u64) -> bool {
        match self.def().ty {
            // Two's complement, sign-extended or not.
            Type::I32 => self.range().has(i64::from(value as i32)),
            Type::Enum(names) => names.iter().any(|(code, _)| *code == value),
            Type::Address => true,
            Type::U8
            | Type::U16
            | Type::U32
            | Type::U64
            | Type::Truth
            | Type::MonotonicNs
            | Type::WallUs => i64::try_from(value).is_ok_and(|v| self.range().has(v)),
        }
    }
}
