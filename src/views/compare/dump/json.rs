// SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause
//! JSON: an object per connection with `laddr`, `lport`, `raddr`, `rport`, `cid`, `read_time` and an
//! object per table; alone, in lists, in lists by side (`{"A": [..], "B": [..]}`), or one per line.

use serde_json::{Map, Value};

use super::{DumpRow, Fault, Names, add, endpoint};

/// Field that distinguishes a connection from a list by side.
const LOCAL: &str = "laddr";

pub(super) fn rows(text: &str, names: &mut Names) -> Result<Vec<DumpRow>, Fault> {
    let mut rows = Vec::new();
    let documents = serde_json::Deserializer::from_str(text).into_iter::<Value>();
    for (number, document) in documents.enumerate() {
        let document = document.map_err(|e| {
            let said = e.to_string();
            // It ends in the place, which stands before it here.
            let what = said.rsplit_once(" at line ").map_or(said.as_str(), |(what, _)| what);
            (format!("line {}, column {}", e.line(), e.column()), what.to_owned())
        })?;
        // The place of a second document identifies it.
        let place = if number == 0 { String::new() } else { format!("document {}: ", number + 1) };
        take(&document, &place, None, names, &mut rows)?;
    }
    Ok(rows)
}

fn take(
    value: &Value,
    place: &str,
    side: Option<&str>,
    names: &mut Names,
    rows: &mut Vec<DumpRow>,
) -> Result<(), Fault> {
    match value {
        Value::Object(fields) if fields.contains_key(LOCAL) => {
            add(rows, row(fields, place, side, names)?)?;
        }
        Value::Object(sides) => {
            for (side, value) in sides {
                take(value, &format!("{place}{side}"), Some(side), names, rows)?;
            }
        }
        Value::Array(items) => {
            for (i, item) in items.iter().enumerate() {
                take(item, &format!("{place}[{i}]"), side, names, rows)?;
            }
        }
        Value::Null | Value::Bool(_) | Value::Number(_) | Value::String(_) => {
            let what = format!("expected a connection (an object with {LOCAL:?}), found {value}");
            return Err((place_or_top(place), what));
        }
    }
    Ok(())
}

fn place_or_top(place: &str) -> String {
    if place.is_empty() { "the connection".to_owned() } else { place.to_owned() }
}

fn row(
    fields: &Map<String, Value>,
    place: &str,
    side: Option<&str>,
    names: &mut Names,
) -> Result<DumpRow, Fault> {
    let fault = |what: String| (place_or_top(place), what);
    let end = |address: &str, port: &str| {
        let text = fields.get(address).and_then(Value::as_str);
        let number = fields.get(port).and_then(Value::as_u64);
        match (text, number) {
            (Some(text), Some(number)) => endpoint(text, number).map_err(fault),
            (None, _) => Err(fault(format!("{address:?} is missing or no text"))),
            (_, None) => Err(fault(format!("{port:?} is missing or no port"))),
        }
    };
    let mut row = DumpRow {
        place: place_or_top(place),
        side: side.map(str::to_owned),
        cid: fields.get("cid").and_then(Value::as_u64),
        addresses: Some((end(LOCAL, "lport")?, end("raddr", "rport")?)),
        // Microseconds of this century fit into the 53 bits of a double.
        read_us: fields.get("read_time").and_then(Value::as_f64).map(|s| (s * 1e6).round() as u64),
        ..DumpRow::default()
    };
    for table in fields.values() {
        let Value::Object(variables) = table else { continue };
        for (name, value) in variables {
            let Some(var) = names.find(name) else { continue };
            let number = value.as_i64().map(i128::from).or_else(|| value.as_u64().map(i128::from));
            match (number, value) {
                (Some(number), _) => row.values.set(var, number),
                (None, Value::Null) => {}
                (None, _) => {
                    return Err(fault(format!("{name} is {value}, which is not an integer")));
                }
            }
        }
    }
    Ok(row)
}
