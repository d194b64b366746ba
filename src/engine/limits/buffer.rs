// SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause
//! How full the send buffer was while the application was what the sender waited for.
//!
//! The kernel's own clock of that (tcpi_sndbuf_limited) starts only in a transmit loop that finds the
//! application already waiting for room (tcp_cwnd_validate(), net/ipv4/tcp_output.c, Linux 6.18). An
//! application that writes what the loop sends at once waits after it: a send buffer of 16 kB that
//! was full all the time has 0 there. But whoever writes gets no room while as much is unacknowledged
//! as the buffer may hold (sk_stream_memory_free()), nor after that until a third of it is free
//! (sk_stream_is_writeable()). How much it may hold is known from snapshots, and grows: so times are
//! kept by how much was in it, and summed at the end.

/// Classes of an octave, which makes them 9 % wide.
const PER_OCTAVE: usize = 8;
/// 2^12 octets: the least that Linux gives (SOCK_MIN_SNDBUF is 4608).
const LEAST_BITS: u32 = 12;
/// The last class is everything from 256 MB on.
const CLASSES: usize = 16 * PER_OCTAVE + 1;

#[derive(Clone, Copy, Debug)]
pub(super) struct Buffer {
    /// The most that was in it since it was less than two thirds full.
    peak: u64,
    /// Nanoseconds by class of the peak.
    ns: [u64; CLASSES],
}

impl Buffer {
    pub(super) const fn new() -> Self {
        Self { peak: 0, ns: [0; CLASSES] }
    }

    /// Sets how many octets are in it: those not sent, and those not acknowledged.
    pub(super) fn holds(&mut self, octets: u64) {
        self.peak = if octets < self.peak / 3 * 2 { octets } else { self.peak.max(octets) };
    }

    /// The application was waited for.
    pub(super) fn waited(&mut self, ns: u64) {
        let of = &mut self.ns[class(self.peak)];
        *of = of.saturating_add(ns);
    }

    /// How long it was full, if it may hold `sndbuf` octets. Up to a tenth of this is the kernel's own:
    /// the structures of segments.
    pub(super) fn full_ns(&self, sndbuf: u64) -> u64 {
        self.ns[class(sndbuf - sndbuf / 10)..].iter().sum()
    }
}

fn class(octets: u64) -> usize {
    let Some(bits) = octets.checked_ilog2().and_then(|bits| bits.checked_sub(LEAST_BITS)) else {
        return 0;
    };
    let within = (octets >> (bits + LEAST_BITS - PER_OCTAVE.ilog2())) as usize % PER_OCTAVE;
    (bits as usize * PER_OCTAVE + within).min(CLASSES - 1)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn classes_are_an_eighth_of_an_octave() {
        assert_eq!([0, 4_095, 4_096, 4_607, 4_608].map(class), [0, 0, 0, 0, 1]);
        assert_eq!([8_191, 8_192, u64::MAX].map(class), [7, 8, CLASSES - 1]);
    }

    #[test]
    fn a_full_buffer_stays_full_until_a_third_is_free() {
        let mut buffer = Buffer::new();
        // Up to 16 kB, and down to two thirds: the writer waits. Below, it writes again.
        for (octets, ns) in [(8_000, 1), (16_000, 10), (11_000, 100), (10_000, 1_000)] {
            buffer.holds(octets);
            buffer.waited(ns);
        }
        assert_eq!(buffer.full_ns(16_384), 110);
        assert_eq!(buffer.full_ns(65_536), 0);
        // Answers of 10 kB do not fill 16 kB.
        let mut answers = Buffer::new();
        answers.holds(10_000);
        answers.waited(5);
        assert_eq!(answers.full_ns(16_384), 0);
    }
}
