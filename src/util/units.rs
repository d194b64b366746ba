// SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause
//! Durations and sizes as people write them: 500ms, 30s, 10m; 64K, 256M, 1G.

use std::time::Duration;

fn split(text: &str) -> (&str, &str) {
    text.split_at(text.find(|c: char| !c.is_ascii_digit()).unwrap_or(text.len()))
}

/// Parses a duration with a unit of us, ms, s, m or h; not 0.
///
/// # Errors
/// A sentence with the expected form.
pub fn duration(text: &str) -> Result<Duration, String> {
    time(text).ok().filter(|d| !d.is_zero()).ok_or_else(|| no_duration(text))
}

fn no_duration(text: &str) -> String {
    format!("{text:?} is not a duration: write 500ms, 30s, 10m or 2h")
}

/// Parses a duration that may be 0, then also without a unit.
///
/// # Errors
/// A sentence with the expected form.
pub fn time(text: &str) -> Result<Duration, String> {
    let (number, unit) = split(text);
    let fault = || no_duration(text);
    let n: u64 = number.parse().map_err(|_| fault())?;
    let us = match unit {
        "us" => 1,
        "ms" => 1_000,
        "s" => 1_000_000,
        "m" => 60_000_000,
        "h" => 3_600_000_000,
        "" if n == 0 => 0,
        _ => return Err(fault()),
    };
    n.checked_mul(us).map(Duration::from_micros).ok_or_else(fault)
}

/// Parses a size in bytes with an optional unit of K, M or G (powers of 1024).
///
/// # Errors
/// A sentence with the expected form.
pub fn bytes(text: &str) -> Result<u64, String> {
    let (number, unit) = split(text);
    let fault = || format!("{text:?} is not a size: write 64K, 256M or 1G");
    let n: u64 = number.parse().map_err(|_| fault())?;
    let factor = match unit.to_ascii_uppercase().trim_end_matches("IB").trim_end_matches('B') {
        "" => 1,
        "K" => 1 << 10,
        "M" => 1 << 20,
        "G" => 1 << 30,
        _ => return Err(fault()),
    };
    n.checked_mul(factor).filter(|n| *n > 0).ok_or_else(fault)
}

/// A size for people: "1.5 MB" (powers of 1000, as disks are labelled).
pub fn human_bytes(n: u64) -> String {
    human(n as f64, &["B", "kB", "MB", "GB", "TB"])
}

/// A size for people in powers of 1024: "129.18 MiB".
pub fn iec_bytes(n: u64) -> String {
    const UNITS: [&str; 5] = ["KiB", "MiB", "GiB", "TiB", "PiB"];
    if n < 1024 {
        return format!("{n} B");
    }
    let mut scaled = n as f64 / 1024.0;
    let mut unit = 0;
    while scaled >= 1024.0 && unit + 1 < UNITS.len() {
        scaled /= 1024.0;
        unit += 1;
    }
    format!("{scaled:.2} {}", UNITS[unit])
}

/// A count for people: "1.5 M".
pub fn human_count(n: f64) -> String {
    human(n, &["", "k", "M", "G", "T"]).trim_end().to_owned()
}

fn human(mut n: f64, units: &[&str]) -> String {
    let mut unit = 0;
    while n >= 1000.0 && unit + 1 < units.len() {
        n /= 1000.0;
        unit += 1;
    }
    let digits = usize::from(unit > 0 && n < 100.0);
    format!("{n:.digits$} {}", units[unit])
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn durations() {
        assert_eq!(duration("500ms"), Ok(Duration::from_millis(500)));
        assert_eq!(duration("10m"), Ok(Duration::from_secs(600)));
        for bad in ["", "s", "1", "1x", "0s", "-1s", "99999999999999999h"] {
            assert!(duration(bad).is_err(), "{bad}");
        }
    }

    #[test]
    fn sizes() {
        assert_eq!(bytes("256M"), Ok(256 << 20));
        assert_eq!(bytes("1GiB"), Ok(1 << 30));
        assert_eq!(bytes("4096"), Ok(4096));
        for bad in ["", "M", "1X", "0", "99999999999999G"] {
            assert!(bytes(bad).is_err(), "{bad}");
        }
    }

    #[test]
    fn for_people() {
        assert_eq!(human_bytes(999), "999 B");
        assert_eq!(human_bytes(1_234_567), "1.2 MB");
        assert_eq!(human_count(12_345.0), "12.3 k");
        assert_eq!(human_count(42.0), "42");
    }
}
