// SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause
//! A guest in a few lines: what the kernel gives with each hook set, and what came of the checks.

use crate::results::Results;
use crate::rows::qualities;
use crate::visit::Visit;

/// Rows of a Markdown table (docs/arm64.md): kernel, hook set, variables by quality, checks, comparisons,
/// those that failed, those that failed in rows marked lossy, and the digest of the tables that the
/// guest made.
pub fn rows(visit: &Visit, results: &Results) -> Vec<String> {
    let row = |recorded: &crate::facts::Recorded| {
        let manifest = visit.manifest(&recorded.set).unwrap_or_default();
        let release = manifest["host"]["kernel_release"].as_str().unwrap_or("?");
        let qualities = qualities(&manifest).unwrap_or_default();
        let count = |quality: &str| qualities.values().filter(|q| *q == quality).count();
        let of_set: Vec<_> = results.0.iter().filter(|c| c.hooks == recorded.set).collect();
        let compared: usize = of_set.iter().map(|c| c.compared).sum();
        let failed: usize = of_set.iter().map(|c| c.failures.len()).sum();
        let excused: usize = of_set.iter().map(|c| c.excused.len()).sum();
        let digest = match visit.output.replays.get(&recorded.set) {
            Some(Ok(digest)) => digest.get(..16).unwrap_or(digest),
            Some(Err(_)) => "none",
            None => "",
        };
        format!(
            "| {release} | {} | {} | {} | {} | {} | {} | {compared} | {failed} | {excused} | {digest} |",
            recorded.set,
            count("exact"),
            count("sampled") + count("approximate"),
            count("constant"),
            count("missing"),
            of_set.len(),
        )
    };
    visit.output.recorders.iter().map(row).collect()
}
