// SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause
//! The band of limits against the shares of the headline, without a browser: both out of the page's data.

use std::fs;
use std::io::Read as _;
use std::path::{Path, PathBuf};

use serde_json::Value as Json;

use super::report;

/// What base64 stands for.
pub fn decoded(text: &str) -> Vec<u8> {
    let digit = |byte: u8| {
        let alphabet = b"ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789+/";
        alphabet.iter().position(|b| *b == byte).map(|n| n as u32)
    };
    let mut octets = Vec::new();
    for four in text.as_bytes().chunks(4) {
        let digits: Vec<u32> = four.iter().filter_map(|b| digit(*b)).collect();
        let bits = digits.iter().fold(0, |bits, n| (bits << 6) | n) << (6 * (4 - digits.len()));
        octets.extend(bits.to_be_bytes()[1..].iter().take(digits.len() - 1));
    }
    octets
}

/// What a script element of the page holds, unpacked.
fn unpacked(page: &str, id: &str) -> Json {
    let start = format!("id=\"{id}\">");
    let from = page.find(&start).unwrap_or_else(|| panic!("the page has no {id}")) + start.len();
    let packed = decoded(&page[from..from + page[from..].find('<').expect("an end")]);
    let mut json = String::new();
    flate2::read::GzDecoder::new(&packed[..]).read_to_string(&mut json).expect("gzip");
    serde_json::from_str(&json).expect("JSON")
}

/// All recordings of testdata.
fn recordings() -> Vec<PathBuf> {
    let testdata = Path::new(env!("CARGO_MANIFEST_DIR")).join("testdata");
    let list = |dir: &Path| -> Vec<PathBuf> {
        fs::read_dir(dir).expect("testdata").map(|entry| entry.expect("entry").path()).collect()
    };
    let mut all: Vec<PathBuf> = list(&testdata).iter().map(|dir| dir.join("run")).collect();
    all.extend(list(&testdata.join("limits")));
    all.retain(|run| run.join("manifest.json").exists());
    all.sort();
    assert!(all.len() >= 20, "{all:?}");
    all
}

/// The shares of the band, as the page sums them: thousandths of stretches, of all that is known.
fn band(plots: &Json) -> impl Fn(&str) -> f64 {
    let sums: Vec<(String, f64)> = plots["limits"]
        .as_object()
        .expect("limits")
        .iter()
        .map(|(name, steps)| {
            let steps =
                steps.as_array().expect("steps").iter().map(|v| v.as_i64().expect("a step"));
            let mut value = 0;
            let sum: i64 = steps
                .map(|step| {
                    value += step;
                    value
                })
                .sum();
            (name.clone(), sum as f64)
        })
        .collect();
    let total: f64 = sums.iter().map(|(_, sum)| sum).sum();
    move |name| sums.iter().find(|(other, _)| other == name).map_or(0.0, |(_, sum)| sum / total)
}

#[test]
fn the_band_has_the_shares_of_the_headline_in_every_recording() {
    let dir = tempfile::tempdir().expect("temporary directory");
    let (mut compared, mut large) = (0, 0);
    for run in recordings() {
        let page =
            fs::read_to_string(report(&run, dir.path(), &["--top", "1000"])).expect("a page");
        let lines = unpacked(&page, "lines-0");
        let ids = lines["conn_id"].as_array().expect("ids");
        for (at, id) in ids.iter().enumerate() {
            if lines["limited_by"][at].is_null() {
                continue;
            }
            let plots = unpacked(&page, &format!("plots-0-{id}"));
            let share = band(&plots);
            for cause in estats::engine::limits::LimitCause::ALL {
                let column = &lines[cause.column()][at];
                let headline = column.as_f64().unwrap_or(0.0);
                let drawn = share(cause.name());
                assert!(
                    (headline - drawn).abs() < 0.001,
                    "{}, connection {id}: {} is {headline} in words and {drawn} in the band",
                    run.display(),
                    cause.name(),
                );
                large += usize::from(headline > 0.5);
            }
            compared += 1;
        }
    }
    assert!(compared > 30 && large > 10, "{compared} compared, {large} with a large share");
}
