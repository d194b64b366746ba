// SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause
//! Reports in a real browser: they render, sort, search, zoom, and write nothing to the console.
//!
//! Needs chromium and chromedriver; without them every test here is counted as skipped, and with
//! `ESTATS_REQUIRE_LIVE=1` it fails.

mod band;
mod browser;
mod many;

use crate::common;
use crate::support::gate;

use std::fs;
use std::path::{Path, PathBuf};
use std::process::Command;

use browser::Browser;
use serde_json::Value as Json;

const SUITE: &str = "report tests";
const BROWSER: gate::Needs =
    gate::Needs { programs: &["chromium", "chromedriver"], ..gate::Needs::PROGRAMS };

/// The report of a recording, in a directory that lives as long as the test.
fn report(run: &Path, to: &Path, options: &[&str]) -> PathBuf {
    let page = to.join("report.html");
    let output = Command::new(env!("CARGO_BIN_EXE_estats-analyze"))
        .arg("report")
        .arg(run)
        .arg("-o")
        .arg(&page)
        .args(options)
        .output()
        .expect("estats-analyze can be started");
    // 3: the recording lost data.
    let code = output.status.code();
    assert!(matches!(code, Some(0 | 3)), "{}", String::from_utf8_lossy(&output.stderr));
    page
}

fn lossy() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("testdata/loss/run")
}

fn number(value: Json) -> f64 {
    value.as_f64().unwrap_or_else(|| panic!("no number: {value}"))
}

/// A recording that somebody else made may have links where reports are written.
#[test]
fn reports_are_not_written_through_links() {
    use std::os::unix::fs::{PermissionsExt as _, symlink};
    let dir = tempfile::tempdir().expect("temporary directory");
    let (run, pages) = (dir.path().join("run"), dir.path().join("pages"));
    let victim = dir.path().join("victim");
    fs::write(&victim, "precious").expect("a file");
    fs::create_dir(&run).expect("a directory");
    for file in fs::read_dir(lossy()).expect("a recording") {
        let file = file.expect("an entry").path();
        if file.is_file() {
            fs::copy(&file, run.join(file.file_name().expect("a name"))).expect("a copy");
        }
    }
    fs::create_dir(&pages).expect("a directory");
    for link in [run.join("report.html"), pages.join("report.js"), pages.join("connection-1.html")]
    {
        symlink(&victim, link).expect("a link");
    }
    let output = Command::new(env!("CARGO_BIN_EXE_estats-analyze"))
        .arg("report")
        .arg(&run)
        .arg("--pages")
        .arg(&pages)
        .output()
        .expect("estats-analyze can be started");
    let code = output.status.code();
    assert!(matches!(code, Some(0 | 3)), "{}", String::from_utf8_lossy(&output.stderr));
    assert_eq!(fs::read_to_string(&victim).expect("the victim"), "precious");
    for made in [run.join("report.html"), pages.join("report.js"), pages.join("connection-1.html")]
    {
        let made = fs::symlink_metadata(&made).expect("a file");
        assert!(made.is_file());
        assert_eq!(made.permissions().mode() & 0o777, 0o600);
    }
}

/// The range that a plot shows, as its own scale has it.
const RANGES: &str = "return Array.from(document.querySelectorAll('#plots .u-over'), (over) => over.clientWidth).length";

#[test]
fn the_kernel_s_own_times_stand_beside_the_causes() {
    let Some(_turn) = gate::enter(SUITE, BROWSER) else { return };
    let dir = tempfile::tempdir().expect("temporary directory");
    let run = Path::new(env!("CARGO_MANIFEST_DIR")).join("testdata/limits/rwnd-64k");
    let browser = Browser::start(1280, 1000);
    browser.open(&report(&run, dir.path(), &[]));
    let verdict = browser.text("return document.querySelector('.verdict').textContent");
    assert!(verdict.contains("For 96 % of its life it was limited by the receiver's window"));
    assert!(verdict.contains("busy 99 %, receiver's window 96 %, send buffer 0 %."), "{verdict}");
    // The band says the same.
    let band = browser.text("return document.querySelector('[data-keys=limits]').textContent");
    assert!(band.contains("receiver 96 %"), "{band}");
    let differs = browser.text(
        "return verdict({...connections[0], limits_differ: 'receiver'}, {retransmissions: []})",
    );
    assert!(differs.contains("the two differ by more than a tenth in receiver"), "{differs}");
}

#[test]
fn a_report_has_the_texts_for_a_newcomer() {
    let Some(_turn) = gate::enter(SUITE, BROWSER) else { return };
    let dir = tempfile::tempdir().expect("temporary directory");
    let page = report(&lossy(), dir.path(), &[]);
    let browser = Browser::start(1280, 1000);
    browser.open(&page);
    let verdict = browser.text("return document.querySelector('.verdict').textContent");
    assert!(verdict.contains("For 83 % of its life"), "{verdict}");
    assert!(verdict.contains("the network, as its congestion window knew it"), "{verdict}");
    assert!(verdict.contains("estimate"), "the recording has no Limstate: {verdict}");
    assert!(verdict.contains("22 segments were retransmitted"), "{verdict}");
    assert!(verdict.contains("15 stays in recovery"), "{verdict}");
    // A strip of limits and six plots; in each something was painted.
    assert_eq!(number(browser.run(RANGES)), 7.0);
    let painted = browser.run(
        "return Array.from(document.querySelectorAll('#plots canvas, #distribution canvas'), (c) => {
           const {data} = c.getContext('2d').getImageData(0, 0, c.width, c.height);
           let n = 0;
           for (let i = 3; i < data.length; i += 4) n += data[i] > 0;
           return n / (c.width * c.height);
         })",
    );
    let painted = painted.as_array().expect("a list");
    assert_eq!(painted.len(), 8, "{painted:?}");
    // Lines, grid and labels cover at least a hundredth of a canvas.
    assert!(painted.iter().all(|share| share.as_f64() > Some(0.01)), "{painted:?}");
    let facts = browser.text("return document.getElementById('facts').textContent");
    for word in ["6.18", "tp_btf/tcp_probe", "tcp_congestion_control", "records lostnone", "qdisc"]
    {
        assert!(facts.contains(word), "{word}: {facts}");
    }
    assert_eq!(browser.console(), Vec::<String>::new());
}

#[test]
fn zooming() {
    let Some(_turn) = gate::enter(SUITE, BROWSER) else { return };
    let dir = tempfile::tempdir().expect("temporary directory");
    let page = report(&lossy(), dir.path(), &[]);
    let browser = Browser::start(1280, 1000);
    browser.open(&page);
    let range = || browser.text("return document.getElementById('range').textContent");
    let whole = range();
    assert_eq!(whole, "0.000 s to 2.977 s");
    let shares = || {
        browser.text("return document.querySelector('.keys span').parentElement.textContent + document.querySelectorAll('.keys')[1].textContent")
    };
    let before = shares();
    // A press of a button halves what is seen, around the middle.
    browser.click("[data-zoom=in]");
    assert_eq!(range(), "0.744 s to 2.233 s");
    assert_ne!(shares(), before, "shares are those of the visible range");
    // Dragging in one plot zooms all: the first label of every time axis is the same.
    browser.click("[data-zoom=all]");
    assert_eq!(range(), whole);
    browser.drag("[data-plot=window] .u-over", -200, 200, true);
    browser.until("return !document.getElementById('range').textContent.startsWith('0.000')");
    let zoomed = range();
    let bounds: Vec<f64> =
        zoomed.split(" to ").map(|s| s.trim_end_matches(" s").parse().expect("seconds")).collect();
    // 400 pixels of about 1120, less what rounding to a pixel takes.
    let share = (bounds[1] - bounds[0]) / 2.977;
    assert!((0.3..0.45).contains(&share), "{zoomed}");
    let cursor = "return Array.from(document.querySelectorAll('#plots .u-legend .u-series:first-child .u-value'), (v) => v.textContent)";
    browser.drag("[data-plot=rtt] .u-over", -100, 50, false);
    let times = browser.run(cursor);
    let times: Vec<_> = times.as_array().expect("a list").iter().filter_map(Json::as_str).collect();
    assert_eq!(times.len(), 6, "{times:?}");
    let seconds = times.iter().map(|t| t.trim_end_matches(" s").parse::<f64>().expect("a time"));
    // Each plot shows its point nearest to the cursor; rates have one every 7 ms here.
    for time in seconds {
        assert!(bounds[0] <= time && time <= bounds[1], "{times:?} in {zoomed}");
    }
    // The keyboard, with the plots focused.
    browser.run("document.getElementById('plots').focus()");
    browser.keys("#plots", "0");
    assert_eq!(range(), whole);
    browser.keys("#plots", "+");
    assert_eq!(range(), "0.744 s to 2.233 s");
    browser.keys("#plots", "\u{e014}"); // the right arrow
    assert_eq!(range(), "1.116 s to 2.605 s");
    assert_eq!(browser.console(), Vec::<String>::new());
}

#[test]
fn thousands_of_connections() {
    let Some(_turn) = gate::enter(SUITE, BROWSER) else { return };
    let dir = tempfile::tempdir().expect("temporary directory");
    let run = dir.path().join("run");
    common::synthetic(&run, 3000);
    let page = report(&run, dir.path(), &["--top", "3"]);
    let browser = Browser::start(1280, 1000);
    browser.open(&page);
    let rows =
        || number(browser.run("return document.querySelectorAll('#connections tbody tr').length"));
    let count =
        || browser.text("return document.querySelector('#connections [role=status]').textContent");
    assert_eq!(count(), "3,006 of 3,006");
    assert_eq!(rows(), 200.0, "no more rows than a person reads");
    browser.click("#connections .more");
    assert_eq!(rows(), 400.0);
    // Every word must occur, in any column.
    browser.keys("#connections input", "curl 192.0.2.9");
    assert_eq!(count(), "1 of 3,006");
    browser.run("const s = document.querySelector('#connections input'); s.value = ''; s.dispatchEvent(new Event('input'))");
    let first = |column: u32| {
        browser.text(&format!(
            "return document.querySelector('#connections tbody td:nth-child({column})').textContent"
        ))
    };
    let sorted = |column: &str| {
        browser.text(&format!(
            "return document.querySelector('th[data-column={column}]').getAttribute('aria-sort') || ''"
        ))
    };
    browser.click("th[data-column=id] button");
    assert_eq!((first(1), sorted("id")), ("3006".to_owned(), "descending".to_owned()));
    browser.click("th[data-column=id] button");
    assert_eq!((first(1), sorted("id")), ("1".to_owned(), "ascending".to_owned()));
    assert_eq!(sorted("acked"), "");
    // Unknown values come last in either order.
    for _ in 0..2 {
        browser.click("th[data-column=minrtt] button");
        assert_eq!(first(14), "10.00 ms");
    }
    // Those with plots can be opened, and are named in the address.
    browser.click("#connections tr[data-view='0'] button.id");
    browser.until("return location.hash.length > 1");
    // Lost records are reported at the top, not only in the details.
    let alarm = browser.text("return document.querySelector('header .alarm').textContent");
    assert!(alarm.starts_with("3 records were lost"), "{alarm}");
    assert_eq!(browser.console(), Vec::<String>::new());
}

#[test]
fn two_runs_one_over_the_other() {
    let Some(_turn) = gate::enter(SUITE, BROWSER) else { return };
    let dir = tempfile::tempdir().expect("temporary directory");
    let page = dir.path().join("diff.html");
    let marks = lossy().parent().expect("a scenario").with_file_name("congestion-marks/run");
    let output = Command::new(env!("CARGO_BIN_EXE_estats-analyze"))
        .args([Path::new("diff"), &lossy(), &marks, Path::new("--html"), &page])
        .output()
        .expect("estats-analyze can be started");
    assert!(output.status.success(), "{}", String::from_utf8_lossy(&output.stderr));
    let browser = Browser::start(1280, 1000);
    browser.open(&page);
    let note = browser.text("return document.getElementById('difference-note').textContent");
    assert!(note.contains("2 pairs"), "{note}");
    assert!(note.contains("fewer than six pairs"), "{note}");
    browser.keys("#difference input", "sends SegsRetrans");
    let cells = browser.text(
        "return Array.from(document.querySelectorAll('#difference tbody td'), (d) => d.textContent).join('|')",
    );
    assert_eq!(
        cells,
        "any program, opened by local, sends|SegsRetrans|segments|22|0|-22|–|-100 %|-1|1|notable"
    );
    // Two strips of limits, and in each plot a line of either run.
    let plots = browser.run("return document.querySelectorAll('#plots .plot').length");
    assert_eq!(number(plots), 8.0);
    let legend =
        browser.text("return document.querySelector('[data-plot=window] .u-legend').textContent");
    for name in ["cwnd, A", "cwnd, B"] {
        assert!(legend.contains(name), "{legend}");
    }
    browser.click("[data-zoom=in]");
    assert_eq!(browser.console(), Vec::<String>::new());
}

#[test]
fn the_same_recording_gives_the_same_page() {
    let dir = tempfile::tempdir().expect("temporary directory");
    let page = fs::read(report(&lossy(), dir.path(), &[])).expect("a page");
    assert_eq!(page, fs::read(report(&lossy(), dir.path(), &[])).expect("a page"));
    // 51 kB of it are uPlot's.
    assert!(page.len() < 200_000, "{} octets", page.len());
}
