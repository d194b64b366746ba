// SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause
//! M-Lab's tcp-info archive: a JSON line per snapshot with the octets that inet_diag would have sent
//! (<https://github.com/m-lab/tcp-info>, netlink.ArchivalRecord).
//!
//! Lines of all sockets come in order of time; the socket's cookie is in `RawIDM`. M-Lab's own
//! archives have a file per connection, whose first line is metadata that this program does not
//! have (the UUID of its measurement services).

use std::io::Write;

use chrono::{DateTime, SecondsFormat};

use super::ExportError;
use crate::engine::time::snapshots;
use crate::engine::time::timeline::Timeline;
use crate::log::Recording;
use crate::replay;
use crate::schema::{SocketField as F, Why};
use crate::util::base64::encode;
use crate::wire::Snapshot;
use crate::wire::diag::{LAST_WORD, LastWord, MEMINFO, SKMEMINFO, TCP_INFO};

/// Writes a line for each snapshot, in order of time; gives their number.
///
/// # Errors
/// [`ExportError`].
pub fn write(recording: &Recording, out: &mut impl Write) -> Result<u64, ExportError> {
    let timeline = replay::clocks(recording)?;
    let mut line = String::new();
    let mut count = 0;
    for snapshot in snapshots(recording) {
        let snapshot = snapshot?;
        // No socket, but a packet.
        if snapshot.why == Why::Drop {
            continue;
        }
        line.clear();
        append(&snapshot, &timeline, &mut line);
        out.write_all(line.as_bytes())?;
        count += 1;
    }
    if count == 0 { Err(ExportError::NoSnapshots) } else { Ok(count) }
}

fn append(s: &Snapshot, clocks: &Timeline, line: &mut String) {
    let time = clocks
        .wall_us(s.header.ts_ns)
        .and_then(|us| DateTime::from_timestamp_micros(us as i64))
        .unwrap_or_default();
    line.push_str("{\"Timestamp\":\"");
    line.push_str(&time.to_rfc3339_opts(SecondsFormat::Micros, true));
    line.push_str("\",\"RawIDM\":\"");
    encode(&diag_message(s), line);
    line.push_str("\",\"Attributes\":[");
    let mut attributes = attributes(s);
    while attributes.last().is_some_and(Option::is_none) {
        attributes.pop();
    }
    for (i, attribute) in attributes.iter().enumerate() {
        if i > 0 {
            line.push(',');
        }
        match attribute {
            None => line.push_str("null"),
            Some(octets) => {
                line.push('"');
                encode(octets, line);
                line.push('"');
            }
        }
    }
    line.push_str("]}\n");
}

fn value(s: &Snapshot, field: F) -> u64 {
    s.values.get(field).unwrap_or(0)
}

/// Appends the low octets of a number in the byte order of all machines that M-Lab has.
fn put(out: &mut Vec<u8>, value: u64, width: usize) {
    out.extend_from_slice(&value.to_le_bytes()[..width]);
}

/// struct inet_diag_msg, 72 octets.
fn diag_message(s: &Snapshot) -> Vec<u8> {
    let mut out = Vec::with_capacity(72);
    put(&mut out, u64::from(s.family), 1);
    for field in [F::tcpi_state, F::timer, F::timer_retrans] {
        put(&mut out, value(s, field), 1);
    }
    out.extend_from_slice(&s.local_port.to_be_bytes());
    out.extend_from_slice(&s.remote_port.to_be_bytes());
    out.extend_from_slice(&s.local_addr);
    out.extend_from_slice(&s.remote_addr);
    // The interface of a bound socket is not recorded.
    put(&mut out, 0, 4);
    put(&mut out, s.header.cookie, 8);
    for field in [F::timer_expires, F::rqueue, F::wqueue, F::uid, F::inode] {
        put(&mut out, value(s, field), 4);
    }
    out
}

/// By INET_DIAG_* of include/uapi/linux/inet_diag.h.
fn attributes(s: &Snapshot) -> Vec<Option<Vec<u8>>> {
    let all = |fields: &[F], width| {
        let mut out = Vec::new();
        fields.iter().for_each(|x| put(&mut out, value(s, *x), width));
        out
    };
    let mut attributes = vec![None; 17];
    attributes[1] = Some(all(&MEMINFO, 4));
    attributes[2] = Some(tcp_info(s));
    if s.values.get(F::vegas_enabled).is_some() {
        let fields = [F::vegas_enabled, F::vegas_rttcnt, F::vegas_rtt, F::vegas_minrtt];
        attributes[3] = Some(all(&fields, 4));
    }
    attributes[4] = Some([s.congestion.as_bytes(), &[0]].concat());
    attributes[5] = Some(all(&[F::tos], 1));
    // inet_diag sends it for IPv6 sockets alone.
    attributes[6] = s.values.get(F::tclass).map(|_| all(&[F::tclass], 1));
    attributes[7] = Some(all(&SKMEMINFO, 4));
    attributes[8] = Some(all(&[F::shutdown], 1));
    if s.values.get(F::dctcp_alpha).is_some() {
        // struct tcp_dctcp_info: enabled, ce_state, alpha, ab_ecn, ab_tot
        let mut out = vec![1, 0];
        put(&mut out, value(s, F::dctcp_ce_state), 2);
        out.extend(all(&[F::dctcp_alpha, F::dctcp_ab_ecn, F::dctcp_ab_tot], 4));
        attributes[9] = Some(out);
    }
    attributes[15] = (value(s, F::mark) != 0).then(|| all(&[F::mark], 4));
    if s.values.get(F::bbr_bw).is_some() {
        // struct tcp_bbr_info: bw_lo, bw_hi, min_rtt, pacing_gain, cwnd_gain
        let mut out = all(&[F::bbr_bw], 8);
        out.extend(all(&[F::bbr_min_rtt, F::bbr_pacing_gain, F::bbr_cwnd_gain], 4));
        attributes[16] = Some(out);
    }
    attributes
}

/// struct tcp_info, as long as this kernel's: up to the last field that it has.
fn tcp_info(s: &Snapshot) -> Vec<u8> {
    let there = TCP_INFO.iter().filter(|(field, ..)| s.values.get(*field).is_some());
    let len = there.map(|(_, offset, width)| offset + width).max().unwrap_or(0);
    // As the kernel of the recording has it: with a mode of ECN it is Linux 7.0's. The iterator knows the
    // mode on 6.18 too; M-Lab's readers stop before this word.
    let last =
        if s.values.get(F::tcpi_ecn_mode).is_some() { LastWord::Bits } else { LastWord::Halves };
    let has_last = last.fields().iter().any(|(field, ..)| s.values.get(*field).is_some());
    let len = if has_last { LAST_WORD + 4 } else { len };
    let mut out = vec![0; len.max(8)];
    if has_last {
        let word = last.fields().iter().fold(0, |word, &(field, first, bits)| {
            word | (value(s, field) & ((1 << bits) - 1)) << first
        });
        out[LAST_WORD..].copy_from_slice(&(word as u32).to_le_bytes());
    }
    for &(field, offset, width) in TCP_INFO {
        if let Some(value) = s.values.get(field) {
            out[offset..offset + width].copy_from_slice(&value.to_le_bytes()[..width]);
        }
    }
    // Bit-fields, from the least significant bit.
    out[6] = (value(s, F::tcpi_snd_wscale) | value(s, F::tcpi_rcv_wscale) << 4) as u8;
    out[7] = (value(s, F::tcpi_delivery_rate_app_limited)
        | value(s, F::tcpi_fastopen_client_fail) << 1) as u8;
    out
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_line_has_mlabs_layout() {
        let mut s = crate::testing::snapshot(1_500, 9);
        s.values.set(F::tcpi_state, Some(1));
        s.values.set(F::tcpi_rtt, Some(1234));
        s.values.set(F::tcpi_snd_wnd, Some(65_536));
        s.values.set(F::tcpi_rcv_wscale, Some(7));
        let clocks = Timeline::new([(500, 1_561_939_212_092_000_000)], []);
        let mut line = String::new();
        append(&s, &clocks, &mut line);
        let json: serde_json::Value = serde_json::from_str(&line).unwrap();
        assert_eq!(json["Timestamp"], "2019-07-01T00:00:12.092001Z");
        // 96 characters are 72 octets without padding.
        assert_eq!(json["RawIDM"].as_str().unwrap().len(), 96);
        let attributes = json["Attributes"].as_array().unwrap();
        assert_eq!(attributes.len(), 9);
        assert!(attributes[0].is_null() && attributes[3].is_null() && attributes[6].is_null());
        assert_eq!(attributes[4], "Y3ViaWMA");
        let info = tcp_info(&s);
        assert_eq!((info.len(), info[0], info[6]), (232, 1, 0x70));
        assert_eq!(info[68..72], 1234_u32.to_le_bytes());
        assert_eq!(attributes[7].as_str().unwrap().len(), 48);
        let message = diag_message(&s);
        assert_eq!(message.len(), 72);
        assert_eq!(message[4..8], [0x03, 0xe8, 0, 80]);
        assert_eq!(message[44..52], 9_u64.to_le_bytes());
    }

    fn decode64(text: &str) -> Vec<u8> {
        const DIGITS: &str = "ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789+/";
        let digits: Vec<u32> =
            text.bytes().filter_map(|c| DIGITS.find(char::from(c)).map(|n| n as u32)).collect();
        let word = |four: &[u32]| {
            let bits = four.iter().fold(0, |bits, d| bits << 6 | d) << (6 * (4 - four.len()));
            bits.to_be_bytes()[1..four.len()].to_vec()
        };
        digits.chunks(4).flat_map(word).collect()
    }

    /// The message of a line, as the kernel would have sent it.
    fn message(line: &str) -> Vec<u8> {
        let json: serde_json::Value = serde_json::from_str(line).unwrap();
        let mut out = decode64(json["RawIDM"].as_str().unwrap());
        for (kind, attribute) in json["Attributes"].as_array().unwrap().iter().enumerate() {
            let Some(text) = attribute.as_str() else { continue };
            let octets = decode64(text);
            out.extend_from_slice(&(octets.len() as u16 + 4).to_ne_bytes());
            out.extend_from_slice(&(kind as u16).to_ne_bytes());
            out.extend_from_slice(&octets);
            out.resize(out.len().next_multiple_of(4), 0);
        }
        out
    }

    /// Every field comes back by the decoder that reads what kernels send, which a live test holds
    /// against the iterator, so M-Lab's reader of the same octets finds it too.
    #[test]
    fn a_line_has_the_octets_of_an_inet_diag_message() {
        for congestion in ["cubic", "bbr", "vegas", "dctcp"] {
            let mut s = crate::testing::snapshot(1_500, 9);
            s.congestion = congestion.to_owned();
            for (i, &field) in F::ALL.iter().enumerate() {
                let private =
                    ["bbr", "vegas", "dctcp"].iter().find(|c| field.name().starts_with(*c));
                if private.is_none_or(|of| *of == congestion) {
                    // Different in each; bit-fields have few bits.
                    let in_last = LastWord::Bits.fields().iter().any(|(f, ..)| *f == field);
                    let wide = field.def().ty.width() > 1 && !in_last;
                    let value = if wide { 100 + i as u64 } else { 1 + i as u64 % 3 };
                    s.values.set(field, Some(value));
                }
            }
            s.values.set(F::tcpi_delivery_rate_app_limited, Some(1));
            let clocks = Timeline::new([(500, 1_561_939_212_092_000_000)], []);
            let mut line = String::new();
            append(&s, &clocks, &mut line);
            let back = crate::wire::diag::decode_diag(&message(&line), LastWord::Bits).unwrap();
            for &field in F::ALL {
                // They have no place in M-Lab's record.
                let expected = match field {
                    F::priority | F::cgroup_id => None,
                    field if !field.is_in_record() => None,
                    _ => s.values.get(field),
                };
                assert_eq!(back.values.get(field), expected, "{} of {congestion}", field.name());
            }
            assert_eq!(back.congestion, s.congestion);
            assert_eq!((back.local_addr, back.remote_addr), (s.local_addr, s.remote_addr));
            assert_eq!((back.local_port, back.remote_port), (s.local_port, s.remote_port));
            assert_eq!((back.family, back.header.cookie), (s.family, s.header.cookie));
        }
    }

    #[test]
    fn every_field_of_tcp_info_has_a_place() {
        let bit_fields = [
            F::tcpi_snd_wscale,
            F::tcpi_rcv_wscale,
            F::tcpi_delivery_rate_app_limited,
            F::tcpi_fastopen_client_fail,
        ];
        for field in F::ALL.iter().filter(|f| f.def().source == "tcp_info") {
            let placed =
                TCP_INFO.iter().any(|(f, _, width)| f == field && *width == f.def().ty.width());
            let in_last = LastWord::Bits.fields().iter().any(|(f, ..)| f == field);
            assert!(placed || in_last || bit_fields.contains(field), "{}", field.name());
        }
    }
}
