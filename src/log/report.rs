// SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause
//! The results of verification, for people and for programs.

use std::fmt;

use serde::Serialize;

use super::Manifest;

/// The result of [`super::Recording::verify`].
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize)]
pub struct VerifyReport {
    /// UUID of the recording.
    pub recording: String,
    /// Whether it was closed: its manifest has totals.
    pub closed: bool,
    /// Every segment.
    pub files: Vec<FileReport>,
    /// Every CPU that made records.
    pub cpus: Vec<CpuReport>,
    /// Rows with names that this build does not know (a newer recorder's).
    pub unknown: u64,
    /// Records that were missing from what it was made of: what is left is undamaged, not complete.
    pub carried: u64,
    /// What could not be checked, and why. This is not a fault of the recording.
    pub notes: Vec<String>,
    /// What is wrong.
    pub findings: Vec<Finding>,
}

/// One segment.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize)]
pub struct FileReport {
    /// File name.
    pub file: String,
    /// Its size.
    pub bytes: u64,
    /// Whole frames in it, without skippable ones.
    pub frames: u64,
    /// Rows in them.
    pub rows: u64,
    /// Whether it has its end: index and seek table.
    pub closed: bool,
}

/// The sequence numbers of one CPU.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize)]
pub struct CpuReport {
    /// The CPU.
    pub cpu: u16,
    /// Sequence numbers given out; absent if the recording does not have it.
    pub emitted: Option<u64>,
    /// Records in the files.
    pub logged: u64,
    /// Lost records, by the recorder's own count.
    pub lost: u64,
    /// Records in segments that --max-size removed.
    pub removed: u64,
    /// Records that were left out when the recording was made from another.
    pub left_out: u64,
    /// Numbers below `proven` that are in no file.
    pub missing: u64,
    /// The first ranges of them: first and last number.
    pub missing_ranges: Vec<(u64, u64)>,
    /// How many such ranges there are.
    pub missing_ranges_total: u64,
    /// Numbers below this one are accounted for; those above may have been on their way when an
    /// unclosed recording ended.
    pub proven: u64,
}

/// Something wrong with a recording.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
#[serde(tag = "finding", rename_all = "snake_case")]
pub enum Finding {
    /// The recorder did not end by itself.
    NotClosed,
    /// A segment ends in the middle of a frame, or without its end.
    Truncated {
        /// File name.
        file: String,
        /// End of the last whole frame.
        offset: u64,
        /// Bytes after it.
        leftover: u64,
    },
    /// A frame's bytes are not what was written.
    Corrupt {
        /// File name.
        file: String,
        /// Number of the frame, from 0.
        frame: u64,
        /// Offset of its first byte.
        offset: u64,
        /// What is wrong.
        reason: String,
    },
    /// The end of a segment does not agree with its frames.
    Index {
        /// File name.
        file: String,
        /// In what.
        reason: String,
    },
    /// A segment is in another's place, or of another recording.
    Misplaced {
        /// File name.
        file: String,
        /// What it is instead.
        reason: String,
    },
    /// A segment is missing, and the ledger does not have it as removed.
    MissingSegment {
        /// File name.
        file: String,
    },
    /// Segments that follow one another are not there.
    MissingSegments {
        /// File name of the first.
        file: String,
        /// File name of the last.
        last: String,
    },
    /// A number came more than once.
    Duplicates {
        /// The CPU.
        cpu: u16,
        /// How often.
        count: u64,
    },
    /// Numbers of a CPU are neither logged nor lost.
    // The name that readers of `verify --json` know.
    #[serde(rename = "account")]
    SequenceNumbers {
        /// The CPU.
        cpu: u16,
        /// Which sum is wrong, with its numbers.
        reason: String,
    },
}

/// Ranges that a report lists for a CPU.
pub(super) const RANGES: usize = 100;

impl VerifyReport {
    pub(super) fn new(manifest: &Manifest) -> Self {
        let recording = manifest.recording.clone();
        let closed = manifest.totals.is_some();
        let findings = if closed { Vec::new() } else { vec![Finding::NotClosed] };
        Self { recording, closed, findings, ..Self::default() }
    }

    /// Whether nothing is wrong. Records that the recorder lost and counted are not a fault: see
    /// [`Self::lost`].
    pub fn ok(&self) -> bool {
        self.findings.is_empty()
    }

    /// Records lost on all CPUs, by the recording's count.
    pub fn lost(&self) -> u64 {
        self.cpus.iter().fold(0, |sum, c| sum.saturating_add(c.lost))
    }
}

impl Finding {
    /// The file it is about.
    pub(super) const fn file(&self) -> Option<&String> {
        match self {
            Self::Truncated { file, .. }
            | Self::Corrupt { file, .. }
            | Self::Index { file, .. }
            | Self::Misplaced { file, .. }
            | Self::MissingSegment { file }
            | Self::MissingSegments { file, .. } => Some(file),
            Self::NotClosed | Self::Duplicates { .. } | Self::SequenceNumbers { .. } => None,
        }
    }
}

impl fmt::Display for Finding {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::NotClosed => f.write_str(
                "the recording was not closed: the recorder was killed, or the machine stopped",
            ),
            Self::Truncated { file, offset, leftover: 0 } => {
                write!(f, "{file} has no end: it stops after the frame that ends at byte {offset}")
            }
            Self::Truncated { file, offset, leftover } => {
                write!(
                    f,
                    "{file} is cut: {leftover} bytes after byte {offset} are not a whole frame"
                )
            }
            Self::Corrupt { file, frame, offset, reason } => {
                write!(f, "{file} is corrupt in frame {frame} at byte {offset}: {reason}")
            }
            Self::Index { file, reason } => write!(f, "{file}: {reason}"),
            Self::Misplaced { file, reason } => write!(f, "{file} {reason}"),
            Self::MissingSegment { file } => write!(f, "{file} is missing"),
            Self::MissingSegments { file, last } => {
                write!(f, "{file} to {last} are missing")
            }
            Self::Duplicates { cpu, count } => {
                write!(f, "CPU {cpu}: {count} sequence numbers occur more than once")
            }
            Self::SequenceNumbers { cpu, reason } => write!(f, "CPU {cpu}: {reason}"),
        }
    }
}

impl fmt::Display for VerifyReport {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        writeln!(f, "recording {}", self.recording)?;
        let sum =
            |of: fn(&FileReport) -> u64| self.files.iter().map(of).fold(0, u64::saturating_add);
        writeln!(
            f,
            "{} files, {} bytes, {} frames, {} rows",
            self.files.len(),
            sum(|r| r.bytes),
            sum(|r| r.frames),
            sum(|r| r.rows)
        )?;
        for cpu in &self.cpus {
            writeln!(f, "{cpu}")?;
        }
        if self.unknown > 0 {
            writeln!(
                f,
                "note: {} rows have names that this program does not know; a newer one may",
                self.unknown
            )?;
        }
        for note in &self.notes {
            writeln!(f, "note: {note}")?;
        }
        for finding in &self.findings {
            writeln!(f, "finding: {finding}")?;
        }
        match (self.findings.len(), self.lost()) {
            (0, _) if self.carried > 0 => f.write_str(
                "ok: undamaged, but made from an incomplete recording: what was missing from it \
                 is missing here too",
            ),
            (0, 0) => f.write_str("ok: complete and undamaged"),
            (0, lost) => write!(f, "ok: undamaged; {lost} records were lost while recording"),
            (1, _) => f.write_str("1 finding"),
            (n, _) => write!(f, "{n} findings"),
        }
    }
}

impl fmt::Display for CpuReport {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "CPU {}: ", self.cpu)?;
        match self.emitted {
            Some(emitted) => write!(f, "{emitted} emitted, ")?,
            None => f.write_str("emitted unknown, ")?,
        }
        write!(f, "{} logged, {} lost", self.logged, self.lost)?;
        if self.removed > 0 {
            write!(f, ", {} removed to bound the size", self.removed)?;
        }
        if self.left_out > 0 {
            write!(f, ", {} left out", self.left_out)?;
        }
        if self.missing > 0 {
            write!(f, "; missing:")?;
            // A person reads a few; the serialised report has more.
            for (first, last) in self.missing_ranges.iter().take(5) {
                if first == last {
                    write!(f, " {first}")?;
                } else {
                    write!(f, " {first}-{last}")?;
                }
            }
            let shown = self.missing_ranges.len().min(5) as u64;
            if self.missing_ranges_total > shown {
                write!(f, " and {} ranges more", self.missing_ranges_total - shown)?;
            }
        }
        Ok(())
    }
}
