// SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause
//! `variables`: the schema.

use std::io::{self, Write as _};
use std::process::ExitCode;

use estats::views::manual;

use super::print_json;

pub fn run(markdown: bool, json: bool) -> anyhow::Result<ExitCode> {
    if json {
        print_json(&manual::descriptions())?;
        return Ok(ExitCode::SUCCESS);
    }
    let mut out = io::stdout().lock();
    if markdown {
        out.write_all(manual::variables_markdown().as_bytes())?;
        return Ok(ExitCode::SUCCESS);
    }
    writeln!(
        out,
        "{:<22} {:<11} {:<12} {:<12} {:<12} RFC 4898",
        "NAME", "TABLE", "KIND", "UNIT", "AT BEST"
    )?;
    for d in manual::descriptions() {
        let quality = d.sources.first().map_or("missing", |s| s.quality);
        let line = format!(
            "{:<22} {:<11} {:<12} {:<12} {quality:<12} {}",
            d.name, d.table, d.kind, d.unit, d.rfc
        );
        writeln!(out, "{}", line.trim_end())?;
    }
    Ok(ExitCode::SUCCESS)
}
