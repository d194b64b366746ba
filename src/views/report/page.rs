// SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause
//! The page: a template, the page's own code and style, uPlot, and the data.
//!
//! The table of connections is JSON, parsed when the page opens. The data of each connection's plots
//! is JSON in gzip in base64, which the browser unpacks (DecompressionStream) when somebody looks at
//! it: opening a report costs the same with one connection or with a hundred.

use std::borrow::Cow;
use std::fmt::Write as _;
use std::io::{self, Write as _};

use flate2::Compression;
use flate2::write::GzEncoder;
use serde::Serialize;
use serde_json::{Value, json};

use super::Run;
use crate::engine::limits::LimitCause;
use crate::util::base64;
use crate::util::visible::visible;

const TEMPLATE: &str = include_str!("page.html");
const STYLE: &str = include_str!("page.css");
const SCRIPTS: [&str; 4] = [
    include_str!("data.js"),
    include_str!("table.js"),
    include_str!("plots.js"),
    include_str!("page.js"),
];
const UPLOT: &str = include_str!("../../../third_party/uplot/uPlot.iife.min.js");
const UPLOT_STYLE: &str = include_str!("../../../third_party/uplot/uPlot.min.css");
const UPLOT_LICENSE: &str = include_str!("../../../third_party/uplot/LICENSE");

/// What can be opened: the plots of one connection, or of several one over the other.
#[derive(Clone, Debug, Serialize)]
pub struct View {
    /// Heading.
    pub label: String,
    /// (index of the run, number of the connection).
    pub traces: Vec<(usize, u64)>,
}

impl View {
    /// The plots of one connection of the first run.
    pub fn of(run: &Run, conn_id: u64) -> Self {
        Self { label: heading(run, conn_id), traces: vec![(0, conn_id)] }
    }

    /// A connection of each of two runs.
    pub fn of_pair(runs: &[Run; 2], a: u64, b: u64) -> Self {
        let label = format!("A {}, B {}", heading(&runs[0], a), heading(&runs[1], b));
        Self { label, traces: vec![(0, a), (1, b)] }
    }
}

fn heading(run: &Run, conn_id: u64) -> String {
    let line = run.overview.connections.iter().find(|c| c.conn_id() == conn_id).map(|c| &c.line);
    let end = |end: Option<&String>| end.map_or("?", String::as_str).to_owned();
    let local = end(line.and_then(|l| l.local.as_ref()));
    let remote = end(line.and_then(|l| l.remote.as_ref()));
    format!("{conn_id}: {local} – {remote}")
}

/// The whole page. `difference` is the table of a comparison, as table.js takes it.
///
/// # Errors
/// If the data cannot be written as JSON, which no value of this crate's does.
pub fn page(
    title: &str,
    runs: &[Run],
    views: &[View],
    difference: Option<&Value>,
) -> io::Result<String> {
    let described = runs.iter().map(describe).collect::<Result<Vec<_>, _>>()?;
    let mut data = json!({
        "limits": LimitCause::ALL.map(LimitCause::name),
        "runs": described,
        "views": views,
        "difference": difference,
    });
    shown(&mut data);
    let mut out = String::new();
    let mut rest = TEMPLATE;
    while let Some((before, after)) = rest.split_once("{{") {
        out.push_str(before);
        let (name, after) = after.split_once("}}").unwrap_or((after, ""));
        rest = after;
        match name {
            "title" => escape(&visible(title), &mut out),
            "style" => {
                out.push_str(UPLOT_STYLE);
                out.push_str(STYLE);
            }
            "data" => inert(&data.to_string(), &mut out),
            "plots" => plots(runs, views, &mut out)?,
            "scripts" => {
                let _ = write!(out, "/*\n{UPLOT_LICENSE}*/\n{UPLOT}\n");
                SCRIPTS.iter().for_each(|script| out.push_str(script));
            }
            "version" => out.push_str(env!("CARGO_PKG_VERSION")),
            other => unreachable!("page.html has no {other}"),
        }
    }
    out.push_str(rest);
    Ok(out)
}

/// A run without its plots; the lines of its connections as rows under one head.
fn describe(run: &Run) -> Result<Value, serde_json::Error> {
    let mut keys: Vec<String> = Vec::new();
    let mut rows = Vec::new();
    for connection in &run.overview.connections {
        let Value::Object(line) = serde_json::to_value(&connection.line)? else { continue };
        if keys.is_empty() {
            keys = line.keys().cloned().collect();
            keys.push("begin_s".to_owned());
        }
        let begin_s = connection.begin_ns as f64 - run.overview.started_ns as f64;
        let mut row: Vec<Value> = line.into_iter().map(|(_, value)| value).collect();
        row.push((begin_s / 1e9).into());
        rows.push(row);
    }
    Ok(json!({
        "label": run.label,
        "facts": run.overview.facts,
        "lost": run.overview.lost,
        "keys": keys,
        "rows": rows,
    }))
}

fn plots(runs: &[Run], views: &[View], out: &mut String) -> io::Result<()> {
    let mut written = Vec::new();
    for &(run, conn_id) in views.iter().flat_map(|view| &view.traces) {
        let data = runs.get(run).and_then(|run| run.plots.get(&conn_id));
        let Some(data) = data.filter(|_| !written.contains(&(run, conn_id))) else { continue };
        written.push((run, conn_id));
        let mut packed = GzEncoder::new(Vec::new(), Compression::best());
        packed.write_all(&serde_json::to_vec(data)?)?;
        let _ = write!(out, "<script type=\"application/json+gzip\" id=\"plots-{run}-{conn_id}\">");
        base64::encode(&packed.finish()?, out);
        out.push_str("</script>\n");
    }
    Ok(())
}

/// All texts as a person may see them.
fn shown(value: &mut Value) {
    match value {
        Value::String(text) => {
            if let Cow::Owned(escaped) = visible(text) {
                *text = escaped;
            }
        }
        Value::Array(items) => items.iter_mut().for_each(shown),
        Value::Object(members) => members.values_mut().for_each(shown),
        Value::Null | Value::Bool(_) | Value::Number(_) => {}
    }
}

/// JSON inside a script element: it may not look like the element's end, or a comment.
fn inert(json: &str, out: &mut String) {
    out.push_str(&json.replace('<', "\\u003c"));
}

fn escape(text: &str, out: &mut String) {
    for c in text.chars() {
        match c {
            '&' => out.push_str("&amp;"),
            '<' => out.push_str("&lt;"),
            '>' => out.push_str("&gt;"),
            '"' => out.push_str("&quot;"),
            c => out.push(c),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn data_cannot_end_the_page() {
        let views =
            [View { label: "</script><script>alert(1)</script>{{data}}".into(), traces: vec![] }];
        let page = page("a < b & \"c\"", &[], &views, None).unwrap();
        assert!(page.contains("<title>a &lt; b &amp; &quot;c&quot;</title>"));
        assert!(!page.contains("alert(1)</script>"));
        assert!(page.contains("\\u003cscript>alert(1)\\u003c/script>{{data}}"));
        // Nothing is fetched: no address but the licences' and names of namespaces.
        for (at, _) in page.match_indices("://") {
            let from = page[..at].rfind(['"', '\'', '(', ' ', '\n']).unwrap();
            let address = &page[from + 1..at + 40];
            assert!(address.starts_with("https://github.com/leeoniya/uPlot"), "{address}");
        }
        for word in [" src=", "<link", "@import", "fetch(", "XMLHttpRequest"] {
            assert!(!page.contains(word), "{word}");
        }
    }
}
