// SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause
//! Pages of single connections. They stand in a directory, beside one file with the style and one with the
//! code of all of them, so that each is as small as its data.

use std::io;

use serde_json::json;

use super::page::{self, Extra, View, Ways};
use super::{Overview, PlotData};

/// The file of the code, in the directory of the pages.
pub const SCRIPT: &str = "report.js";
/// The file of the style.
pub const STYLE: &str = "report.css";

const SCRIPTS: [&str; 8] = [
    include_str!("data.js"),
    include_str!("condition.js"),
    include_str!("table.js"),
    include_str!("marks.js"),
    include_str!("strips.js"),
    include_str!("plots.js"),
    include_str!("flows.js"),
    include_str!("page.js"),
];
const OWN_STYLE: &str = include_str!("page.css");
const UPLOT: &str = include_str!("../../../third_party/uplot/uPlot.iife.min.js");
const UPLOT_STYLE: &str = include_str!("../../../third_party/uplot/uPlot.min.css");
const UPLOT_LICENSE: &str = include_str!("../../../third_party/uplot/LICENSE");
/// Only files beside the page: `file:` is what they are without a server, 'self' with one.
const BESIDE: &str = "default-src 'none'; style-src 'self' file: 'unsafe-inline'; script-src 'self' file:; img-src data:";

/// The name of a connection's page in the directory.
pub fn file_name(conn_id: u64) -> String {
    format!("connection-{conn_id}.html")
}

/// The code of every page.
pub fn script() -> String {
    let mut script = format!("/*\n{UPLOT_LICENSE}*/\n{UPLOT}\n");
    SCRIPTS.iter().for_each(|part| script.push_str(part));
    script
}

/// The style of every page.
pub fn style() -> String {
    [UPLOT_STYLE, OWN_STYLE].concat()
}

/// The page of one connection. `label` is what a person calls the recording, `all` the link to the page with
/// all connections.
///
/// # Errors
/// If the data cannot be written as JSON, which no value of this crate's does.
pub fn single(
    label: &str,
    overview: &Overview,
    conn_id: u64,
    data: &PlotData,
    all: &str,
) -> io::Result<String> {
    let connection = overview.connection(conn_id);
    let begin_s = |ns: u64| (ns as f64 - overview.started_ns as f64) / 1e9;
    let lines = connection.into_iter().map(|c| (&c.line, begin_s(c.begin_ns), 0));
    let lines = page::columns(lines)?;
    let run = json!({ "label": label, "facts": overview.facts, "lost": overview.lost });
    let heading = page::heading(overview, conn_id);
    let views = [View { label: heading, traces: vec![(0, conn_id)] }];
    let extra = Extra { all: Some(all.to_owned()), ..Extra::default() };
    let mut packed = String::new();
    page::pack("lines-0", &lines, &mut packed)?;
    page::pack_plots(0, conn_id, data, &mut packed)?;
    let ways = Ways {
        policy: BESIDE,
        style: &format!("<link rel=\"stylesheet\" href=\"{STYLE}\">"),
        script: &format!("<script src=\"{SCRIPT}\"></script>"),
    };
    let title = format!("estats: {label}, connection {conn_id}");
    Ok(page::filled(&title, &ways, page::data(&[&run], &views, &extra), &packed))
}
