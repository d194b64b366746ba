// SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause
//! The texts of Web10G's userland: `web10g-logger` and `web10g-readvars`.

use super::{DumpRow, Fault, Names, add, endpoint};
use crate::schema::Var;

/// Columns of the logger before the variables.
const LEAD: [&str; 6] = ["Time", "CID", "SrcIp", "SrcPort", "DstIp", "DstPort"];
/// Columns that a line may have: far more than there are variables.
const MAX_COLUMNS: usize = 4096;
const TIMESTAMP: &str = "Timestamp sec:";

fn cells(line: &str) -> Vec<&str> {
    line.split(',').map(str::trim).collect()
}

pub(super) fn is_logger(begin: &str) -> bool {
    let line = begin.lines().next().unwrap_or_default();
    line.split(',').map(str::trim).take(LEAD.len()).eq(LEAD)
}

pub(super) fn is_readvars(begin: &str) -> bool {
    begin.starts_with(TIMESTAMP)
}

fn line_place(index: usize) -> String {
    format!("line {}", index + 1)
}

fn integer(name: &str, text: &str) -> Result<i128, String> {
    let fault = || format!("{name} is {text:?}, which is not an integer");
    let value: i128 = text.parse().map_err(|_| fault())?;
    // As wide as a counter of the kernel.
    let fits = (i128::from(i64::MIN)..=i128::from(u64::MAX)).contains(&value);
    if fits { Ok(value) } else { Err(fault()) }
}

/// `web10g-logger`: a header, then a line per connection and reading. Source and destination are
/// the kernel's local and remote end. A masked column is left out of the header; a mask that ends
/// before the last variable leaves a comma at the end of both.
pub(super) fn logger(text: &str, names: &mut Names) -> Result<Vec<DumpRow>, Fault> {
    let mut header: Vec<(&str, Option<Var>)> = Vec::new();
    let mut rows = Vec::new();
    let lines = text.lines().count();
    for (index, line) in text.lines().enumerate().filter(|(_, line)| !line.trim().is_empty()) {
        let fault = |what: String| (line_place(index), what);
        let columns = line.matches(',').count() + 1;
        if columns > MAX_COLUMNS {
            return Err(fault(format!("has {columns} columns, and {MAX_COLUMNS} are the most")));
        }
        let cells = cells(line);
        // Each run of the logger begins with one.
        if cells.starts_with(&LEAD) {
            let end = cells.iter().rposition(|name| !name.is_empty()).map_or(0, |last| last + 1);
            header = cells[LEAD.len()..end].iter().map(|&name| (name, names.find(name))).collect();
            continue;
        }
        if cells.len() < LEAD.len() {
            let what = format!("has {} columns, expected {} and more", cells.len(), LEAD.len());
            return Err(fault(what));
        }
        let (lead, values) = cells.split_at(LEAD.len());
        let end = values.iter().rposition(|v| !v.is_empty()).map_or(0, |last| last + 1);
        if end > header.len() || values.len() < header.len() {
            // The logger runs until it is killed: its last line may be cut, in a number too.
            if index + 1 == lines && !text.ends_with('\n') {
                break;
            }
            let what = format!("has {end} values, its header {}", header.len());
            return Err(fault(what));
        }
        let number = |i: usize| {
            lead[i].parse::<u64>().map_err(|_| fault(format!("{} is {:?}", LEAD[i], lead[i])))
        };
        let mut row = DumpRow {
            place: line_place(index),
            cid: Some(number(1)?),
            addresses: Some((
                endpoint(lead[2], number(3)?).map_err(fault)?,
                endpoint(lead[4], number(5)?).map_err(fault)?,
            )),
            read_us: Some(seconds(lead[0]).ok_or_else(|| fault(format!("Time is {:?}", lead[0])))?),
            ..DumpRow::default()
        };
        for (&(name, var), text) in header.iter().zip(values) {
            if let Some(var) = var
                && !text.is_empty()
            {
                row.values.set(var, integer(name, text).map_err(fault)?);
            }
        }
        add(&mut rows, row)?;
    }
    relabel(&mut rows);
    Ok(rows)
}

/// Puts values under the names that the kernel gives them by. The userland's own list of names
/// (lib/estats/var.c) has four of them in another order than the kernel's (tcp_estats_mib_var.c): what
/// it calls SndLimTransPace is SndLimTransTSODefer, and so on. A file of a userland that has them right
/// is recognised by its values: the kernel never enters the pacing state, and spends no time in one that
/// it never entered.
fn relabel(rows: &mut [DumpRow]) {
    use Var::{
        SndLimTimeStartup, SndLimTimeTSODefer, SndLimTransPace, SndLimTransStartup,
        SndLimTransTSODefer,
    };
    let wrong = rows.iter().any(|row| {
        let some = |var| row.values.get(var).is_some_and(|value| value != 0);
        let none = |var| row.values.get(var) == Some(0);
        some(SndLimTransPace)
            || (none(SndLimTransTSODefer) && none(SndLimTransStartup) && some(SndLimTimeTSODefer))
    });
    if wrong {
        for row in rows {
            row.values.swap(SndLimTransPace, SndLimTransTSODefer);
            row.values.swap(SndLimTimeStartup, SndLimTimeTSODefer);
        }
    }
}

/// "1400000000.000001" in microseconds: always six places.
fn seconds(text: &str) -> Option<u64> {
    let (seconds, micros) = text.split_once('.')?;
    if micros.len() != 6 {
        return None;
    }
    seconds.parse::<u64>().ok()?.checked_mul(1_000_000)?.checked_add(micros.parse().ok()?)
}

/// `web10g-readvars`: the time, then headings and `name=value`. It names neither the connection nor
/// its addresses. Several outputs may follow one another.
pub(super) fn readvars(text: &str, names: &mut Names) -> Result<Vec<DumpRow>, Fault> {
    let mut rows: Vec<DumpRow> = Vec::new();
    for (index, line) in text.lines().enumerate() {
        let fault = |what: String| (line_place(index), what);
        let line = line.trim();
        if line.is_empty() || line.ends_with(" Table") {
            continue;
        }
        if line.starts_with(TIMESTAMP) {
            let read_us =
                timestamp(line).ok_or_else(|| fault(format!("{line:?} is not a timestamp")))?;
            let row =
                DumpRow { place: line_place(index), read_us: Some(read_us), ..DumpRow::default() };
            add(&mut rows, row)?;
            continue;
        }
        let Some((name, value)) = line.split_once('=') else {
            return Err(fault(format!("expected NAME=VALUE, found {line:?}")));
        };
        let (name, value) = (name.trim(), value.trim());
        let value = integer(name, value).map_err(fault)?;
        if let (Some(var), Some(row)) = (names.find(name), rows.last_mut()) {
            row.values.set(var, value);
        }
    }
    relabel(&mut rows);
    Ok(rows)
}

/// "Timestamp sec: 1400000000, usec: 5" in microseconds.
fn timestamp(line: &str) -> Option<u64> {
    let (seconds, micros) = line.strip_prefix(TIMESTAMP)?.split_once(", usec:")?;
    let seconds: u64 = seconds.trim().parse().ok()?;
    seconds.checked_mul(1_000_000)?.checked_add(micros.trim().parse().ok()?)
}

#[cfg(test)]
mod tests {
    use std::path::Path;

    use super::*;
    use crate::views::compare::{Dump, DumpError, Form};

    fn parse(text: &str) -> Result<Dump, DumpError> {
        Dump::parse(text, Path::new("ref"))
    }

    fn error(text: &str) -> String {
        parse(text).expect_err("a fault").to_string()
    }

    const LOGGER: &str = "\
Time, CID, SrcIp, SrcPort, DstIp, DstPort,SegsOut, SndLimTransStartUp, WinScaleSent, 
1400000000.000001,7,10.0.0.1,5001,10.0.0.2,40000,123,0,-1,
1400000000.000002,8,2001:db8::1,5001,2001:db8::2,40000,5,1,7,
1400000001.000001,7,10.0.0.1,5001,10.0.0.2,40000,125,,7,
";

    #[test]
    fn logger() {
        let dump = parse(LOGGER).expect("a dump");
        assert_eq!((dump.form, dump.rows.len()), (Form::Logger, 2));
        let row = &dump.rows[0];
        assert_eq!((row.cid, row.read_us), (Some(7), Some(1_400_000_001_000_001)));
        assert_eq!(row.values.get(Var::SegsOut), Some(125), "the last reading");
        assert_eq!(row.values.get(Var::SndLimTransStartup), None, "an empty cell is not zero");
        assert_eq!(dump.rows[1].values.get(Var::SndLimTransStartup), Some(1));
        assert_eq!(dump.rows[1].addresses.unwrap().0.to_string(), "[2001:db8::1]:5001");
        assert!(dump.unknown_names.is_empty(), "{:?}", dump.unknown_names);
    }

    #[test]
    fn logger_faults_have_their_line() {
        let said = error(&LOGGER.replace(",125,", ",many,"));
        assert_eq!(said, "ref: line 4: SegsOut is \"many\", which is not an integer");
        let said = error(&LOGGER.replace(",123,0,-1,", ",123,0,-1,9"));
        assert_eq!(said, "ref: line 2: has 4 values, its header 3");
    }

    #[test]
    fn a_last_line_that_is_cut_is_left_out() {
        let cut = LOGGER.trim_end_matches("5,,7,\n");
        let dump = parse(cut).expect("a dump");
        assert_eq!(dump.rows[0].values.get(Var::SegsOut), Some(123), "not 12");
        let said = error(&format!("{cut}\n"));
        assert!(said.contains("line 4: has 1 values"), "{said}");
    }

    /// As a Web10G kernel (5.4) and its userland gave it: the startup under another's name.
    #[test]
    fn names_that_the_userland_confuses_are_put_right() {
        const HEAD: &str = "Time, CID, SrcIp, SrcPort, DstIp, DstPort,SndLimTransStartUp, \
            SndLimTransPace, SndLimTransTSODefer, SndLimTimeTSODefer, SndLimTimeStartUp\n";
        const LEAD: &str = "1400000000.000001,7,10.0.0.1,5001,10.0.0.2,40000,";
        let values = |text: &str| {
            let dump = parse(&format!("{HEAD}{LEAD}{text}\n")).expect("a dump");
            let get = |var| dump.rows[0].values.get(var).expect("a value");
            [
                get(Var::SndLimTransTSODefer),
                get(Var::SndLimTransPace),
                get(Var::SndLimTimeTSODefer),
                get(Var::SndLimTimeStartup),
            ]
        };
        assert_eq!(values("0,1,0,10868,344"), [1, 0, 344, 10868]);
        assert_eq!(values("0,0,0,11036,0"), [0, 0, 0, 11036]);
        // A userland that has them right.
        assert_eq!(values("0,0,1,344,10868"), [1, 0, 344, 10868]);
    }

    const READVARS: &str = "\
Timestamp sec: 1400000000, usec: 5


Perf Table

SegsOut=1234
SndLimTransStartUp=0


Stack Table

WinScaleSent=-1
";

    #[test]
    fn readvars() {
        let dump = parse(&format!("{READVARS}\n{READVARS}")).expect("a dump");
        assert_eq!((dump.form, dump.rows.len()), (Form::Readvars, 2));
        let row = &dump.rows[1];
        assert_eq!(
            (row.cid, row.addresses, row.read_us),
            (None, None, Some(1_400_000_000_000_005))
        );
        assert_eq!(row.values.get(Var::SegsOut), Some(1234));
        assert_eq!(row.values.get(Var::WinScaleSent), Some(-1));
    }

    #[test]
    fn readvars_faults_have_their_line() {
        let said = error(&READVARS.replace("SegsOut=1234", "SegsOut 1234"));
        assert_eq!(said, "ref: line 6: expected NAME=VALUE, found \"SegsOut 1234\"");
        let said = error(&READVARS.replace("=-1", "=-"));
        assert_eq!(said, "ref: line 12: WinScaleSent is \"-\", which is not an integer");
        let said = error("Timestamp sec: now, usec: 5\n");
        assert!(said.contains("line 1: ") && said.contains("not a timestamp"), "{said}");
    }
}
