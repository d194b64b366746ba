// SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause
//! A connection of which both ends are at hand.

use std::net::{IpAddr, SocketAddr};
use std::time::{Duration, Instant};

use super::netns::Netns;
use super::pair::{Family, Pair};
use super::tcp::{Listener, Options, PATIENCE, Stream};
use super::tcp_info::TcpInfo;

/// Longer than the longest delayed ACK (200 ms, TCP_DELACK_MAX) and any round-trip time of the
/// laboratory: after as long without a change, no segment is under way and no ACK is owed.
const QUIET: Duration = Duration::from_millis(400);

/// Both ends of a connection.
#[derive(Debug)]
pub struct Flow {
    /// The end that connected.
    pub client: Stream,
    /// The end that accepted.
    pub server: Stream,
}

/// Both ends' `tcp_info`, read when nothing moved any more.
#[derive(Clone, Debug)]
pub struct Settled {
    /// Of the end that connected.
    pub client: TcpInfo,
    /// Of the end that accepted.
    pub server: TcpInfo,
}

impl Flow {
    /// Opens a connection across the pair's link.
    pub fn open(pair: &Pair, family: Family, options: Options) -> Self {
        Self::open_with(pair, family, options, options)
    }

    /// The same with different options at the two ends.
    pub fn open_with(pair: &Pair, family: Family, client: Options, server: Options) -> Self {
        let address = pair.server_address(family);
        Self::between((&pair.client, client), (&pair.server, server), address)
    }

    /// Opens a connection from the first namespace to this address of the second, any port.
    pub fn between(
        (from, client): (&Netns, Options),
        (to, server): (&Netns, Options),
        address: IpAddr,
    ) -> Self {
        let listener = Listener::bind(to, SocketAddr::new(address, 0), server);
        let address = listener.address();
        let client = Stream::connect(from, address, client)
            .unwrap_or_else(|e| panic!("connect to {address}: {e}"));
        Self { client, server: listener.accept() }
    }

    /// Opens a connection of which the handshake's last segment carries the first of these octets.
    pub fn open_sending(pair: &Pair, family: Family, octets: u64) -> Self {
        let (client, server) =
            (Options { delayed_ack: true, ..Options::default() }, Options::default());
        let address = SocketAddr::new(pair.server_address(family), 0);
        let listener = Listener::bind(&pair.server, address, server);
        let address = listener.address();
        let client = Stream::connect(&pair.client, address, client)
            .unwrap_or_else(|e| panic!("connect to {address}: {e}"));
        client.send(octets);
        let server = listener.accept();
        server.receive(octets);
        Self { client, server }
    }

    /// Sends this many octets from the client, which the server reads at once.
    pub fn upload(&self, octets: u64) {
        transfer(&self.client, &self.server, octets);
    }

    /// Sends this many octets from the server, which the client reads at once.
    pub fn download(&self, octets: u64) {
        transfer(&self.server, &self.client, octets);
    }

    /// Both at the same time.
    pub fn exchange(&self, octets: u64) {
        std::thread::scope(|scope| {
            scope.spawn(|| self.upload(octets));
            self.download(octets);
        });
    }

    /// Both ends send their FIN, the client first; returns when both sockets are in CLOSE. They
    /// stay open as descriptors, so `tcp_info` still shows the final values.
    pub fn finish(&self) -> Settled {
        self.client.finish();
        self.server.receive_end();
        self.server.finish();
        self.client.receive_end();
        self.settle()
    }

    /// Waits until nothing moves any more.
    pub fn settle(&self) -> Settled {
        let begun = Instant::now();
        let mut last = self.read();
        let mut since = Instant::now();
        loop {
            std::thread::sleep(Duration::from_millis(20));
            let now = self.read();
            let moved = last.differences(&now);
            if !moved.is_empty() || now.outstanding() > 0 {
                since = Instant::now();
            }
            last = now;
            if since.elapsed() >= QUIET {
                return last;
            }
            assert!(
                begun.elapsed() < PATIENCE,
                "the connection does not come to rest: {} segments unacknowledged, {moved:?}",
                last.outstanding()
            );
        }
    }

    /// Reads both ends again and panics if anything moved since: then the comparison of an
    /// earlier recording with a later reading would mean nothing.
    pub fn assert_still(&self, earlier: &Settled) {
        let moved = earlier.differences(&self.read());
        assert!(moved.is_empty(), "the connection was at rest and moved: {moved:?}");
    }

    fn read(&self) -> Settled {
        Settled { client: self.client.info(), server: self.server.info() }
    }
}

impl Settled {
    fn differences(&self, later: &Self) -> Vec<String> {
        let mut all = self.client.differences(&later.client);
        all.extend(self.server.differences(&later.server));
        all
    }

    fn outstanding(&self) -> u64 {
        self.client.must("tcpi_unacked") + self.server.must("tcpi_unacked")
    }
}

fn transfer(from: &Stream, to: &Stream, octets: u64) {
    std::thread::scope(|scope| {
        scope.spawn(|| from.send(octets));
        to.receive(octets);
    });
}
