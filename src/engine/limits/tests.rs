// SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause
use super::*;
use crate::schema::SocketField;

const MS: u64 = 1_000_000;

fn record(ms: u64) -> Observation {
    Observation { ts_ns: ms * MS, received: false, slow_read: false }
}

/// A segment came, and the slow values were read.
fn received(ms: u64) -> Observation {
    Observation { received: true, slow_read: true, ..record(ms) }
}

fn sent(ms: u64) -> Observation {
    Observation { slow_read: true, ..record(ms) }
}

/// The values of the socket; windows of 10 and 60 segments of 1000 octets.
#[derive(Clone, Copy)]
struct Socket {
    limstate: Option<u64>,
    queue: u64,
    under_way: u64,
    window: u64,
    nagle: u64,
    una: u64,
    timeouts: u64,
}

const SOCKET: Socket = Socket {
    limstate: Some(0),
    queue: 0,
    under_way: 0,
    window: 60_000,
    nagle: 1,
    una: 1,
    timeouts: 0,
};

impl Socket {
    fn values(self) -> impl Fn(Var) -> Option<u64> {
        move |var| match var {
            Var::Limstate => self.limstate,
            Var::CurAppWQueue => Some(self.queue),
            Var::CurRetxQueue | Var::PipeSize => Some(self.under_way),
            Var::CurCwnd => Some(10_000),
            Var::CurRwinRcvd => Some(self.window),
            Var::CurMSS => Some(1_000),
            Var::Nagle => Some(self.nagle),
            Var::SndUna => Some(self.una),
            Var::CurTimeoutCount => Some(self.timeouts),
            _ => None,
        }
    }
}

/// Milliseconds by cause, of those that were.
fn causes(limits: &Limits, behind_ns: Option<u64>) -> Vec<(&'static str, u64)> {
    LimitCause::ALL
        .into_iter()
        .zip(limits.causes(limits.ns(), behind_ns))
        .map(|(limit, ns)| (limit.name(), (ns / MS as f64).round() as u64))
        .filter(|(_, ms)| *ms > 0)
        .collect()
}

fn begun(basis: Basis) -> Limits {
    let mut limits = Limits::new(basis);
    limits.begin(0);
    limits.establish(10 * MS);
    limits.record(&record(10), &SOCKET.values());
    limits
}

#[test]
fn a_received_segment_decides_the_time_before_it() {
    let mut limits = begun(Basis::Segment);
    // Idle until the first write; then the receiver's window until the answer.
    limits.record(&sent(40), &Socket { queue: 5_000, ..SOCKET }.values());
    let full = Socket { limstate: Some(2), queue: 5_000, under_way: 60_000, ..SOCKET };
    limits.record(&received(60), &full.values());
    limits.record(&received(80), &Socket { limstate: Some(1), una: 2, ..full }.values());
    limits.end(85 * MS, false, &Socket { una: 3, ..SOCKET }.values());
    assert_eq!(
        causes(&limits, None),
        [("startup", 10), ("application", 35), ("network", 20), ("receiver", 20)]
    );
    assert_eq!(limits.counted_until(), Some(85 * MS));
}

#[test]
fn deferral_is_of_the_window_with_less_room() {
    for (window, cause) in [(9_000, "receiver"), (60_000, "network")] {
        let mut limits = begun(Basis::Segment);
        limits.record(&sent(10), &SOCKET.values());
        let deferred =
            Socket { limstate: Some(4), queue: 50_000, under_way: 8_000, window, ..SOCKET };
        limits.record(&received(60), &deferred.values());
        limits.end(60 * MS, false, &deferred.values());
        assert_eq!(causes(&limits, None), [("startup", 10), (cause, 50)]);
    }
}

#[test]
fn less_than_a_segment_waits_for_the_acknowledgment() {
    // A sender without Nagle's algorithm, or with more than a segment, waits for the host.
    for (nagle, queue, cause) in [(1, 100, "nagle"), (2, 100, "host"), (1, 5_000, "host")] {
        let mut limits = begun(Basis::Segment);
        limits.record(&received(11), &SOCKET.values());
        let held = Socket { queue, under_way: 100, nagle, ..SOCKET };
        limits.record(&received(51), &held.values());
        limits.record(&received(91), &Socket { under_way: 100, una: 101, ..SOCKET }.values());
        limits.end(91 * MS, false, &Socket { una: 201, ..SOCKET }.values());
        let mut expected = vec![("startup", 10), ("application", 41), (cause, 40)];
        expected.sort_by_key(|(name, _)| LimitCause::ALL.iter().position(|l| l.name() == *name));
        assert_eq!(causes(&limits, None), expected);
    }
}

#[test]
fn limstate_holds_until_the_next_transmit_loop() {
    let mut limits = begun(Basis::Loop);
    // Written at 40, and the window full at once; its "sender" is the queue's to explain.
    limits.record(&sent(40), &Socket { queue: 5_000, ..SOCKET }.values());
    let full = Socket { limstate: Some(1), queue: 5_000, under_way: 10_000, ..SOCKET };
    limits.record(&record(40), &full.values());
    limits.record(&received(60), &full.values());
    let emptied = Socket { under_way: 5_000, una: 2, ..SOCKET };
    limits.record(&record(60), &emptied.values());
    limits.record(&received(80), &emptied.values());
    limits.end(90 * MS, false, &Socket { una: 3, ..SOCKET }.values());
    assert_eq!(causes(&limits, None), [("startup", 10), ("application", 60), ("network", 20)]);
}

#[test]
fn without_limstate_the_gauges_repeat_the_tests() {
    let mut limits = begun(Basis::Gauges);
    let socket = Socket { limstate: None, ..SOCKET };
    limits.record(&sent(40), &Socket { queue: 5_000, ..socket }.values());
    let full = Socket { queue: 5_000, under_way: 10_000, ..socket };
    limits.record(&received(60), &full.values());
    let window = Socket { queue: 5_000, under_way: 9_500, window: 10_000, una: 2, ..socket };
    limits.record(&received(80), &window.values());
    limits.end(83 * MS, false, &Socket { una: 3, ..socket }.values());
    assert_eq!(
        causes(&limits, None),
        [("startup", 10), ("application", 33), ("network", 20), ("receiver", 20)]
    );
    assert!(!limits.tells(LimitCause::CcRate, false, &|_| true), "NULL, not zero");
    assert!(limits.tells(LimitCause::Network, false, &|_| true));
}

#[test]
fn timeouts_that_follow_each_other_are_the_path() {
    for (worst, expected) in [
        // One timeout repairs a loss: what was in the way before it, the pace of BBR here.
        (1, vec![("startup", 10), ("application", 10), ("cc_rate", 1_220)]),
        (3, vec![("startup", 10), ("application", 10), ("cc_rate", 20), ("path_dead", 1_200)]),
    ] {
        let mut limits = begun(Basis::Segment);
        limits.record(&sent(20), &Socket { queue: 9_000, ..SOCKET }.values());
        let paced = Socket { limstate: Some(5), queue: 9_000, under_way: 5_000, ..SOCKET };
        limits.record(&received(30), &paced.values());
        // The last acknowledgment, at 30, has been processed.
        let acked = Socket { una: 2, ..paced };
        limits.record(&sent(30), &acked.values());
        for timeouts in 1..=worst {
            limits.record(&sent(200 + timeouts * 200), &Socket { timeouts, ..acked }.values());
        }
        limits.record(&received(1_230), &Socket { timeouts: worst, ..acked }.values());
        let again = Socket { una: 3, ..paced };
        limits.record(&sent(1_230), &again.values());
        limits.record(&received(1_240), &again.values());
        limits.end(1_240 * MS, false, &again.values());
        assert_eq!(causes(&limits, None), expected);
        // Paced time is the path's: how much of that an application's cap took is not known any more.
        let partly_dead = LimitCause::ALL.into_iter().filter(|&limit| limits.is_partly_dead(limit));
        let expected: &[LimitCause] = if worst == 1 { &[] } else { &[LimitCause::AppRate] };
        assert_eq!(partly_dead.collect::<Vec<_>>(), expected);
    }
}

#[test]
fn a_connection_that_dies_of_timeouts_has_a_dead_path() {
    let mut limits = begun(Basis::Segment);
    limits.record(&sent(100), &Socket { queue: 100, ..SOCKET }.values());
    let lost = Socket { under_way: 100, ..SOCKET };
    for timeouts in 1..6 {
        limits.record(&sent(100 + timeouts * 300), &Socket { timeouts, ..lost }.values());
    }
    limits.end(3_000 * MS, false, &Socket { timeouts: 6, ..lost }.values());
    assert_eq!(causes(&limits, None), [("startup", 10), ("application", 90), ("path_dead", 2_900)]);
}

#[test]
fn the_timeout_that_ends_a_connection_is_one_more() {
    // Of the first timeout the kernel counts one; the second ends the connection uncounted.
    for (timeouts, timed_out, expected) in [
        (1, true, vec![("startup", 10), ("application", 90), ("path_dead", 2_900)]),
        (1, false, vec![("startup", 10), ("application", 2_990)]),
        // A window probe or keep-alive that nobody answered.
        (0, true, vec![("startup", 10), ("application", 2_990)]),
    ] {
        let mut limits = begun(Basis::Segment);
        limits.record(&sent(100), &Socket { queue: 100, ..SOCKET }.values());
        let lost = Socket { under_way: 100, timeouts, ..SOCKET };
        limits.record(&sent(1_100), &lost.values());
        limits.end(3_000 * MS, timed_out, &lost.values());
        assert_eq!(causes(&limits, None), expected, "{timeouts} {timed_out}");
    }
}

#[test]
fn an_estimate_as_high_as_the_application_s_pace_is_that_pace() {
    // Between its probes BBR paces below its estimate, and so below the application's pace.
    for (estimate, cause) in [(618_000, "app_rate"), (617_000, "cc_rate")] {
        let mut limits = begun(Basis::Segment);
        limits.record(&sent(10), &SOCKET.values());
        let paced = Socket { limstate: Some(5), queue: 9_000, under_way: 1_000, ..SOCKET };
        limits.record(&received(110), &paced.values());
        let mut values = kernel_says(0, Some(650_000));
        values.set(SocketField::bbr_bw, Some(estimate));
        limits.kernel_values(&values);
        limits.end(110 * MS, false, &paced.values());
        assert_eq!(causes(&limits, None), [("startup", 10), (cause, 100)]);
        assert!(limits.divides_paced(), "which of the two is read at snapshots");
    }
}

#[test]
fn paced_time_is_divided_only_if_the_application_has_set_a_pace() {
    let paced = Socket { limstate: Some(5), queue: 9_000, under_way: 1_000, ..SOCKET };
    // The kernel's word for no limit is the largest number.
    for (socket, pace, divides) in [
        (paced, Some(650_000), true),
        (paced, None, false),
        (paced, Some(u64::MAX), false),
        (SOCKET, Some(650_000), false),
    ] {
        let mut limits = begun(Basis::Segment);
        limits.record(&sent(10), &SOCKET.values());
        limits.record(&received(110), &socket.values());
        limits.kernel_values(&kernel_says(0, pace));
        limits.end(110 * MS, false, &socket.values());
        assert_eq!(limits.divides_paced(), divides, "{pace:?}");
    }
}

#[test]
fn a_slow_pace_is_waited_for_with_nothing_under_way() {
    let mut limits = begun(Basis::Segment);
    limits.record(&sent(10), &SOCKET.values());
    let paced = Socket { limstate: Some(5), queue: 9_000, under_way: 1_000, ..SOCKET };
    limits.record(&received(20), &paced.values());
    // Acknowledged at 20; the timer lets the next one go at 120.
    limits.record(&sent(120), &Socket { under_way: 0, una: 2, ..paced }.values());
    limits.end(120 * MS, false, &Socket { una: 3, ..SOCKET }.values());
    assert_eq!(causes(&limits, None), [("startup", 10), ("cc_rate", 110)]);
}

#[test]
fn a_full_buffer_that_the_kernel_s_clock_misses() {
    // Written and sent at once, and nothing more has room: the clock stays at 0.
    let full = Socket { under_way: 16_000, ..SOCKET };
    for (sndbuf, expected) in [
        (16_384, vec![("startup", 10), ("application", 40), ("send_buffer", 100)]),
        (4_194_304, vec![("startup", 10), ("application", 140)]),
    ] {
        let mut limits = begun(Basis::Segment);
        limits.record(&sent(50), &SOCKET.values());
        for i in 1..=5 {
            limits.record(&received(50 + 20 * i), &Socket { una: i, ..full }.values());
        }
        let mut values = kernel_says(0, None);
        values.set(SocketField::skmem_sndbuf, Some(sndbuf));
        limits.kernel_values(&values);
        limits.end(150 * MS, false, &Socket { una: 9, ..SOCKET }.values());
        assert_eq!(causes(&limits, None), expected);
    }
}

fn kernel_says(sndbuf_us: u64, cap: Option<u64>) -> SocketValues {
    let mut values = SocketValues::default();
    values.set(SocketField::tcpi_sndbuf_limited, Some(sndbuf_us));
    values.set(SocketField::tcpi_max_pacing_rate, cap);
    values.set(SocketField::tcpi_pacing_rate, Some(625_000));
    values
}

#[test]
fn the_kernel_distinguishes_a_full_send_buffer_from_an_idle_application() {
    let mut limits = begun(Basis::Segment);
    limits.record(&sent(50), &SOCKET.values());
    // All of it is under way.
    limits.record(&received(150), &Socket { under_way: 16_000, ..SOCKET }.values());
    assert!(!limits.tells(LimitCause::SendBuffer, false, &|_| true), "NULL, not zero");
    limits.kernel_values(&kernel_says(92_000, None));
    limits.end(150 * MS, false, &Socket { una: 2, ..SOCKET }.values());
    assert!(limits.tells(LimitCause::SendBuffer, false, &|_| true));
    assert_eq!(causes(&limits, None), [("startup", 10), ("application", 48), ("send_buffer", 92)]);
}

#[test]
fn the_rate_of_the_application_is_distinguished_from_the_algorithms() {
    for (cap, cause) in
        [(Some(625_000), "app_rate"), (Some(9_000_000), "cc_rate"), (None, "cc_rate")]
    {
        let mut limits = begun(Basis::Segment);
        limits.kernel_values(&kernel_says(0, cap));
        limits.record(&sent(10), &SOCKET.values());
        let paced = Socket { limstate: Some(5), queue: 9_000, under_way: 1_000, ..SOCKET };
        limits.record(&received(60), &paced.values());
        limits.kernel_values(&kernel_says(0, cap));
        limits.record(&received(110), &Socket { una: 2, ..paced }.values());
        limits.end(110 * MS, false, &Socket { una: 3, ..paced }.values());
        assert_eq!(causes(&limits, None), [("startup", 10), (cause, 100)]);
    }
}

#[test]
fn a_reader_that_is_behind_has_the_receiver_s_share() {
    let reads = |unread, window| {
        move |var| match var {
            Var::CurAppRQueue => Some(unread),
            Var::CurRwinSent => Some(window),
            _ => SOCKET.values()(var),
        }
    };
    let mut reader = begun(Basis::Segment);
    reader.record(&received(20), &reads(0, 60_000));
    reader.record(&received(40), &reads(59_000, 1_000));
    reader.record(&sent(70), &reads(0, 60_000));
    reader.end(90 * MS, false, &reads(0, 60_000));
    assert_eq!(reader.reader_behind_ns(), 30 * MS);

    let mut sender = begun(Basis::Segment);
    sender.record(&sent(10), &SOCKET.values());
    let full = Socket { limstate: Some(2), queue: 5_000, under_way: 60_000, ..SOCKET };
    sender.record(&received(60), &full.values());
    sender.end(60 * MS, false, &full.values());
    assert_eq!(
        causes(&sender, Some(reader.reader_behind_ns())),
        [("startup", 10), ("receiver", 20), ("receiver_app", 30)]
    );
    assert!(!sender.tells(LimitCause::ReceiverApp, false, &|_| true));
}

#[test]
fn time_before_the_first_value_is_not_counted() {
    let mut limits = Limits::new(Basis::Segment);
    limits.record(&record(5), &|_| None);
    limits.record(&received(10), &Socket { under_way: 100, ..SOCKET }.values());
    limits.record(&received(30), &Socket { under_way: 100, una: 2, ..SOCKET }.values());
    limits.end(50 * MS, false, &Socket { under_way: 100, una: 3, ..SOCKET }.values());
    assert_eq!(limits.ns().iter().sum::<u64>(), 40 * MS);
    assert!(!limits.tells(LimitCause::Network, false, &|_| false));
}

#[test]
fn recoveries_are_counted_and_timed() {
    let mut limits = Limits::new(Basis::Segment);
    let state = |code| move |var| (var == Var::InRecovery).then_some(code);
    for (ms, code) in [(1, 1), (5, 3), (7, 3), (9, 2), (20, 3)] {
        limits.record(&record(ms), &state(code));
    }
    limits.end(21 * MS, false, &state(3));
    assert_eq!((limits.recoveries(), limits.recovery_ns()), (2, 5 * MS));
    assert_eq!(limits.ns().iter().sum::<u64>(), 0, "no record showed what limited it");
}
