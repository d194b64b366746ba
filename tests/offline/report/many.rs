// SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause
//! Reports of many connections: their order, conditions, plots over all of them, pages of single ones.

use std::fs;
use std::path::Path;

use estats::log::Recording;
use estats::replay::ReplayOptions;
use estats::views::report as view;
use estats::views::summary::Condition;
use serde_json::Value as Json;

use super::browser::Browser;
use super::{BROWSER, SUITE, number, report};
use crate::common::{self, senders};
use crate::support::gate;

fn texts(value: &Json) -> Vec<&str> {
    value.as_array().expect("a list").iter().map(|v| v.as_str().expect("a text")).collect()
}

/// Types a search and gives the numbers of the connections that the table has then.
fn found(browser: &Browser, search: &str) -> Vec<u64> {
    let search = serde_json::to_string(search).expect("JSON");
    browser.run(&format!(
        "const s = document.querySelector('#connections input'); s.value = {search}; s.dispatchEvent(new Event('input'))"
    ));
    let found = browser.run("return found.map((line) => line.conn_id).sort((a, b) => a - b)");
    found.as_array().expect("a list").iter().map(|v| v.as_u64().expect("a number")).collect()
}

#[test]
fn conditions_find_in_the_page_what_they_find_in_summary() {
    let Some(_turn) = gate::enter(SUITE, BROWSER) else { return };
    let browser = Browser::start(1280, 1000);
    let dir = tempfile::tempdir().expect("temporary directory");
    common::synthetic(&dir.path().join("short"), 300);
    senders::senders(&dir.path().join("senders"));
    let testdata = Path::new(env!("CARGO_MANIFEST_DIR")).join("testdata");
    let runs = [
        dir.path().join("short"),
        dir.path().join("senders"),
        testdata.join("snapshots/run"),
        testdata.join("limits/bottleneck-cubic"),
    ];
    let mut some = 0;
    for run in runs {
        browser.open(&report(&run, dir.path(), &["--top", "1"]));
        let recording = Recording::open(&run).expect("a recording");
        let lines = view::overview(&recording, &ReplayOptions::default()).expect("replay");
        let mut conditions: Vec<String> = [
            "retransmitted > 1%",
            "retransmitted > 1 % and rtt >= 20 ms",
            "rtt > 50ms or min_rtt = 40ms",
            "not min_rtt > 0s",
            "min_rtt is null",
            "min_rtt is not null and acked >= 5MB",
            "acked > 4.9MB and received < 1KiB",
            "goodput > 20Mbit/s",
            "rate>19.9M",
            "port = 443 and process = curl",
            "process ~ ngin or remote = '10.0.0.2'",
            "remote ~ 192.0",
            "cc = bbr",
            "cc < cubic",
            "NOT (cc = bbr AND retrans >= 5k) and duration < 1min",
            "end != fin",
            "limited_by = application or completeness = lossy",
            "container is not null",
            "id = 3 or id = 7 and rtt < 1s",
        ]
        .map(String::from)
        .to_vec();
        // Every key that there is, with a bound from the values themselves.
        for key in estats::views::summary::KEYS {
            let value = lines.connections.iter().find_map(|c| key.of(&c.line));
            let unit =
                if key.unit() == Some(estats::views::summary::Unit::Seconds) { "s" } else { "" };
            match value {
                Some(estats::views::summary::Value::Number(n)) => {
                    conditions.push(format!("{} >= {n:.9}{unit}", key.name));
                }
                Some(estats::views::summary::Value::Text(text)) => {
                    conditions.push(format!("{} = '{text}'", key.name));
                }
                None => conditions.push(format!("{} is null", key.name)),
            }
        }
        for text in conditions {
            let condition: Condition = text.parse().unwrap_or_else(|e| panic!("{text}: {e}"));
            let matching = lines.connections.iter().filter(|c| condition.matches(&c.line));
            let expected: Vec<u64> = matching.map(view::Connection::conn_id).collect();
            assert_eq!(found(&browser, &text), expected, "{}: {text}", run.display());
            some += usize::from(!expected.is_empty());
        }
    }
    assert!(some > 60, "{some} conditions found something");
    // What cannot be read is an error with the words of summary, and leaves the table as it is.
    for wrong in [
        "speed > 1",
        "rtt > 5",
        "rtt > fast",
        "rtt > 5toString",
        "rtt >",
        "rtt ~ 5ms",
        "(id = 1",
        "id = 1 id = 2",
        "process = 'x",
    ] {
        let before = found(&browser, "");
        assert_eq!(found(&browser, wrong), before, "{wrong}");
        let said =
            browser.text("return document.querySelector('#connections [role=alert]').textContent");
        let error = wrong.parse::<Condition>().expect_err(wrong);
        // The page has no group of connections, so that its list of names may be another.
        assert_eq!(said.split(';').next(), error.split(';').next(), "{wrong}");
    }
    assert_eq!(browser.console(), Vec::<String>::new());
}

#[test]
fn senders_come_first_and_many_flows_stand_in_one_plot() {
    let Some(_turn) = gate::enter(SUITE, BROWSER) else { return };
    let dir = tempfile::tempdir().expect("temporary directory");
    let run = dir.path().join("run");
    senders::senders(&run);
    let browser = Browser::start(1280, 1000);
    browser.open(&report(&run, dir.path(), &[]));
    let order = browser.run("return found.map((line) => line.conn_id)");
    assert_eq!(
        order,
        serde_json::json!([3, 4, 5, 2, 1]),
        "senders, the receiver, the control connection"
    );
    let title = browser.text("return document.getElementById('detail-title').textContent");
    assert!(title.starts_with("3: "), "{title}");
    assert_eq!(
        number(browser.run("return document.querySelectorAll('[data-plot=flows]').length")),
        0.0
    );
    browser.click("#flows summary");
    browser.until("return document.querySelector('#flows [data-ready]') !== null");
    let plots = browser.run(
        "return Array.from(document.querySelectorAll('#flows [data-plot]'), (p) => p.dataset.plot)",
    );
    let plots = texts(&plots);
    assert_eq!(plots[..2], ["flows", "fairness"]);
    assert!(plots.contains(&"cdf-throughput"), "{plots:?}");
    let heading = browser.text(
        "return document.querySelector('[data-plot=fairness]').previousElementSibling.textContent",
    );
    // From 2 s on the three have the same: they begin 1 s apart and share at once.
    assert!(
        heading.contains("of the 3 senders") && heading.contains("at 0.95 or more from 1."),
        "{heading}"
    );
    // The index itself, of shares that are known.
    let jain = |rates: &str| browser.run(&format!("return jain({rates})"));
    assert_eq!(number(jain("[5, 5, 5]")), 1.0);
    assert_eq!(number(jain("[9, 0, 0]")), 1.0 / 3.0);
    assert_eq!(jain("[4]"), Json::Null);
    browser.click("[data-flows=lines]");
    browser.until("return document.querySelector('[data-flows=lines]').getAttribute('aria-pressed') === 'true'");
    browser.click("[data-flows=received]");
    browser.until(
        "return document.querySelector('#flows h3').textContent.includes('of 1 connections')",
    );
    assert_eq!(
        browser.text("return JSON.stringify(distribution([4, 1, 2, 2]))"),
        "[[1,2,4],[25,75,100]]",
    );
    // Of many values only some are in the plot, each with its whole share.
    assert_eq!(
        browser.text("return JSON.stringify(distribution([1, 1, 1, 2], 2))"),
        "[[1,2],[75,100]]",
    );
    assert_eq!(browser.console(), Vec::<String>::new());
}

/// What a connection carried before the recording would be a rate of hundreds of Mbit/s at its beginning.
#[test]
fn rates_of_connections_begun_before_hold_what_the_recording_saw() {
    let Some(_turn) = gate::enter(SUITE, BROWSER) else { return };
    let dir = tempfile::tempdir().expect("temporary directory");
    let run = Path::new(env!("CARGO_MANIFEST_DIR")).join("testdata/begun-before-the-recording/run");
    let browser = Browser::start(1280, 1000);
    browser.open(&report(&run, dir.path(), &["--top", "100"]));
    let all = browser.run(
        "return (async () => {
           const lines = page.views.map((view) => connectionOf(...view.traces[0]));
           const traces = await Promise.all(lines.map(async (line) => ({ line, data: await plotData(0, line.conn_id) })));
           const begin = Math.min(...lines.map((line) => line.begin_s));
           const end = Math.max(...lines.map((line) => line.begin_s + line.duration_s));
           return ['acked', 'received'].flatMap((direction) => {
             const { flows, rates, width } = flowRates(traces, page.runs[0].totals, direction, begin, end);
             return flows.map(({ line, data }, i) => {
               const known = data.series[direction].filter((value) => value !== null);
               const drawn = rates[i].reduce((sum, rate) => sum + (rate ?? 0) * width / 8, 0);
               return [line.begun_before, drawn, known.at(-1) - known[0]];
             });
           });
         })()",
    );
    let all = all.as_array().expect("a list");
    let mut before = 0;
    for one in all.iter().filter(|one| one[0] == true) {
        let (drawn, carried) = (number(one[1].clone()), number(one[2].clone()));
        // The last of the equal steps may end behind the connection, by a rounding error.
        assert!((drawn - carried).abs() <= 1.0, "{drawn} octets are drawn, {carried} were carried");
        before += 1;
    }
    assert!(before >= 2, "{all:?}");
}

#[test]
fn thousands_of_retransmissions_leave_the_lines_visible() {
    let Some(_turn) = gate::enter(SUITE, BROWSER) else { return };
    let dir = tempfile::tempdir().expect("temporary directory");
    let run = dir.path().join("run");
    senders::senders(&run);
    let browser = Browser::start(1280, 1000);
    browser.open(&report(&run, dir.path(), &[]));
    let verdict = browser.text("return document.querySelector('.verdict').textContent");
    assert!(verdict.contains("5,000 segments were retransmitted"), "{verdict}");
    let switches =
        browser.text("return document.querySelector('[data-keys=sequence]').textContent");
    for count in ["retransmitted (5,000)", "SACK (240)", "duplicate ACK (120)"] {
        assert!(switches.contains(count), "{count}: {switches}");
    }
    let drawn = number(
        browser.run("return Number(document.querySelector('[data-plot=sequence]').dataset.again)"),
    );
    assert!((100.0..1500.0).contains(&drawn), "{drawn} dots");
    // Of each colour, the share of the pixels: red is pale, and the line of acknowledgments is whole.
    let pixels = |plot: &str| {
        browser.run(&format!(
            "const c = document.querySelector('[data-plot={plot}] canvas');
             const {{data, width}} = c.getContext('2d').getImageData(0, 0, c.width, c.height);
             const blue = new Set();
             let red = 0;
             for (let i = 0; i < data.length; i += 4) {{
               const [r, g, b] = [data[i], data[i + 1], data[i + 2]];
               if (data[i + 3] > 200 && r > 180 && g < 90 && b < 60) red++;
               if (data[i + 3] > 200 && b > 150 && r < 60) blue.add((i / 4) % width);
             }}
             return [red / (data.length / 4), blue.size / width]"
        ))
    };
    for plot in ["sequence", "window"] {
        let shares = pixels(plot);
        assert!(number(shares[0].clone()) < 0.02, "{plot}: {shares}");
        assert!(number(shares[1].clone()) > 0.8, "{plot}: {shares}");
    }
    // A switch takes the marks away.
    browser.click("[data-keys=sequence] input");
    assert_eq!(
        browser.run("return document.querySelector('[data-keys=sequence] input').checked"),
        Json::Bool(false)
    );
    assert_eq!(browser.console(), Vec::<String>::new());
}

#[test]
fn pacing_delivery_and_the_state_of_bbr_are_drawn() {
    let Some(_turn) = gate::enter(SUITE, BROWSER) else { return };
    let dir = tempfile::tempdir().expect("temporary directory");
    let run = dir.path().join("run");
    senders::senders(&run);
    let browser = Browser::start(1280, 1000);
    browser.open(&report(&run, dir.path(), &[]));
    let legend = "return document.querySelector('[data-plot=pace] .u-legend').textContent";
    let text = browser.text(legend);
    for name in ["pacing rate", "delivery rate", "BBR's bandwidth"] {
        assert!(text.contains(name), "{text}");
    }
    assert!(!text.contains("window per RTT"), "{text}");
    let keys = browser.text("return document.querySelector('[data-keys=bbr]').textContent");
    for state in
        ["startup", "drain", "bandwidth: up", "bandwidth: down", "bandwidth: cruise", "probe RTT"]
    {
        assert!(keys.contains(state), "{state}: {keys}");
    }
    // By its gains (tcp_bbr.c).
    for (pacing, cwnd, state) in [
        (739, 739, "startup"),
        (88, 739, "drain"),
        (320, 512, "up"),
        (192, 512, "down"),
        (256, 512, "cruise"),
        (256, 256, "probe_rtt"),
    ] {
        assert_eq!(browser.text(&format!("return bbrState({pacing}, {cwnd})")), state);
    }
    // Connection 4 has no snapshots and is not BBR's.
    browser.click("#connections tr[data-view='1'] button.id");
    browser.until("return document.getElementById('detail-title').textContent.startsWith('4: ')");
    let text = browser.text(legend);
    assert!(text.contains("window per RTT"), "{text}");
    assert_eq!(browser.run("return document.querySelector('[data-keys=bbr]')"), Json::Null);
    assert_eq!(browser.console(), Vec::<String>::new());
}

#[test]
fn any_connection_can_have_plots_or_a_page() {
    let Some(_turn) = gate::enter(SUITE, BROWSER) else { return };
    let dir = tempfile::tempdir().expect("temporary directory");
    let run = dir.path().join("run");
    common::synthetic(&run, 40);
    let pages = dir.path().join("pages of it");
    let to = pages.to_str().expect("UTF-8");
    let page =
        report(&run, dir.path(), &["--conn", "17", "--conn", "4,23", "--top", "1", "--pages", to]);
    let browser = Browser::start(1280, 1000);
    browser.open(&page);
    let title = || browser.text("return document.getElementById('detail-title').textContent");
    assert!(title().starts_with("17: "), "the first that was asked for: {}", title());
    assert_eq!(number(browser.run("return page.views.length")), 4.0);
    // Its own page, by the link of the table.
    assert_eq!(fs::read_dir(&pages).expect("pages").count(), 46 + 2);
    let size = fs::metadata(pages.join("connection-30.html")).expect("a page").len();
    assert!(size < 20_000, "{size} octets: code and style are in files of their own");
    assert_eq!(found(&browser, "id = 30"), [30]);
    browser.click("#connections td a");
    browser.until("return document.documentElement.dataset.ready === 'yes' && document.title.endsWith('connection 30')");
    assert!(title().starts_with("30: "), "{}", title());
    assert_eq!(
        browser.run("return document.getElementById('connections').closest('section').hidden"),
        Json::Bool(true)
    );
    browser.click("#runs a");
    browser.until("return document.documentElement.dataset.ready === 'yes' && document.title === 'estats: run'");
    assert_eq!(browser.console(), Vec::<String>::new());
    let wrong = std::process::Command::new(env!("CARGO_BIN_EXE_estats-analyze"))
        .args([Path::new("report"), &run, Path::new("--conn"), Path::new("99")])
        .output()
        .expect("estats-analyze can be started");
    let error = String::from_utf8_lossy(&wrong.stderr).into_owned();
    assert!(error.contains("no connection 99: it has 46"), "{error}");
}

/// Paper is white, and the plots are on it: what is printed has the pictures of all plots.
#[test]
fn it_prints() {
    let Some(_turn) = gate::enter(SUITE, BROWSER) else { return };
    let dir = tempfile::tempdir().expect("temporary directory");
    let run = dir.path().join("run");
    senders::senders(&run);
    let browser = Browser::start(1280, 1000);
    browser.open(&report(&run, dir.path(), &[]));
    browser.print_style(true);
    let measured = browser.run(
        "const paper = document.documentElement.clientWidth;
         const shown = (s) => Array.from(document.querySelectorAll(s)).filter((e) => e.offsetParent !== null).length;
         return {
           wide: Array.from(document.querySelectorAll('canvas')).filter((c) => c.getBoundingClientRect().right > paper + 1).length,
           low: Array.from(document.querySelectorAll('#detail canvas')).filter((c) => c.getBoundingClientRect().height < 20).length,
           tools: shown('.bar') + shown('input[type=search]') + shown('.more'),
           ground: getComputedStyle(document.body).backgroundColor,
         }",
    );
    assert_eq!(
        measured,
        serde_json::json!({ "wide": 0, "low": 0, "tools": 0, "ground": "rgb(255, 255, 255)" })
    );
    browser.print_style(false);
    // Without them the same page is smaller by what they are drawn with.
    let with = browser.pdf().len();
    browser.run("current = null; document.querySelectorAll('canvas').forEach((c) => c.remove())");
    let without = browser.pdf().len();
    assert!(with > without + 10_000, "{with} octets with plots, {without} without");
}

/// `--ignored --nocapture` prints the figures of this machine (docs/report.md).
#[test]
#[ignore = "writes and replays a hundred thousand connections: minutes without optimization"]
fn a_hundred_thousand_connections() {
    let Some(_turn) = gate::enter(SUITE, BROWSER) else { return };
    let dir = tempfile::tempdir().expect("temporary directory");
    let run = dir.path().join("run");
    common::synthetic(&run, 99_994);
    let begun = std::time::Instant::now();
    let page = report(&run, dir.path(), &[]);
    let megabytes = fs::metadata(&page).expect("a page").len() as f64 / 1e6;
    println!("written in {:.1} s, {megabytes:.1} MB", begun.elapsed().as_secs_f64());
    let browser = Browser::start(1280, 1000);
    let begun = std::time::Instant::now();
    browser.open(&page);
    println!("opened in {:.1} s", begun.elapsed().as_secs_f64());
    let timed = |what: &str, script: &str| {
        let script = format!("const t = performance.now(); {script}; return performance.now() - t");
        println!("{what}: {:.0} ms", number(browser.run(&script)));
    };
    let rows =
        || number(browser.run("return document.querySelectorAll('#connections tbody tr').length"));
    assert_eq!((number(browser.run("return found.length")), rows()), (100_000.0, 200.0));
    timed("sorted by address", "document.querySelector('th[data-column=remote] button').click()");
    timed(
        "sorted by a number",
        "document.querySelector('th[data-column=duration] button').click()",
    );
    let ask = |search: &str| {
        format!(
            "const s = document.querySelector('#connections input'); s.value = '{search}'; s.dispatchEvent(new Event('input'))"
        )
    };
    timed("condition", &ask("id > 50000 and process = curl"));
    assert_eq!(number(browser.run("return found.length")), 50_000.0);
    timed("first search for a word", &ask("192.0.2.9"));
    timed("next search for a word", &ask("curl"));
    assert_eq!(number(browser.run("return found.length")), 100_000.0);
    timed("a word of no row", &ask("nginx"));
    assert_eq!(number(browser.run("return found.length")), 0.0);
    timed("all again", &ask(""));
    let begun = std::time::Instant::now();
    browser.click("#flows summary");
    browser.until("return document.querySelector('#flows [data-ready]') !== null");
    println!("plots over all: {:.1} s", begun.elapsed().as_secs_f64());
    assert_eq!(browser.console(), Vec::<String>::new());
}
