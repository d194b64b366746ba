// SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause
//! Values of a Web10G kernel: the files its tools write.
//!
//! The form is recognised by itself: JSON (a list of connections, lists by side, or a line per
//! reading), the text of `web10g-logger`, the text of `web10g-readvars`. Names are matched without
//! regard to case, since kernel and userland spell some differently (`SndLimTransStartup`,
//! `SndLimTransStartUp`), and by name always: the order of the columns changed between versions.

mod json;
mod text;

use std::collections::{BTreeMap, BTreeSet};
use std::io::Read as _;
use std::net::SocketAddr;
use std::path::{Path, PathBuf};
use std::{fs, io};

use serde::Serialize;

use super::{Unmatched, Values};
use crate::log::has_more_values;
use crate::schema::Var;

/// Octets of a file that are read at most.
const MAX_BYTES: u64 = 32 << 20;
/// Values that a document of JSON may have: each takes up to a hundred octets.
const MAX_VALUES: usize = 1_000_000;
/// Readings of connections that a file may have: each has room for every variable.
const MAX_READINGS: usize = 1 << 15;

/// Characters of a fault that are reported.
const MAX_SAID: usize = 300;

/// Adds a reading, unless there are too many.
fn add(rows: &mut Vec<DumpRow>, row: DumpRow) -> Result<(), Fault> {
    if rows.len() == MAX_READINGS {
        return Err((
            row.place,
            format!("it is the reading after the first {MAX_READINGS}, and no more are read"),
        ));
    }
    rows.push(row);
    Ok(())
}

/// The format of a file.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize)]
#[serde(rename_all = "snake_case")]
pub enum Form {
    /// JSON with addresses and the tables as objects.
    Json,
    /// `web10g-logger`: a line per connection and reading.
    Logger,
    /// `web10g-readvars`: a line per variable, without addresses.
    Readvars,
}

/// One connection as the reference saw it.
#[derive(Clone, Debug, Default)]
pub struct DumpRow {
    /// Line or element of the file.
    pub place: String,
    /// The end of the connection, where the file keeps them apart.
    pub side: Option<String>,
    /// The kernel's number of it.
    pub cid: Option<u64>,
    /// Local and remote address and port.
    pub addresses: Option<(SocketAddr, SocketAddr)>,
    /// Wall clock at which it was read, microseconds since the epoch.
    pub read_us: Option<u64>,
    /// Its values.
    pub values: Values,
}

impl DumpRow {
    /// Wall clock at which it was read, if the connection was not over then.
    pub(super) fn read_alive_us(&self) -> Option<u64> {
        const CLOSED: i128 = 1;
        self.read_us.filter(|_| self.values.get(Var::State) != Some(CLOSED))
    }

    /// Begin and end as far as the reference knows, microseconds since the epoch.
    pub(super) fn life(&self) -> Option<(u64, u64)> {
        let us = |var| u64::try_from(self.values.get(var)?).ok();
        let begin = us(Var::StartTimeStamp);
        let elapsed = || {
            let seconds = us(Var::ElapsedSecs)?.saturating_mul(1_000_000);
            Some(seconds.saturating_add(us(Var::ElapsedMicroSecs)?))
        };
        match (begin, begin.zip(elapsed()), self.read_us) {
            (_, Some((begin, elapsed)), _) => Some((begin, begin.saturating_add(elapsed))),
            (Some(begin), None, read) => Some((begin, read.unwrap_or(begin))),
            (None, _, read) => read.map(|read| (read, read)),
        }
    }

    pub(super) fn unmatched(&self) -> Unmatched {
        let (local, remote) = self.addresses.unzip();
        Unmatched { id: self.cid, local, remote, place: self.place.clone() }
    }
}

/// The contents of a file.
#[derive(Clone, Debug)]
pub struct Dump {
    /// The format of the file.
    pub form: Form,
    /// Its connections; of one that was read several times, the last reading.
    pub rows: Vec<DumpRow>,
    /// Names that are not variables.
    pub unknown_names: Vec<String>,
}

/// Why a file cannot be taken as a reference.
#[derive(Debug, thiserror::Error)]
pub enum DumpError {
    /// It cannot be read.
    #[error("cannot read {path}: {source}")]
    Io {
        /// The file.
        path: PathBuf,
        /// What the system said.
        source: io::Error,
    },
    /// It is none of the known forms.
    #[error("{path} is not in a known reference format: it begins with {begin:?}")]
    Unknown {
        /// The file.
        path: PathBuf,
        /// Its first characters.
        begin: String,
    },
    /// It is larger than the values of any kernel.
    #[error("{path} has more than {most} {what}, and is not read")]
    TooLarge {
        /// The file.
        path: PathBuf,
        /// The most that is read.
        most: u64,
        /// Of what.
        what: &'static str,
    },
    /// A place in it does not fit.
    #[error("{path}: {place}: {what}")]
    Content {
        /// The file.
        path: PathBuf,
        /// Line or element.
        place: String,
        /// What is wrong with it.
        what: String,
    },
    /// It has no connection.
    #[error("{path} contains no connections")]
    Empty {
        /// The file.
        path: PathBuf,
    },
}

/// A fault at a place, before the file's name is known.
type Fault = (String, String);

impl Dump {
    /// Reads a file.
    ///
    /// # Errors
    /// [`DumpError`], with the place.
    #[allow(clippy::disallowed_methods, reason = "reads the reference, which is not a recording")]
    pub fn read(path: &Path) -> Result<Self, DumpError> {
        let read = || {
            let mut text = Vec::new();
            // It may be a pipe.
            fs::File::open(path)?.take(MAX_BYTES + 1).read_to_end(&mut text)?;
            Ok(text)
        };
        let text = read().map_err(|source| DumpError::Io { path: path.to_owned(), source })?;
        Self::parse(&String::from_utf8_lossy(&text), path)
    }

    /// Takes the text of a file; `path` is for the errors.
    ///
    /// # Errors
    /// [`DumpError`], with the place.
    pub fn parse(text: &str, path: &Path) -> Result<Self, DumpError> {
        let text = text.trim_start_matches('\u{feff}');
        let begin = text.trim_start();
        let path = || path.to_owned();
        let too_large = |most, what| Err(DumpError::TooLarge { path: path(), most, what });
        if text.len() as u64 > MAX_BYTES {
            return too_large(MAX_BYTES, "bytes");
        }
        if begin.starts_with(['{', '[']) && has_more_values(text.as_bytes(), MAX_VALUES) {
            return too_large(MAX_VALUES as u64, "values");
        }
        let mut names = Names::default();
        let (form, rows) = if begin.starts_with(['{', '[']) {
            (Form::Json, json::rows(text, &mut names))
        } else if text::is_logger(begin) {
            (Form::Logger, text::logger(text, &mut names))
        } else if text::is_readvars(begin) {
            (Form::Readvars, text::readvars(text, &mut names))
        } else if begin.is_empty() {
            return Err(DumpError::Empty { path: path() });
        } else {
            let begin = begin.chars().take_while(|c| *c != '\n').take(30).collect();
            return Err(DumpError::Unknown { path: path(), begin });
        };
        let rows = rows.map_err(|(place, what)| {
            // It may have the text that does not fit, which may be all of the file.
            let what = what.chars().take(MAX_SAID).collect();
            DumpError::Content { path: path(), place, what }
        })?;
        if rows.is_empty() {
            return Err(DumpError::Empty { path: path() });
        }
        Ok(Self {
            form,
            rows: last_readings(rows),
            unknown_names: names.unknown.into_iter().collect(),
        })
    }
}

/// The last reading of each connection, at the place of its first. A number is one connection's
/// while the kernel runs (they wrap after five millions).
fn last_readings(rows: Vec<DumpRow>) -> Vec<DumpRow> {
    let mut kept: Vec<DumpRow> = Vec::new();
    let mut places = BTreeMap::new();
    for row in rows {
        let Some(cid) = row.cid else {
            kept.push(row);
            continue;
        };
        match places.entry((row.side.clone(), cid, row.addresses)) {
            std::collections::btree_map::Entry::Vacant(entry) => {
                entry.insert(kept.len());
                kept.push(row);
            }
            std::collections::btree_map::Entry::Occupied(entry) => {
                let before = &mut kept[*entry.get()];
                if row.read_us >= before.read_us {
                    *before = row;
                }
            }
        }
    }
    kept
}

/// Finds variables by name.
#[derive(Debug, Default)]
struct Names {
    known: BTreeMap<String, Option<Var>>,
    unknown: BTreeSet<String>,
}

impl Names {
    fn find(&mut self, name: &str) -> Option<Var> {
        if let Some(found) = self.known.get(name) {
            return *found;
        }
        let found = Var::ALL.iter().copied().find(|v| v.name().eq_ignore_ascii_case(name));
        if found.is_none() {
            self.unknown.insert(name.to_owned());
        }
        self.known.insert(name.to_owned(), found);
        found
    }
}

/// An address with its port; IPv4-mapped IPv6 as the IPv4 it is, as recordings have it.
fn endpoint(address: &str, port: u64) -> Result<SocketAddr, String> {
    // A scope ("fe80::1%eth0") is the host's business.
    let bare = address.split('%').next().unwrap_or(address);
    let ip: std::net::IpAddr =
        bare.parse().map_err(|_| format!("{address:?} is not an IP address"))?;
    let port = u16::try_from(port).map_err(|_| format!("{port} is not a port"))?;
    Ok(SocketAddr::new(ip.to_canonical(), port))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn parse(text: &str) -> Result<Dump, DumpError> {
        Dump::parse(text, Path::new("ref"))
    }

    fn error(text: &str) -> String {
        parse(text).expect_err("a fault").to_string()
    }

    const ROW: &str = r#"{"cid":3,"af":4,"laddr":"10.0.0.1","lport":40001,"raddr":"10.0.0.2",
        "rport":443,"read_time":1767225600.250001,"perf":{"SegsOut":5,"Novel":1},
        "stack":{"WinScaleSent":-1,"State":5}}"#;

    #[test]
    fn json_in_each_form() {
        for text in [
            ROW.to_owned(),
            format!("[{ROW}]"),
            format!("{{\"A\":[{ROW}],\"B\":[]}}"),
            format!("{ROW}\n"),
        ] {
            let dump = parse(&text).expect("a dump");
            assert_eq!((dump.form, dump.rows.len()), (Form::Json, 1));
            let row = &dump.rows[0];
            assert_eq!(row.cid, Some(3));
            let (local, remote) = row.addresses.unwrap();
            assert_eq!(
                (local.to_string(), remote.to_string()),
                ("10.0.0.1:40001".into(), "10.0.0.2:443".into())
            );
            assert_eq!(row.read_us, Some(1_767_225_600_250_001));
            assert_eq!(row.values.get(Var::SegsOut), Some(5));
            assert_eq!(row.values.get(Var::WinScaleSent), Some(-1));
            assert_eq!(row.values.get(Var::SegsIn), None, "not named is not zero");
            assert_eq!(dump.unknown_names, ["Novel"]);
            assert_eq!(row.side.as_deref(), text.contains("\"A\"").then_some("A"));
        }
    }

    #[test]
    fn the_last_reading_of_a_connection_counts() {
        let later = ROW.replace("600.25", "601.25").replace(":5,", ":9,");
        let other = ROW.replace("\"cid\":3", "\"cid\":4");
        let dump = parse(&format!("{later}\n{ROW}\n{other}\n")).expect("lines");
        let segs: Vec<_> = dump.rows.iter().map(|r| r.values.get(Var::SegsOut)).collect();
        assert_eq!(segs, [Some(9), Some(5)]);
    }

    #[test]
    fn json_faults_have_their_place() {
        assert!(
            error("[{\"laddr\": ]").contains("ref: line 1, column 12"),
            "{}",
            error("[{\"laddr\": ]")
        );
        let cut = ROW.replace("\"lport\":40001,", "");
        let said = error(&format!("{{\"A\":[{ROW},{cut}]}}"));
        assert!(said.starts_with("ref: A[1]: ") && said.contains("lport"), "{said}");
        let said = error(&ROW.replace("10.0.0.2", "here"));
        assert!(said.contains("\"here\" is not an IP address"), "{said}");
        let said = error(&ROW.replace("\"SegsOut\":5", "\"SegsOut\":\"5\""));
        assert!(said.contains("SegsOut"), "{said}");
        assert!(error("{\"A\":[]}").contains("no connection"));
        assert!(error("[1]").contains("[0]"), "{}", error("[1]"));
    }

    #[test]
    fn mapped_addresses_are_ipv4_and_ipv6_stays() {
        let mapped =
            ROW.replace("10.0.0.1", "::ffff:10.0.0.1").replace("10.0.0.2", "::ffff:10.0.0.2");
        let (local, _) = parse(&mapped).unwrap().rows[0].addresses.unwrap();
        assert_eq!(local.to_string(), "10.0.0.1:40001");
        let v6 = ROW.replace("10.0.0.1", "fe80::1%eth0").replace("10.0.0.2", "fe80::2");
        let (local, _) = parse(&v6).unwrap().rows[0].addresses.unwrap();
        assert_eq!(local.to_string(), "[fe80::1]:40001");
    }

    #[test]
    fn the_life_of_a_connection_is_read_from_its_known_values() {
        let mut row = DumpRow { read_us: Some(9_000_000), ..DumpRow::default() };
        assert_eq!(row.life(), Some((9_000_000, 9_000_000)));
        row.values.set(Var::StartTimeStamp, 1_000_000);
        assert_eq!(row.life(), Some((1_000_000, 9_000_000)));
        row.values.set(Var::ElapsedSecs, 2);
        row.values.set(Var::ElapsedMicroSecs, 5);
        assert_eq!(row.life(), Some((1_000_000, 3_000_005)));
    }

    #[test]
    fn an_unknown_reference_format_is_an_error() {
        let said = error("PK\u{3}\u{4}\nxyz");
        assert!(said.contains("is not in a known reference format: it begins with \"PK"), "{said}");
        assert!(error(" \n").contains("no connection"));
    }
}
