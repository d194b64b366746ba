// SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause
//! The checks, and their results.

use std::fs;
use std::path::Path;

use serde::Serialize;

/// One check.
#[derive(Clone, Debug, Serialize)]
pub struct Check {
    /// Series of the kernel.
    pub kernel: &'static str,
    /// Hook set, or two of them.
    pub hooks: String,
    /// Scenario; empty for the recording as a whole.
    pub scenario: &'static str,
    /// What was checked.
    pub check: &'static str,
    /// Comparisons it consists of.
    pub compared: usize,
    /// Those that failed, with both values.
    pub failures: Vec<String>,
    /// Those that failed in a row that is marked as incomplete: it is marked lossy because the kernel
    /// skipped a program that would have interrupted itself, or, in an agreement, one of the two is.
    pub excused: Vec<String>,
}

/// All checks of a guest.
#[derive(Clone, Debug, Default)]
pub struct Results(pub Vec<Check>);

impl Results {
    /// One JSON object a line.
    pub fn write(&self, path: &Path) {
        let line = |check| serde_json::to_string(check).expect("a check is plain") + "\n";
        let text: String = self.0.iter().map(line).collect();
        fs::write(path, text).unwrap_or_else(|e| panic!("{}: {e}", path.display()));
    }

    /// Panics with everything that failed, or if nothing was compared.
    pub fn assert(&self, series: &str) {
        let failures: Vec<String> = self.0.iter().flat_map(Check::lines).collect();
        let checks = self.0.len();
        let compared: usize = self.0.iter().map(|check| check.compared).sum();
        assert!(
            failures.is_empty(),
            "Linux {series}: {} findings in {checks} checks of {compared} comparisons\n  {}",
            failures.len(),
            failures.join("\n  ")
        );
        assert!(compared > 0, "Linux {series}: nothing was compared");
        let excused: Vec<String> = self.0.iter().flat_map(Check::excused_lines).collect();
        println!("Linux {series}: {checks} checks of {compared} comparisons");
        if !excused.is_empty() {
            println!("  {} in rows marked lossy:\n  {}", excused.len(), excused.join("\n  "));
        }
    }
}

impl Check {
    fn lines(&self) -> impl Iterator<Item = String> {
        self.failures.iter().map(|failure| self.placed(failure))
    }

    fn excused_lines(&self) -> impl Iterator<Item = String> {
        self.excused.iter().map(|failure| self.placed(failure))
    }

    fn placed(&self, failure: &str) -> String {
        format!("{} | {} | {}: {failure}", self.hooks, self.scenario, self.check)
    }
}
