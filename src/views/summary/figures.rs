// SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause
//! Numbers as a person reads them; `-` is NULL.

fn or_dash<T>(value: Option<T>, show: impl FnOnce(T) -> String) -> String {
    value.map_or_else(|| "-".to_owned(), show)
}

/// Three significant digits or one after the point, with a decimal prefix.
fn prefixed(value: f64, unit: &str) -> String {
    let mut value = value;
    for prefix in ["", "k", "M", "G", "T"] {
        // A value that would be rounded up to 1000.0 gets the next prefix.
        if value < if prefix.is_empty() { 1000.0 } else { 999.95 } {
            let digits = usize::from(!(prefix.is_empty() && value.fract() == 0.0));
            return format!("{value:.digits$} {prefix}{unit}");
        }
        value /= 1000.0;
    }
    format!("{value:.1} P{unit}")
}

/// Bytes with a decimal prefix.
pub fn bytes(n: Option<i64>) -> String {
    or_dash(n, |n| prefixed(n as f64, "B"))
}

/// Bits per second with a decimal prefix.
pub fn bit_rate(bit_per_s: Option<f64>) -> String {
    or_dash(bit_per_s, |rate| prefixed(rate, "bit/s"))
}

/// A count.
pub fn count(n: Option<i64>) -> String {
    or_dash(n, |n| n.to_string())
}

/// Seconds, to the millisecond; a tenth and less to the microsecond, or many would be 0.
pub fn seconds(s: Option<f64>) -> String {
    or_dash(s, |s| if s < 0.1 { format!("{s:.6}") } else { format!("{s:.3}") })
}

/// Microseconds as milliseconds.
pub fn millis(us: Option<i64>) -> String {
    or_dash(us, |us| format!("{:.3}", us as f64 / 1e3))
}

/// A share of 1 in percent.
pub fn share(share: Option<f64>) -> String {
    or_dash(share, crate::output::tables::percent)
}
