// SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause
//! Whether this end's own application keeps the window small, which is the other end's to know.

use crate::schema::Var;

/// How this end's own application reads.
#[derive(Clone, Copy, Debug, Default)]
pub(super) struct Reader {
    since_ns: Option<u64>,
    /// More is unread than the window still offers.
    behind: bool,
    behind_ns: u64,
}

impl Reader {
    pub(super) const fn behind_ns(&self) -> u64 {
        self.behind_ns
    }

    /// Counts up to this time.
    pub(super) fn until(&mut self, ts_ns: u64) {
        let since = self.since_ns.unwrap_or(ts_ns);
        self.since_ns = Some(ts_ns.max(since));
        if self.behind {
            self.behind_ns = self.behind_ns.saturating_add(ts_ns.saturating_sub(since));
        }
    }

    pub(super) fn record(&mut self, ts_ns: u64, fresh: bool, values: &impl Fn(Var) -> Option<u64>) {
        if let (true, Some(unread), Some(window)) =
            (fresh, values(Var::CurAppRQueue), values(Var::CurRwinSent))
        {
            self.until(ts_ns);
            self.behind = unread > window;
        }
    }
}
