// SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause
//! Text of others made harmless: names of processes, cgroups, interfaces and commands may hold
//! anything, escape sequences of terminals and line ends among it.

use std::borrow::Cow;
use std::fmt::Write as _;
use std::io::{self, Write};

/// Characters that a terminal, or a page, does not show as themselves: control characters, ends of
/// lines, and those that change the direction or the place of what stands around them
/// (UAX #9; zero-width ones, which make two names look the same).
fn is_hidden(c: char) -> bool {
    c.is_control()
        || matches!(
            c,
            '\u{ad}'
                | '\u{61c}'
                | '\u{180e}'
                | '\u{200b}'..='\u{200f}'
                | '\u{2028}'..='\u{202e}'
                | '\u{2060}'..='\u{206f}'
                | '\u{feff}'
                | '\u{fff9}'..='\u{fffb}'
                | '\u{e0000}'..='\u{e007f}'
        )
}

fn escaped(text: &str, kept: &[char]) -> Option<String> {
    let hidden = |c: char| is_hidden(c) && !kept.contains(&c);
    if !text.contains(hidden) {
        return None;
    }
    let mut out = String::with_capacity(text.len() + 8);
    for c in text.chars() {
        match c {
            c if !hidden(c) => out.push(c),
            '\n' => out.push_str("\\n"),
            '\r' => out.push_str("\\r"),
            '\t' => out.push_str("\\t"),
            c if u32::from(c) < 0x80 => {
                let _ = write!(out, "\\x{:02x}", u32::from(c));
            }
            c => {
                let _ = write!(out, "\\u{{{:x}}}", u32::from(c));
            }
        }
    }
    Some(out)
}

/// A name or another field as it is shown to a person: hidden characters as `\x1b`, `\n`,
/// `\u{202e}`. A backslash stays: paths of cgroups have them.
pub fn visible(text: &str) -> Cow<'_, str> {
    escaped(text, &[]).map_or(Cow::Borrowed(text), Cow::Owned)
}

/// The same for a text of several lines: line ends and tabs stay.
pub fn lines(text: &str) -> Cow<'_, str> {
    escaped(text, &['\n', '\t']).map_or(Cow::Borrowed(text), Cow::Owned)
}

/// The same for JSON: such characters are only in strings, where `\u` means the same.
pub fn json(text: &str) -> Cow<'_, str> {
    let hidden = |c: char| is_hidden(c) && c != '\n';
    if !text.contains(hidden) {
        return Cow::Borrowed(text);
    }
    let mut out = String::with_capacity(text.len() + 16);
    for c in text.chars() {
        if hidden(c) {
            for unit in c.encode_utf16(&mut [0; 2]) {
                let _ = write!(out, "\\u{unit:04x}");
            }
        } else {
            out.push(c);
        }
    }
    Cow::Owned(out)
}

/// A terminal, or whatever takes the place of one: what is written to it passes [`lines()`].
#[derive(Debug)]
pub struct Screen<W>(pub W);

impl<W: Write> Write for Screen<W> {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        // Formatting writes whole pieces of text. In other octets, those that are not ASCII text are
        // shown as replacements.
        let text = String::from_utf8_lossy(bytes);
        self.0.write_all(lines(&text).as_bytes())?;
        Ok(bytes.len())
    }

    fn flush(&mut self) -> io::Result<()> {
        self.0.flush()
    }
}

/// A cell of text in CSV. Programs that calculate take one that begins with `=`, `+`, `-` or `@`, or
/// with a tab or a carriage return before these, for a formula: it gets an apostrophe before it.
pub fn cell(text: &str) -> Cow<'_, str> {
    if text.starts_with(['=', '+', '-', '@', '\t', '\r']) {
        Cow::Owned(format!("'{text}"))
    } else {
        Cow::Borrowed(text)
    }
}

/// The same between commas (RFC 4180). A text that is empty is in quotes, since NULL is nothing.
pub fn quoted(text: &str) -> Cow<'_, str> {
    let text = cell(text);
    if text.is_empty() || text.contains([',', '"', '\n', '\r']) {
        Cow::Owned(format!("\"{}\"", text.replace('"', "\"\"")))
    } else {
        text
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn nothing_hidden_is_left() {
        assert_eq!(visible("\x1b]0;title\x07\x1b[2Jcurl"), "\\x1b]0;title\\x07\\x1b[2Jcurl");
        assert_eq!(visible("a\nb\r\tc\x7f"), "a\\nb\\r\\tc\\x7f");
        assert_eq!(visible("\u{9b}2J\u{202e}gpj"), "\\u{9b}2J\\u{202e}gpj");
        assert_eq!(visible("system-foo\\x2dbar.slice"), "system-foo\\x2dbar.slice");
        assert!(matches!(visible("Gerät 猫"), Cow::Borrowed("Gerät 猫")));
        assert_eq!(lines("a\tb\nc\x1b[m\n"), "a\tb\nc\\x1b[m\n");
    }

    #[test]
    fn a_screen_shows_escape_sequences() {
        let mut screen = Screen(Vec::new());
        let own = "\x1b[31m";
        writeln!(screen, "{own} {}", 7).unwrap();
        screen.write_all(b"\xff\x1b").unwrap();
        assert_eq!(String::from_utf8(screen.0).unwrap(), "\\x1b[31m 7\n\u{fffd}\\x1b");
    }

    #[test]
    fn json_means_the_same() {
        let value = serde_json::json!({ "name": "\x1b[2J\u{9b}\u{202e}\u{e0041}\x7fä" });
        let text = serde_json::to_string_pretty(&value).unwrap();
        let shown = json(&text);
        assert!(!shown.contains(|c| is_hidden(c) && c != '\n'), "{shown}");
        assert_eq!(serde_json::from_str::<serde_json::Value>(&shown).unwrap(), value);
    }

    #[test]
    fn cells_are_not_formulas() {
        for text in ["=1+1", "+1", "-1", "@SUM(A1)", "\t=1", "\r=1"] {
            assert_eq!(cell(text), format!("'{text}"));
        }
        for text in ["", "curl", "'x", "::1", "a=b"] {
            assert!(matches!(cell(text), Cow::Borrowed(_)), "{text}");
        }
    }
}
