// SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause
//! A file of xplot's language: types of the axes, title, labels, then commands, then `go`.
//!
//! Each command stands on a line of its own, and text on the line behind it. A colour on a line of its own
//! holds for what follows.

use std::fmt::{Display, Write as _};
use std::io::{self, Write as _};
use std::path::PathBuf;

use crate::util::private;

/// This much text is held before it is written to the file, which is not open in between: a recording
/// may have more flows than a process may have files.
const HELD: usize = 256 * 1024;

/// xplot's colours, as far as they are used.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Colour {
    White,
    Green,
    Yellow,
    Red,
    Purple,
    Orange,
    Magenta,
    Pink,
}

impl Colour {
    const fn name(self) -> &'static str {
        match self {
            Self::White => "white",
            Self::Green => "green",
            Self::Yellow => "yellow",
            Self::Red => "red",
            Self::Purple => "purple",
            Self::Orange => "orange",
            Self::Magenta => "magenta",
            Self::Pink => "pink",
        }
    }
}

/// A place: wall-clock microseconds, and what the graph is of.
pub type At = (u64, f64);

/// One graph.
#[derive(Debug)]
pub struct Graph {
    path: PathBuf,
    text: String,
    colour: Option<Colour>,
    begun: bool,
}

impl Graph {
    /// A graph that is not yet in its file.
    pub fn new(path: PathBuf, title: &str, y: &str) -> Self {
        // Numbers beyond 32 bits need the type double.
        let text = format!("timeval double\ntitle\n{title}\nxlabel\ntime\nylabel\n{y}\n");
        Self { path, text, colour: None, begun: false }
    }

    /// Sets the colour of what follows.
    pub fn colour(&mut self, colour: Colour) -> &mut Self {
        if self.colour != Some(colour) {
            self.colour = Some(colour);
            self.line(colour.name());
        }
        self
    }

    /// A mark: `dot`, `uarrow`, `darrow`, `diamond`, `box`, `htick`, `dtick`, `utick`.
    pub fn mark(&mut self, mark: &str, at: At) {
        let place = Coordinates(at);
        let _ = writeln!(self.text, "{mark} {place}");
    }

    /// A line.
    pub fn segment(&mut self, from: At, to: At) {
        let _ = writeln!(self.text, "line {} {}", Coordinates(from), Coordinates(to));
    }

    /// A text above a place.
    pub fn above(&mut self, at: At, text: &str) {
        self.mark("atext", at);
        self.line(text);
    }

    /// Writes what is held, if it is much.
    ///
    /// # Errors
    /// Those of the file.
    pub fn spill(&mut self) -> io::Result<()> {
        if self.text.len() >= HELD { self.write() } else { Ok(()) }
    }

    /// The last line of the file.
    ///
    /// # Errors
    /// Those of the file.
    pub fn finish(&mut self) -> io::Result<()> {
        self.line("go");
        self.write()
    }

    fn line(&mut self, text: &str) {
        self.text.push_str(text);
        self.text.push('\n');
    }

    fn write(&mut self) -> io::Result<()> {
        let mut file =
            if self.begun { private::append(&self.path)? } else { private::replace(&self.path)? };
        self.begun = true;
        file.write_all(self.text.as_bytes())?;
        self.text.clear();
        Ok(())
    }
}

struct Coordinates(At);

impl Display for Coordinates {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        let (us, y) = self.0;
        write!(f, "{}.{:06} {y}", us / 1_000_000, us % 1_000_000)
    }
}
