// SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause
//! A bar on stderr for work that takes more than a second, where stderr is a terminal.

use std::io::{self, IsTerminal as _};
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::sync::{Arc, Condvar, Mutex, PoisonError};
use std::thread::{self, JoinHandle};
use std::time::Duration;

use estats::log::Recording;
use indicatif::{ProgressBar, ProgressStyle};

/// Shorter work is over before anybody wonders.
const PATIENCE: Duration = Duration::from_secs(1);
const BETWEEN: Duration = Duration::from_millis(100);

static QUIET: AtomicBool = AtomicBool::new(false);

/// No bars from now on.
pub fn set_quiet(quiet: bool) {
    QUIET.store(quiet, Ordering::Relaxed);
}

/// Shows how far work has come until it is dropped.
pub struct Progress {
    over: Arc<(Mutex<bool>, Condvar)>,
    thread: Option<JoinHandle<()>>,
}

/// The quantity that is counted.
#[derive(Clone, Copy)]
enum Unit {
    /// Of this number of bytes.
    BytesOf(u64),
    Bytes,
    Things,
}

impl Progress {
    /// Recordings that are read once.
    pub fn of(doing: &'static str, recordings: &[Recording]) -> anyhow::Result<Self> {
        let mut bytes = 0;
        for recording in recordings {
            bytes += recording.bytes()?;
        }
        let read = recordings.iter().map(Recording::bytes_read).collect();
        Ok(Self::start(doing, Unit::BytesOf(bytes), read))
    }

    /// A recording that is read more than once, or in part.
    pub fn bytes(doing: &'static str, recording: &Recording) -> Self {
        Self::start(doing, Unit::Bytes, vec![recording.bytes_read()])
    }

    /// A bar for something of unknown length.
    pub fn counting(doing: &'static str, read: Arc<AtomicU64>) -> Self {
        Self::start(doing, Unit::Things, vec![read])
    }

    fn start(doing: &'static str, unit: Unit, read: Vec<Arc<AtomicU64>>) -> Self {
        let over = Arc::new((Mutex::new(false), Condvar::new()));
        let is_shown = !QUIET.load(Ordering::Relaxed) && io::stderr().is_terminal();
        let thread = is_shown.then(|| {
            let over = over.clone();
            thread::spawn(move || show(doing, unit, &read, &over))
        });
        Self { over, thread }
    }
}

impl Drop for Progress {
    fn drop(&mut self) {
        *self.over.0.lock().unwrap_or_else(PoisonError::into_inner) = true;
        self.over.1.notify_all();
        if let Some(thread) = self.thread.take() {
            // A failure of the bar is not a failure of the work.
            let _ = thread.join();
        }
    }
}

fn show(doing: &'static str, unit: Unit, read: &[Arc<AtomicU64>], over: &(Mutex<bool>, Condvar)) {
    let is_over = |time| {
        let guard = over.0.lock().unwrap_or_else(PoisonError::into_inner);
        let waited = over.1.wait_timeout_while(guard, time, |over| !*over);
        *waited.unwrap_or_else(PoisonError::into_inner).0
    };
    if is_over(PATIENCE) {
        return;
    }
    let bar = match unit {
        Unit::BytesOf(total) => ProgressBar::new(total),
        Unit::Bytes | Unit::Things => ProgressBar::new_spinner(),
    };
    let template = match unit {
        Unit::BytesOf(_) => "{msg} {wide_bar} {bytes}/{total_bytes} {eta}",
        Unit::Bytes => "{spinner} {msg}, {bytes} read, {elapsed}",
        Unit::Things => "{spinner} {msg}, {human_pos} packets read, {elapsed}",
    };
    if let Ok(style) = ProgressStyle::with_template(template) {
        bar.set_style(style);
    }
    bar.set_message(doing);
    loop {
        let sum: u64 = read.iter().map(|n| n.load(Ordering::Relaxed)).sum();
        // Some of it may be read twice.
        bar.set_position(bar.length().map_or(sum, |all| sum.min(all)));
        bar.tick();
        if is_over(BETWEEN) {
            bar.finish_and_clear();
            return;
        }
    }
}
