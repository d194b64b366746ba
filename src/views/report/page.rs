// SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause
//! The page: a template, the page's own code and style, uPlot, and the data.
//!
//! The table of connections is JSON by columns, and the data of each connection's plots is JSON too, all in
//! gzip in base64. The browser unpacks (DecompressionStream) the table when the page opens, and plots when
//! somebody looks at them: a report opens in the time that its table takes.

use std::borrow::Cow;
use std::fmt::Write as _;
use std::io::{self, Write as _};

use flate2::Compression;
use flate2::write::GzEncoder;
use serde::Serialize;
use serde_json::{Value, json};

use super::single::{script, style};
use super::{Overview, PlotData, Run, largest};
use crate::engine::limits::LimitCause;
use crate::util::base64;
use crate::util::visible::visible;
use crate::views::summary::{KEYS, Line};

const TEMPLATE: &str = include_str!("page.html");
/// Nothing but what is in the page.
const INLINE: &str =
    "default-src 'none'; style-src 'unsafe-inline'; script-src 'unsafe-inline'; img-src data:";

/// What a page has beside its runs and views.
#[derive(Clone, Debug, Default)]
pub struct Extra {
    /// The table of a comparison, as table.js takes it.
    pub difference: Option<Value>,
    /// Pages of single connections: what stands before their names in a link, and which there are.
    pub pages: Option<(String, Vec<u64>)>,
    /// The page with all connections, as a link of a page with one.
    pub all: Option<String>,
}

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
        Self { label: heading(&run.overview, conn_id), traces: vec![(0, conn_id)] }
    }

    /// A connection of each of two runs.
    pub fn of_pair(runs: &[Run; 2], a: u64, b: u64) -> Self {
        let label =
            format!("A {}, B {}", heading(&runs[0].overview, a), heading(&runs[1].overview, b));
        Self { label, traces: vec![(0, a), (1, b)] }
    }
}

pub(super) fn heading(overview: &Overview, conn_id: u64) -> String {
    let line = overview.connection(conn_id).map(|c| &c.line);
    let end = |end: Option<&String>| end.map_or("?", String::as_str).to_owned();
    let local = end(line.and_then(|l| l.local.as_ref()));
    let remote = end(line.and_then(|l| l.remote.as_ref()));
    format!("{conn_id}: {local} – {remote}")
}

/// The whole page, in one file that needs no other.
///
/// # Errors
/// If the data cannot be written as JSON, which no value of this crate's does.
pub fn page(title: &str, runs: &[Run], views: &[View], extra: &Extra) -> io::Result<String> {
    let ways = Ways {
        policy: INLINE,
        style: &format!("<style>{}</style>", style()),
        script: &format!("<script>{}</script>", script()),
    };
    let overviews: Vec<_> = runs.iter().map(describe).collect::<Result<_, _>>()?;
    let data = data(&overviews.iter().map(|(run, _)| run).collect::<Vec<_>>(), views, extra);
    let mut packed = String::new();
    for (i, (_, columns)) in overviews.iter().enumerate() {
        pack(&format!("lines-{i}"), columns, &mut packed)?;
    }
    plots(runs, views, &mut packed)?;
    Ok(filled(title, &ways, data, &packed))
}

/// How style and script come into a page.
pub(super) struct Ways<'a> {
    pub policy: &'a str,
    pub style: &'a str,
    pub script: &'a str,
}

pub(super) fn data(runs: &[&Value], views: &[View], extra: &Extra) -> Value {
    let keys = KEYS.iter().map(|key| {
        json!({ "name": key.name, "unit": key.unit().map(|u| format!("{u:?}")), "meaning": key.meaning })
    });
    let pages = extra.pages.as_ref().map(|(link, ids)| json!({ "link": link, "ids": ids }));
    json!({
        "limits": LimitCause::ALL.map(LimitCause::name),
        "keys": keys.collect::<Vec<_>>(),
        "runs": runs,
        "views": views,
        "difference": extra.difference,
        "pages": pages,
        "all": extra.all,
    })
}

/// The template with everything in its places; `packed` are script elements.
pub(super) fn filled(title: &str, ways: &Ways<'_>, mut data: Value, packed: &str) -> String {
    shown(&mut data);
    let mut out = String::new();
    let mut rest = TEMPLATE;
    while let Some((before, after)) = rest.split_once("{{") {
        out.push_str(before);
        let (name, after) = after.split_once("}}").unwrap_or((after, ""));
        rest = after;
        match name {
            "title" => escape(&visible(title), &mut out),
            "policy" => out.push_str(ways.policy),
            "style" => out.push_str(ways.style),
            "data" => inert(&data.to_string(), &mut out),
            "plots" => out.push_str(packed),
            "scripts" => out.push_str(ways.script),
            "version" => out.push_str(env!("CARGO_PKG_VERSION")),
            other => unreachable!("page.html has no {other}"),
        }
    }
    out.push_str(rest);
    out
}

/// The lines of connections by columns: a hundred thousand of them are parsed in a second.
pub(super) fn columns<'a>(
    lines: impl Iterator<Item = (&'a Line, f64, usize)>,
) -> Result<Value, serde_json::Error> {
    let mut columns = serde_json::Map::new();
    let mut push = |name: String, value: Value| {
        if let Value::Array(column) = columns.entry(name).or_insert_with(|| json!([])) {
            column.push(value);
        }
    };
    for (line, begin_s, rank) in lines {
        let Value::Object(values) = serde_json::to_value(line)? else { continue };
        push("pid".to_owned(), line.pid.into());
        for (name, value) in values {
            if let Value::Object(shares) = value {
                for (limit, share) in shares {
                    push(format!("{name}_{limit}"), share);
                }
            } else {
                push(name, value);
            }
        }
        push("begin_s".to_owned(), begin_s.into());
        push("rank".to_owned(), rank.into());
    }
    let mut columns = Value::Object(columns);
    shown(&mut columns);
    Ok(columns)
}

/// A run without its plots; the lines of its connections.
fn describe(run: &Run) -> Result<(Value, Value), serde_json::Error> {
    let overview = &run.overview;
    let order = largest(overview, usize::MAX);
    let mut ranks: Vec<(u64, usize)> = order.into_iter().zip(0..).collect();
    ranks.sort_unstable();
    let begin_s = |begin_ns: u64| (begin_ns as f64 - overview.started_ns as f64) / 1e9;
    let lines = overview.connections.iter().zip(ranks);
    let lines = columns(lines.map(|(c, (_, rank))| (&c.line, begin_s(c.begin_ns), rank)))?;
    let described = json!({
        "label": run.label,
        "facts": overview.facts,
        "lost": overview.lost,
        "totals": overview.totals,
    });
    Ok((described, lines))
}

fn plots(runs: &[Run], views: &[View], out: &mut String) -> io::Result<()> {
    let mut written = std::collections::BTreeSet::new();
    for &(run, conn_id) in views.iter().flat_map(|view| &view.traces) {
        let data = runs.get(run).and_then(|run| run.plots.get(&conn_id));
        let Some(data) = data.filter(|_| written.insert((run, conn_id))) else { continue };
        pack_plots(run, conn_id, data, out)?;
    }
    Ok(())
}

pub(super) fn pack_plots(
    run: usize,
    conn_id: u64,
    data: &PlotData,
    out: &mut String,
) -> io::Result<()> {
    pack(&format!("plots-{run}-{conn_id}"), data, out)
}

/// Adds a script element with what the page unpacks.
pub(super) fn pack(id: &str, data: &impl Serialize, out: &mut String) -> io::Result<()> {
    let mut packed = GzEncoder::new(Vec::new(), Compression::default());
    packed.write_all(&serde_json::to_vec(data)?)?;
    let _ = write!(out, "<script type=\"application/json+gzip\" id=\"{id}\">");
    base64::encode(&packed.finish()?, out);
    out.push_str("</script>\n");
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
        let page = page("a < b & \"c\"", &[], &views, &Extra::default()).unwrap();
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
