// SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause
//! A real browser: headless Chromium, driven through chromedriver (WebDriver: JSON over HTTP).

use std::io::{BufRead, BufReader};
use std::path::Path;
use std::process::{Child, Command, Stdio};
use std::sync::mpsc;
use std::time::{Duration, Instant};

use serde_json::{Value as Json, json};
use tempfile::TempDir;

/// Starting a browser takes a second or two; a busy host may take ten times that.
const PATIENCE: Duration = Duration::from_secs(40);

/// A browser with a window; ended when dropped.
#[derive(Debug)]
pub struct Browser {
    driver: Child,
    session: String,
    agent: ureq::Agent,
    // The profile goes last, after the browser that writes to it.
    _profile: TempDir,
}

impl Browser {
    /// Starts one, without a network to speak of, in a new profile.
    pub fn start(width: u32, height: u32) -> Self {
        let mut driver = Command::new("chromedriver")
            .args(["--port=0"])
            .stdin(Stdio::null())
            .stdout(Stdio::piped())
            .stderr(Stdio::null())
            .spawn()
            .expect("chromedriver can be started");
        let port = port(&mut driver);
        let profile = tempfile::tempdir().expect("temporary directory");
        let config = ureq::Agent::config_builder()
            .http_status_as_error(false)
            .timeout_global(Some(PATIENCE))
            .build();
        let agent = ureq::Agent::new_with_config(config);
        let mut browser = Self {
            driver,
            session: format!("http://127.0.0.1:{port}/session"),
            agent,
            _profile: profile,
        };
        let flags = [
            "--headless".to_owned(),
            "--no-sandbox".to_owned(),
            "--disable-gpu".to_owned(),
            "--disable-quic".to_owned(),
            "--no-first-run".to_owned(),
            "--disable-background-networking".to_owned(),
            "--disable-component-update".to_owned(),
            "--disable-sync".to_owned(),
            // No name resolves and no proxy answers: a page that fetched anything would log an error.
            "--host-resolver-rules=MAP * ~NOTFOUND".to_owned(),
            format!("--window-size={width},{height}"),
            format!("--user-data-dir={}", browser._profile.path().display()),
        ];
        let made = browser.post(
            "",
            &json!({ "capabilities": { "alwaysMatch": {
                "browserName": "chrome",
                "goog:loggingPrefs": { "browser": "ALL" },
                "goog:chromeOptions": { "args": flags },
            } } }),
        );
        let id = made["sessionId"].as_str().unwrap_or_else(|| panic!("no session: {made}"));
        browser.session = format!("{}/{id}", browser.session);
        browser
    }

    fn post(&self, path: &str, body: &Json) -> Json {
        let url = format!("{}{path}", self.session);
        let mut response = self.agent.post(&url).send_json(body).expect("chromedriver answers");
        let status = response.status();
        let answer: Json = response.body_mut().read_json().expect("chromedriver answers in JSON");
        assert!(status.is_success(), "WebDriver {path}: {answer}");
        answer["value"].clone()
    }

    /// Opens a file and waits until its script signals that it is ready.
    pub fn open(&self, page: &Path) {
        self.post("/url", &json!({ "url": format!("file://{}", page.display()) }));
        self.until("return document.documentElement.dataset.ready === 'yes'");
    }

    /// Runs a script in the page.
    pub fn run(&self, script: &str) -> Json {
        self.post("/execute/sync", &json!({ "script": script, "args": [] }))
    }

    /// A script's answer as text.
    pub fn text(&self, script: &str) -> String {
        let answer = self.run(script);
        answer.as_str().unwrap_or_else(|| panic!("{script}: {answer}")).to_owned()
    }

    /// Waits for a script to answer with true.
    pub fn until(&self, script: &str) {
        let begun = Instant::now();
        while self.run(script) != Json::Bool(true) {
            assert!(begun.elapsed() < PATIENCE, "never true: {script}; {:?}", self.console());
            std::thread::sleep(Duration::from_millis(50));
        }
    }

    fn find(&self, selector: &str) -> String {
        let found = self.post("/element", &json!({ "using": "css selector", "value": selector }));
        let id = found.as_object().and_then(|o| o.values().next()).and_then(Json::as_str);
        id.unwrap_or_else(|| panic!("{selector}: {found}")).to_owned()
    }

    /// Clicks on an element as a person does: it is scrolled to, and must not be covered.
    pub fn click(&self, selector: &str) {
        self.post(&format!("/element/{}/click", self.find(selector)), &json!({}));
    }

    /// Types into an element.
    pub fn keys(&self, selector: &str, text: &str) {
        let path = format!("/element/{}/value", self.find(selector));
        self.post(&path, &json!({ "text": text }));
    }

    /// Moves the pointer over an element's middle and drags it, with the button down if `press`.
    pub fn drag(&self, selector: &str, from: i64, to: i64, press: bool) {
        let id = self.find(selector);
        let origin = json!({ "element-6066-11e4-a52e-4f735466cecf": id });
        let to_x = |x: i64| json!({ "type": "pointerMove", "duration": 50, "origin": origin, "x": x, "y": 0 });
        let button = |what: &str| json!({ "type": what, "button": 0 });
        let mut actions = vec![to_x(from)];
        if press {
            actions.push(button("pointerDown"));
        }
        actions.extend([to_x((from + to) / 2), to_x(to)]);
        if press {
            actions.push(button("pointerUp"));
        }
        self.post(
            "/actions",
            &json!({ "actions": [{
                "type": "pointer", "id": "mouse",
                "parameters": { "pointerType": "mouse" }, "actions": actions,
            }] }),
        );
    }

    /// Shows the page as it would be printed, or as on a screen again.
    pub fn print_style(&self, print: bool) {
        let media = if print { "print" } else { "" };
        let body = json!({ "cmd": "Emulation.setEmulatedMedia", "params": { "media": media } });
        self.post("/goog/cdp/execute", &body);
    }

    /// The page as PDF.
    pub fn pdf(&self) -> Vec<u8> {
        let answer = self.post("/print", &json!({}));
        super::band::decoded(answer.as_str().unwrap_or_else(|| panic!("no PDF: {answer}")))
    }

    /// What the page has written to its console since the last call.
    pub fn console(&self) -> Vec<String> {
        let log = self.post("/se/log", &json!({ "type": "browser" }));
        log.as_array().into_iter().flatten().map(ToString::to_string).collect()
    }
}

impl Drop for Browser {
    fn drop(&mut self) {
        let _ = self.agent.delete(&self.session).call();
        let _ = self.driver.kill();
        let _ = self.driver.wait();
    }
}

/// The port on which chromedriver listens, by its output.
fn port(driver: &mut Child) -> u16 {
    let lines = BufReader::new(driver.stdout.take().expect("stdout is piped")).lines();
    let (found, wait) = mpsc::channel();
    std::thread::spawn(move || {
        for line in lines.map_while(Result::ok) {
            let port = line.split_once("started successfully on port ");
            if let Some(port) = port.and_then(|(_, n)| n.trim_end_matches('.').parse().ok()) {
                // The receiver is gone if the test has given up; the pipe is read to its end.
                let _ = found.send(port);
            }
        }
    });
    wait.recv_timeout(PATIENCE).expect("chromedriver says its port")
}
