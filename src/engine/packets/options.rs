// SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause
//! The options of a TCP header: the one walk over them.

/// Options of a segment that replay has a use for.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct TcpOptions {
    /// Never 0, which means nothing.
    pub mss: Option<u16>,
    pub window_scale: Option<u8>,
    pub sack_permitted: bool,
    /// TSval and TSecr.
    pub timestamps: Option<(u32, u32)>,
    /// Blocks of a SACK option, in their order; empty without one.
    pub sack: Vec<(u32, u32)>,
    /// A signature or an authentication, which may leave no room for timestamps.
    pub signed: bool,
    /// The capture has cut them: of an option that is not here it is not known whether it came.
    pub cut: bool,
}

// Kinds (RFC 9293, 3.2; RFC 7323; RFC 2018) and their lengths, kind and length included.
const END: u8 = 0;
const NO_OPERATION: u8 = 1;
const MSS: u8 = 2;
const WINDOW_SCALE: u8 = 3;
const SACK_PERMITTED: u8 = 4;
const SACK: u8 = 5;
const TIMESTAMPS: u8 = 8;
// RFC 2385; RFC 5925.
const SIGNATURE: u8 = 19;
const AUTHENTICATION: u8 = 29;

/// An option with its data, or why the walk is over.
enum Step<'a> {
    Option(u8, &'a [u8]),
    /// The list ends here, or is damaged: what follows cannot be found.
    End,
    Cut,
}

/// The next option in `list`, of which `length` bytes were there.
fn step<'a>(list: &mut &'a [u8], length: &mut usize) -> Step<'a> {
    loop {
        if *length == 0 {
            return Step::End;
        }
        let (kind, size) = match **list {
            [] => return Step::Cut,
            [END, ..] => return Step::End,
            [NO_OPERATION, ..] => {
                *list = &list[1..];
                *length -= 1;
                continue;
            }
            [_] => return if *length == 1 { Step::End } else { Step::Cut },
            [kind, size, ..] => (kind, usize::from(size)),
        };
        if size < 2 || size > *length {
            return Step::End;
        }
        let Some((option, rest)) = list.split_at_checked(size) else { return Step::Cut };
        *list = rest;
        *length -= size;
        return Step::Option(kind, &option[2..]);
    }
}

impl TcpOptions {
    /// Reads a list of which `length` bytes were there, as tcp_parse_options() of Linux does: an
    /// option that is not known, or of another length than its own, is passed over.
    pub fn read(captured: &[u8], length: usize) -> Self {
        let mut options = Self::default();
        let (mut list, mut length) = (&captured[..captured.len().min(length)], length);
        let u32_at =
            |b: &[u8], at: usize| u32::from_be_bytes([b[at], b[at + 1], b[at + 2], b[at + 3]]);
        loop {
            let (kind, data) = match step(&mut list, &mut length) {
                Step::Option(kind, data) => (kind, data),
                Step::End => return options,
                Step::Cut => {
                    options.cut = true;
                    return options;
                }
            };
            match (kind, data.len()) {
                (MSS, 2) => {
                    let mss = u16::from_be_bytes([data[0], data[1]]);
                    options.mss = Some(mss).filter(|mss| *mss > 0).or(options.mss);
                }
                (WINDOW_SCALE, 1) => options.window_scale = Some(data[0]),
                (SACK_PERMITTED, 0) => options.sack_permitted = true,
                (TIMESTAMPS, 8) => options.timestamps = Some((u32_at(data, 0), u32_at(data, 4))),
                (SACK, n) if n >= 8 && n.is_multiple_of(8) => {
                    let blocks = data.chunks_exact(8);
                    options.sack = blocks.map(|b| (u32_at(b, 0), u32_at(b, 4))).collect();
                }
                (SIGNATURE | AUTHENTICATION, _) => options.signed = true,
                _ => {}
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const STAMPS: [u8; 10] = [8, 10, 0, 0, 0, 1, 0, 0, 0, 2];

    fn whole(list: &[u8]) -> TcpOptions {
        TcpOptions::read(list, list.len())
    }

    #[test]
    fn unknown_options_are_skipped_at_any_position() {
        // MD5 (RFC 2385), authentication (RFC 5925), experiment (RFC 6994), and an unassigned one.
        let unknown: [&[u8]; 4] = [
            &[19, 18, 1, 2, 3, 4, 5, 6, 7, 8, 9, 10, 11, 12, 13, 14, 15, 16],
            &[29, 4, 0, 0],
            &[254, 4, 0xde, 0xad],
            &[77, 2],
        ];
        let known: [&[u8]; 4] = [&[2, 4, 5, 0xb4], &[3, 3, 7], &[4, 2], &STAMPS];
        let expected = whole(&known.concat());
        assert_eq!(
            (expected.mss, expected.window_scale, expected.sack_permitted, expected.timestamps),
            (Some(1460), Some(7), true, Some((1, 2)))
        );
        for option in unknown {
            for at in 0..=known.len() {
                let mut list = known.to_vec();
                list.insert(at, option);
                let signed = [SIGNATURE, AUTHENTICATION].contains(&option[0]);
                let expected = TcpOptions { signed, ..expected.clone() };
                assert_eq!(whole(&list.concat()), expected, "{option:?} at {at}");
            }
        }
    }

    #[test]
    fn options_that_the_kernel_ignores_are_ignored() {
        // A wrong length, a SACK option without a block, an MSS of 0.
        for list in [
            &[2, 3, 5][..],
            &[3, 4, 7, 7],
            &[4, 3, 0],
            &[8, 9, 0, 0, 0, 0, 0, 0, 0],
            &[5, 2],
            &[5, 9, 0, 0, 0, 0, 0, 0, 0],
            &[2, 4, 0, 0],
        ] {
            let list = [list, &[3, 3, 2]].concat();
            let expected = TcpOptions { window_scale: Some(2), ..TcpOptions::default() };
            assert_eq!(whole(&list), expected, "{list:?}");
        }
        // After the end, after a length that cannot be, and beyond the header there is nothing.
        for list in
            [&[0, 3, 3, 2][..], &[77, 1, 3, 3, 2], &[77, 0, 3, 3, 2], &[77, 9, 3, 3, 2], &[3]]
        {
            assert_eq!(whole(list), TcpOptions::default(), "{list:?}");
        }
    }

    #[test]
    fn a_cut_list_of_options_is_marked() {
        let sack = [5, 10, 0, 0, 0, 1, 0, 0, 0, 2];
        let list = [&[1, 1][..], &STAMPS, &[1, 1], &sack].concat();
        let expected = whole(&list);
        assert!(!expected.cut && expected.sack == [(1, 2)] && expected.timestamps == Some((1, 2)));
        for kept in 0..list.len() {
            let read = TcpOptions::read(&list[..kept], list.len());
            let stamps = (kept >= 12).then_some((1, 2));
            let cut = TcpOptions { timestamps: stamps, cut: true, ..TcpOptions::default() };
            assert_eq!(read, cut, "{kept}");
        }
        // A list with an end option is not cut, and bytes after the list are not read.
        assert_eq!(TcpOptions::read(&[1, 0], 8), TcpOptions::default());
        assert_eq!(TcpOptions::read(&[1, 77, 20], 8), TcpOptions::default());
        assert_eq!(TcpOptions::read(&[1, 1, 3, 3, 2], 2), TcpOptions::default());
    }
}
