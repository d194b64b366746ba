// SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause
//! How long a connection was in each TCP state.

use super::rules::ESTABLISHED;
use crate::engine::identity::End;

/// RFC 4898 numbers of the states of a connection, in the order of [`StateTimes`].
const SYN_SENT: u64 = 3;
const SYN_RECEIVED: u64 = 4;
const FIN_WAIT1: u64 = 6;
const FIN_WAIT2: u64 = 7;
const CLOSE_WAIT: u64 = 8;
const LAST_ACK: u64 = 9;
const CLOSING: u64 = 10;

/// Number of states: synSent to closing.
pub const STATES: usize = 8;

/// Time by state, in the order synSent, synReceived, established, finWait1, finWait2, closeWait, lastAck,
/// closing; none where it is not known.
pub type StateTimes = [Option<u64>; STATES];

/// The state in force and the time in those before it.
#[derive(Clone, Copy, Debug, Default)]
pub struct States {
    /// State and time of the first record that has one.
    first: Option<(u64, u64)>,
    /// The state in force, and since when.
    now: Option<(u64, u64)>,
    ns: [u64; STATES],
    /// Bit per state: its beginning was recorded.
    entered: u8,
    /// The latest state that is one of these.
    last: Option<u64>,
}

/// Facts of the row beside the states.
#[derive(Clone, Copy, Debug)]
pub struct Life {
    /// CLOCK_MONOTONIC of its beginning.
    pub begin_ns: u64,
    /// CLOCK_MONOTONIC of its end, or of the recording's.
    pub end_ns: u64,
    /// Its beginning was not seen.
    pub begun_before: bool,
    /// It was open when the recording ended.
    pub ended_after: bool,
    /// The end that opened it.
    pub opened_by: End,
    /// A kernel's hooks saw it, and not a capture's packets.
    pub kernel: bool,
}

const fn place(state: u64) -> Option<usize> {
    match state {
        SYN_SENT..=CLOSING => Some((state - SYN_SENT) as usize),
        _ => None,
    }
}

impl States {
    /// The state was set to this one.
    pub(super) fn set(&mut self, state: u64, ts_ns: u64) {
        match self.now {
            None => self.first = Some((state, ts_ns)),
            Some((before, _)) if before == state => return,
            Some((before, since_ns)) => {
                self.add(before, ts_ns.saturating_sub(since_ns));
                self.entered |= place(state).map_or(0, |i| 1 << i);
            }
        }
        self.now = Some((state, ts_ns));
        self.last = place(state).map(|_| state).or(self.last);
    }

    fn add(&mut self, state: u64, ns: u64) {
        if let Some(i) = place(state) {
            self.ns[i] = self.ns[i].saturating_add(ns);
        }
    }

    /// Nanoseconds in each state, of a connection of which no record is missing.
    pub fn times(&self, life: &Life) -> StateTimes {
        // Packets show that a connection which began before them exists, but not its state: the first
        // state is a guess.
        if life.begun_before && !life.kernel {
            return [None; STATES];
        }
        let mut all = *self;
        if !life.begun_before {
            // The hook that sees the first state sends nothing: the socket is not complete by then.
            let initial = match life.opened_by {
                End::Local => SYN_SENT,
                End::Remote => SYN_RECEIVED,
                End::Neither | End::Unknown => return [None; STATES],
            };
            let until_ns = self.first.map_or(life.end_ns, |(_, ts_ns)| ts_ns);
            all.add(initial, until_ns.saturating_sub(life.begin_ns));
        }
        if let Some((state, since_ns)) = self.now {
            all.add(state, life.end_ns.saturating_sub(since_ns));
        }
        let mut times = all.ns.map(Some);
        if life.begun_before {
            let found = self.first.map(|(state, _)| state).filter(|&state| place(state).is_some());
            for (i, time) in times.iter_mut().enumerate() {
                let state = SYN_SENT + i as u64;
                let seen = self.entered >> i & 1 == 1;
                if !seen && found.is_none_or(|found| state == found || may_precede(state, found)) {
                    *time = None;
                }
            }
        }
        // Before the handshake is over, the connection of a listener is a request and not a socket. That of a
        // capture begins then too, except with Fast Open, where the SYN begins it.
        let received = &mut times[(SYN_RECEIVED - SYN_SENT) as usize];
        if life.opened_by != End::Local && (life.kernel || *received == Some(0)) {
            *received = None;
        }
        if life.kernel {
            // The kernel replaces a socket that no process has open by a smaller structure, in which the
            // connection stays in this state until the peer's FIN comes.
            if !life.ended_after && self.last == Some(FIN_WAIT2) {
                times[(FIN_WAIT2 - SYN_SENT) as usize] = None;
            }
        }
        times
    }
}

/// Whether a connection that is in the second state may have been in the first before.
const fn may_precede(state: u64, found: u64) -> bool {
    match state {
        SYN_SENT | SYN_RECEIVED | ESTABLISHED => state < found,
        FIN_WAIT1 => matches!(found, FIN_WAIT2 | CLOSING),
        CLOSE_WAIT => found == LAST_ACK,
        _ => false,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const LIFE: Life = Life {
        begin_ns: 100,
        end_ns: 1_000,
        begun_before: false,
        ended_after: false,
        opened_by: End::Local,
        kernel: true,
    };

    fn states(changes: &[(u64, u64)]) -> States {
        let mut states = States::default();
        changes.iter().for_each(|&(state, ts_ns)| states.set(state, ts_ns));
        states
    }

    #[test]
    fn the_times_of_a_whole_connection_add_up_to_its_life() {
        let passive = [(ESTABLISHED, 110), (CLOSE_WAIT, 700), (LAST_ACK, 950), (1, 1_000)];
        let life = Life { opened_by: End::Remote, kernel: false, ..LIFE };
        let times = states(&passive).times(&life);
        assert_eq!(times, [0, 10, 590, 0, 0, 250, 50, 0].map(Some));
        let active =
            [(SYN_SENT, 101), (ESTABLISHED, 150), (FIN_WAIT1, 600), (CLOSING, 800), (1, 1_000)];
        let times = states(&active).times(&LIFE);
        assert_eq!(times, [50, 0, 450, 200, 0, 0, 0, 200].map(Some));
    }

    #[test]
    fn a_connection_that_was_refused_was_only_in_its_first_state() {
        let all = [900, 0, 0, 0, 0, 0, 0, 0].map(Some);
        assert_eq!(states(&[(1, 1_000)]).times(&LIFE), all);
        assert_eq!(states(&[]).times(&LIFE), all);
    }

    #[test]
    fn states_before_the_recording_are_null_and_not_zero() {
        let life = Life { begun_before: true, opened_by: End::Unknown, ..LIFE };
        let times = states(&[(ESTABLISHED, 100), (CLOSE_WAIT, 700), (LAST_ACK, 950), (1, 1_000)]);
        let known = [None, None, None, Some(0), Some(0), Some(250), Some(50), Some(0)];
        assert_eq!(times.times(&life), known);
        let found = states(&[(FIN_WAIT2, 100)]).times(&Life { ended_after: true, ..life });
        assert_eq!(found, [None, None, None, None, None, Some(0), Some(0), Some(0)]);
        assert_eq!(states(&[]).times(&life), [None; STATES]);
    }

    /// The peer's FIN came before the capture, which takes the connection for an open one.
    #[test]
    fn packets_do_not_show_in_which_state_a_connection_was_found() {
        let found = [(ESTABLISHED, 100), (FIN_WAIT1, 700), (FIN_WAIT2, 900)];
        let life = Life { begun_before: true, kernel: false, ..LIFE };
        assert_eq!(states(&found).times(&life), [None; STATES]);
    }

    #[test]
    fn states_that_the_kernel_keeps_outside_of_the_socket_have_no_time() {
        let half_closed = [(ESTABLISHED, 110), (FIN_WAIT1, 300), (FIN_WAIT2, 400), (1, 1_000)];
        let fin_wait2 = |life: Life| states(&half_closed).times(&life)[4];
        assert_eq!(fin_wait2(LIFE), None);
        assert_eq!(fin_wait2(Life { kernel: false, ..LIFE }), Some(600));
        let open = states(&half_closed[..3]).times(&Life { ended_after: true, ..LIFE });
        assert_eq!(open[4], Some(600));
        let passive = Life { opened_by: End::Remote, ..LIFE };
        assert_eq!(states(&half_closed).times(&passive)[1], None);
        // Of a capture: begun by the segment that completes the handshake.
        let imported = Life { begin_ns: 110, kernel: false, ..passive };
        assert_eq!(states(&half_closed).times(&imported)[1], None);
    }
}
