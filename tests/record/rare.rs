//! Connections that begin or end in a rare way, as the real kernel makes them: their rows against
//! TCP_INFO of the same sockets, the audit and the packets' witness, and against the rows of a capture
//! of the same packets.

use std::fs::File;
use std::net::{IpAddr, SocketAddr};
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};
use std::time::Duration;

use tempfile::TempDir;

use crate::SUITE;
use crate::run::{Connection, Finished, Recorder, scratch};
use crate::support::audit;
use crate::support::gate::{self, Needs};
use crate::support::impair::Impairment;
use crate::support::link::{DEVICE, Direction};
use crate::support::mib::Mib;
use crate::support::netns::Netns;
use crate::support::pair::{Family, Pair};
use crate::support::table::{self, Value};
use crate::support::tcp::{Listener, Options, Stream};
use crate::support::tcp_info::TcpInfo;
use crate::support::trust;
use crate::traffic::until;

const TCPDUMP: Needs = Needs { lab: true, bpf: true, programs: &["tcpdump"] };

/// Variables that packets give exactly: the imported value is the kernel's.
const SAME: [&str; 15] = [
    "SegsIn",
    "DataSegsIn",
    "HCDataOctetsIn",
    "HCThruOctetsReceived",
    "SegsOut",
    "DataSegsOut",
    "HCDataOctetsOut",
    "SegsRetrans",
    "OctetsRetrans",
    "HCThruOctetsAcked",
    "SndInitial",
    "RecInitial",
    "RcvNxt",
    "SndUna",
    "DupAcksIn",
];

/// Likewise of identity.
const IDENTITY: [&str; 4] = ["opened_by", "closed_by", "close_reason", "completeness"];

/// tcpdump at an end.
struct Tcpdump(Child);

impl Tcpdump {
    fn start(netns: &Netns, device: &str, into: &Path) -> Self {
        let log = into.with_extension("log");
        let child = netns
            .command("tcpdump")
            .args(["-Z", "root", "-n", "-U", "--immediate-mode", "-s", "0", "-i", device, "-w"])
            .arg(into)
            .arg("tcp")
            .stderr(File::create(&log).expect("a log"))
            .stdin(Stdio::null())
            .spawn()
            .expect("tcpdump");
        let said = || std::fs::read_to_string(&log).unwrap_or_default();
        until("tcpdump does not listen", || said().contains("listening on"));
        Self(child)
    }
}

impl Drop for Tcpdump {
    fn drop(&mut self) {
        // SAFETY: the child has not been waited for, so the id is still its own.
        unsafe { libc::kill(self.0.id().cast_signed(), libc::SIGINT) };
        let _ = self.0.wait();
    }
}

/// Two namespaces, recorded and captured.
struct Lab {
    pair: Pair,
    recorder: Recorder,
    captures: Vec<(IpAddr, PathBuf, Tcpdump)>,
    scratch: TempDir,
}

/// An end of a connection, with what the kernel said of it last.
struct End {
    what: &'static str,
    local: SocketAddr,
    remote: SocketAddr,
    info: Option<TcpInfo>,
}

impl End {
    fn of(what: &'static str, stream: &Stream, (local, remote): (SocketAddr, SocketAddr)) -> Self {
        Self { what, local, remote, info: Some(stream.info()) }
    }
}

/// What came of it.
struct Seen {
    finished: Finished,
    imported: Vec<(IpAddr, Vec<Connection>)>,
    _scratch: TempDir,
}

fn delayed() -> Impairment {
    Impairment { delay: Duration::from_millis(10), ..Impairment::default() }
}

impl Lab {
    fn new(pair: Pair) -> Self {
        let scratch = scratch();
        let (client, server) = (pair.client.name(), pair.server.name());
        let recorder =
            Recorder::start(&["--packets", "--all", "--netns", client, "--netns", server]);
        let dump = |netns: &Netns, device: &str, addr: IpAddr, name: &str| {
            let file = scratch.path().join(name);
            let dump = Tcpdump::start(netns, device, &file);
            (addr, file, dump)
        };
        let captures = vec![
            dump(&pair.client, DEVICE, pair.client_address(Family::V4), "client.pcap"),
            dump(&pair.server, DEVICE, pair.server_address(Family::V4), "server.pcap"),
            dump(&pair.client, "lo", "127.0.0.1".parse().expect("an address"), "lo.pcap"),
        ];
        Self { pair, recorder, captures, scratch }
    }

    fn client(&self, port: u16) -> SocketAddr {
        SocketAddr::new(self.pair.client_address(Family::V4), port)
    }

    fn server(&self, port: u16) -> SocketAddr {
        SocketAddr::new(self.pair.server_address(Family::V4), port)
    }

    fn listener(&self, port: u16) -> Listener {
        Listener::bind(&self.pair.server, self.server(port), Options::default())
    }

    fn socket(&self, port: u16) -> Stream {
        let local = Some(self.client(port));
        Stream::unconnected(&self.pair.client, local, true, Options::default()).expect("a socket")
    }

    /// Ends the recording and the captures, and holds against each other what they have.
    fn check(self, ends: &[End]) -> Seen {
        // Whatever is under way.
        std::thread::sleep(Duration::from_millis(400));
        let finished = self.recorder.stop();
        finished.assert_code(0);
        let differs: Vec<_> = finished
            .table("audit")
            .into_iter()
            .filter(|row| row.text("verdict") == "differs")
            .map(|row| {
                let side = |name: &str| row.number(name);
                let sides = [side("replayed"), side("kernel"), side("packets")];
                format!("{}: {}: {sides:?}", row.int("conn_id"), row.text("relation"))
            })
            .collect();
        assert!(differs.is_empty(), "{differs:#?}");
        let mut imported = Vec::new();
        for (addr, file, dump) in self.captures {
            drop(dump);
            imported.push((addr, import(&file, addr)));
        }
        let seen = Seen { finished, imported, _scratch: self.scratch };
        for end in ends {
            let rows = seen.live(end.local, end.remote);
            let Some(row) = rows.last() else { panic!("{}: no row", end.what) };
            if let Some(info) = &end.info {
                audit::equalities(&row.values, info).assert(end.what, 23);
            }
            seen.compare(end, row);
        }
        seen
    }
}

/// The rows of a capture.
fn import(file: &Path, local: IpAddr) -> Vec<Connection> {
    let run = file.with_extension("run");
    let output = Command::new(env!("CARGO_BIN_EXE_estats-analyze"))
        .arg("import-pcap")
        .arg(file)
        .args(["--local", &local.to_string(), "-o"])
        .arg(&run)
        .output()
        .expect("estats-analyze");
    let said = String::from_utf8_lossy(&output.stderr).into_owned();
    if !run.exists() {
        return Vec::new();
    }
    let output = Command::new(env!("CARGO_BIN_EXE_estats-analyze"))
        .arg("replay")
        .arg(&run)
        .output()
        .expect("estats-analyze");
    assert!(output.status.code().is_some_and(|c| c == 0 || c == 3), "{said}");
    let table = |name: &str| table::read(&run.join("tables").join(name));
    let rows = table("connections.parquet").into_iter().zip(table("estats.parquet"));
    rows.map(|(identity, values)| Connection { identity, values }).collect()
}

fn of(rows: &[Connection], local: SocketAddr, remote: SocketAddr) -> Vec<Connection> {
    let mut rows: Vec<_> =
        rows.iter().filter(|r| r.local() == local && r.remote() == remote).cloned().collect();
    rows.sort_by_key(|row| row.identity.int("conn_id"));
    rows
}

impl Seen {
    /// Rows of the recording, in the order of their beginning.
    fn live(&self, local: SocketAddr, remote: SocketAddr) -> Vec<Connection> {
        of(&self.finished.connections(), local, remote)
    }

    /// Rows of the capture at this end.
    fn captured(&self, local: SocketAddr, remote: SocketAddr) -> Vec<Connection> {
        let found = self.imported.iter().find(|(addr, _)| *addr == local.ip());
        found.map(|(_, rows)| of(rows, local, remote)).unwrap_or_default()
    }

    /// The imported numbers are the kernel's.
    fn compare(&self, end: &End, live: &Connection) {
        let rows = self.captured(end.local, end.remote);
        let Some(captured) = rows.last() else { panic!("{}: not in the capture", end.what) };
        let mut findings = Vec::new();
        for name in SAME {
            let (a, b) = (live.values.number(name), captured.values.number(name));
            if a != b {
                findings.push(format!("{name}: {a:?} recorded, {b:?} imported"));
            }
        }
        for name in IDENTITY {
            let (a, b) = (live.identity.get(name), captured.identity.get(name));
            if a != b {
                findings.push(format!("{name}: {a:?} recorded, {b:?} imported"));
            }
        }
        assert!(findings.is_empty(), "{}:\n  {}", end.what, findings.join("\n  "));
    }
}

/// Client and server close, the client first; what the kernel says of both.
fn close(client: &Stream, server: &Stream, ends: (SocketAddr, SocketAddr)) -> [End; 2] {
    client.finish();
    server.receive_end();
    server.finish();
    client.receive_end();
    std::thread::sleep(Duration::from_millis(300));
    [End::of("client", client, ends), End::of("server", server, (ends.1, ends.0))]
}

fn number(row: &Connection, name: &str) -> i64 {
    row.values.int(name)
}

/// What a row says, for the page of conditions.
fn said(row: &Connection, names: &[&str]) -> String {
    let values: Vec<_> = names.iter().map(|n| format!("{n} {}", number(row, n))).collect();
    let word = |column: &str| match row.identity.get(column) {
        Some(Value::Text(text)) => text.clone(),
        _ => "none".to_owned(),
    };
    format!("{}, {}, {}", word("completeness"), word("close_reason"), values.join(", "))
}

/// Bits of net.ipv4.tcp_fastopen: client, server, no cookie asked for at either, every listener.
const FAST_BOTH: &str = "1543";
const FAST_CLIENT: &str = "5";

fn fast_open(server: &str, forward: Impairment, backward: Impairment) -> (Seen, [End; 2]) {
    let pair = Pair::new(forward, backward);
    pair.client.sysctl("ipv4/tcp_fastopen", FAST_CLIENT);
    pair.server.sysctl("ipv4/tcp_fastopen", server);
    let lab = Lab::new(pair);
    let listener = lab.listener(7000);
    let client = lab.socket(40_000);
    let ends = (lab.client(40_000), lab.server(7000));
    client.fast_open(ends.1, 500);
    let accepted = listener.accept();
    accepted.receive(500);
    accepted.send(3000);
    client.receive(3000);
    client.send(1500);
    accepted.receive(1500);
    let closed = close(&client, &accepted, ends);
    let seen = lab.check(&closed);
    (seen, closed)
}

#[test]
fn fast_open_accepted() {
    let Some(_turn) = gate::enter(SUITE, TCPDUMP) else { return };
    let (seen, [client, server]) = fast_open(FAST_BOTH, delayed(), delayed());
    let sender = seen.live(client.local, client.remote).remove(0);
    let receiver = seen.live(server.local, server.remote).remove(0);
    assert_eq!(number(&sender, "SegsRetrans"), 0, "the data was taken with the SYN");
    for row in [&sender, &receiver] {
        assert_eq!(row.identity.flag("established"), true);
    }
    assert_eq!(number(&receiver, "HCDataOctetsIn"), 2000);
    assert_eq!(number(&receiver, "DataSegsIn"), 3);
    let names = ["DataSegsIn", "HCDataOctetsIn", "SegsRetrans"];
    trust::says("Fast Open accepted, the end that accepts", &said(&receiver, &names));
}

#[test]
fn fast_open_refused() {
    let Some(_turn) = gate::enter(SUITE, TCPDUMP) else { return };
    let (seen, [client, server]) = fast_open("0", delayed(), delayed());
    let sender = seen.live(client.local, client.remote).remove(0);
    assert_eq!((number(&sender, "SegsRetrans"), number(&sender, "OctetsRetrans")), (1, 500));
    let receiver = seen.live(server.local, server.remote).remove(0);
    assert_eq!(number(&receiver, "HCDataOctetsIn"), 2000);
    let names = ["DataSegsIn", "HCDataOctetsOut", "SegsRetrans"];
    trust::says("Fast Open refused, the end that asks", &said(&sender, &names));
}

#[test]
fn fast_open_with_a_lost_syn_or_syn_ack() {
    let Some(_turn) = gate::enter(SUITE, TCPDUMP) else { return };
    let lost = || Impairment { drop: vec![1], ..delayed() };
    let (seen, [client, server]) = fast_open(FAST_BOTH, lost(), delayed());
    let sender = seen.live(client.local, client.remote).remove(0);
    assert!(number(&sender, "SegsRetrans") > 0);
    let receiver = seen.live(server.local, server.remote).remove(0);
    assert_eq!(number(&receiver, "HCDataOctetsIn"), 2000);
    let (seen, [_, server]) = fast_open(FAST_BOTH, delayed(), lost());
    let receiver = seen.live(server.local, server.remote).remove(0);
    assert!(number(&receiver, "SegsRetrans") > 0);
    assert_eq!(number(&receiver, "HCThruOctetsReceived"), 2001);
}

#[test]
fn lost_syn_ack() {
    let Some(_turn) = gate::enter(SUITE, TCPDUMP) else { return };
    let pair = Pair::new(delayed(), Impairment { drop: vec![1], ..delayed() });
    let lab = Lab::new(pair);
    let listener = lab.listener(7000);
    let client = lab.socket(40_000);
    let ends = (lab.client(40_000), lab.server(7000));
    client.reconnect(ends.1).expect("connect");
    let accepted = listener.accept();
    client.send(100);
    accepted.receive(100);
    let closed = close(&client, &accepted, ends);
    let seen = lab.check(&closed);
    let receiver = seen.live(ends.1, ends.0).remove(0);
    assert!(number(&receiver, "SegsRetrans") > 0);
    assert_eq!(number(&receiver, "Timeouts"), 0, "the timer was the listener's");
    trust::says("a lost SYN-ACK, the end that accepts", &said(&receiver, &["Timeouts"]));
}

/// The request comes with what is in effect the handshake's last segment, and the server has closed
/// before anything else comes.
#[test]
fn request_after_a_lost_ack() {
    const REQUEST: u64 = 18;
    let Some(_turn) = gate::enter(SUITE, TCPDUMP) else { return };
    let pair = Pair::new(Impairment { drop: vec![2], ..delayed() }, delayed());
    let lab = Lab::new(pair);
    let listener = lab.listener(7000);
    let client = lab.socket(40_000);
    let ends = (lab.client(40_000), lab.server(7000));
    client.reconnect(ends.1).expect("connect");
    client.send(REQUEST);
    let accepted = listener.accept();
    accepted.receive(REQUEST);
    accepted.send(50);
    drop(accepted);
    client.receive(50);
    client.receive_end();
    client.finish();
    let seen = lab.check(&[]);
    let server = seen.live(ends.1, ends.0).remove(0);
    assert_eq!(number(&server, "HCDataOctetsIn"), REQUEST as i64);
    let captured = seen.captured(ends.1, ends.0).remove(0);
    for name in SAME {
        assert_eq!(server.values.number(name), captured.values.number(name), "{name}");
    }
    trust::says(
        "a request that comes after the handshake's last ACK was lost",
        &said(&server, &["HCDataOctetsIn", "HCThruOctetsReceived"]),
    );
}

#[test]
fn simultaneous_open() {
    let Some(_turn) = gate::enter(SUITE, TCPDUMP) else { return };
    let lab = Lab::new(Pair::symmetric(Impairment {
        delay: Duration::from_millis(100),
        ..Impairment::default()
    }));
    let ends = (lab.client(40_000), lab.server(50_000));
    let a = lab.socket(40_000);
    let b = Stream::unconnected(&lab.pair.server, Some(ends.1), true, Options::default())
        .expect("a socket");
    a.begin(ends.1);
    b.begin(ends.0);
    a.wait_connected();
    b.wait_connected();
    a.send(300);
    b.receive(300);
    b.send(40);
    a.receive(40);
    let closed = close(&a, &b, ends);
    let seen = lab.check(&closed);
    let rows = [seen.live(ends.0, ends.1).remove(0), seen.live(ends.1, ends.0).remove(0)];
    for row in &rows {
        row_is_active(row);
        assert_eq!(number(row, "SegsRetrans"), 0);
    }
    trust::says("both ends open at once", &said(&rows[0], &["SegsRetrans", "HCDataOctetsIn"]));
}

fn row_is_active(row: &Connection) {
    assert_eq!(row.identity.text("opened_by"), "local", "{:?}", row.identity);
}

#[test]
fn connected_to_itself() {
    let Some(_turn) = gate::enter(SUITE, TCPDUMP) else { return };
    let lab = Lab::new(Pair::symmetric(delayed()));
    let own: SocketAddr = "127.0.0.1:40000".parse().expect("an address");
    let socket = Stream::unconnected(&lab.pair.client, Some(own), true, Options::default())
        .expect("a socket");
    socket.reconnect(own).expect("connect to itself");
    socket.send(300);
    socket.receive(300);
    std::thread::sleep(Duration::from_millis(300));
    let end = End::of("itself", &socket, (own, own));
    let seen = lab.check(&[end]);
    let row = seen.live(own, own).remove(0);
    row_is_active(&row);
    let names = ["SegsRetrans", "HCDataOctetsIn", "HCDataOctetsOut"];
    trust::says("a socket connected to itself", &said(&row, &names));
}

#[test]
fn closed_in_repair_mode() {
    let Some(_turn) = gate::enter(SUITE, TCPDUMP) else { return };
    let lab = Lab::new(Pair::symmetric(delayed()));
    let listener = lab.listener(7000);
    let client = lab.socket(40_000);
    let ends = (lab.client(40_000), lab.server(7000));
    client.reconnect(ends.1).expect("connect");
    let accepted = listener.accept();
    client.send(100);
    accepted.receive(100);
    std::thread::sleep(Duration::from_millis(300));
    client.repair();
    drop(client);
    std::thread::sleep(Duration::from_millis(100));
    assert_eq!(Mib::of(&lab.pair.client).must("Tcp.OutRsts"), 0);
    let seen = lab.check(&[]);
    let row = seen.live(ends.0, ends.1).remove(0);
    assert_eq!(row.identity.text("close_reason"), "aborted");
    trust::says("closed in repair mode (TCP_REPAIR)", &said(&row, &["HCDataOctetsOut"]));
}

/// The SYN-ACK takes longer than the first timeout.
#[test]
fn syn_repeated_before_its_answer_came() {
    let Some(_turn) = gate::enter(SUITE, TCPDUMP) else { return };
    let slow = Impairment { delay: Duration::from_millis(1200), ..Impairment::default() };
    let lab = Lab::new(Pair::new(delayed(), slow));
    let listener = lab.listener(7000);
    let client = lab.socket(40_000);
    let ends = (lab.client(40_000), lab.server(7000));
    client.reconnect(ends.1).expect("connect");
    lab.pair.link().impair(Direction::Backward, delayed());
    let accepted = listener.accept();
    client.send(100);
    accepted.receive(100);
    std::thread::sleep(Duration::from_millis(1500));
    let closed = close(&client, &accepted, ends);
    let seen = lab.check(&closed);
    let row = seen.live(ends.0, ends.1).remove(0);
    assert_eq!(number(&row, "SegsRetrans"), 1);
    trust::says("a SYN repeated before its SYN-ACK came", &said(&row, &["SegsRetrans"]));
}

/// The peer has a connection that this end has forgotten: its challenge is answered with a reset, and
/// the SYN goes out again (RFC 9293, figure 9).
#[test]
fn half_open_recovery() {
    let Some(_turn) = gate::enter(SUITE, TCPDUMP) else { return };
    let lab = Lab::new(Pair::symmetric(delayed()));
    let listener = lab.listener(7000);
    let ends = (lab.client(40_000), lab.server(7000));
    let forgotten = lab.socket(40_000);
    forgotten.reconnect(ends.1).expect("connect");
    let old = listener.accept();
    forgotten.send(100);
    old.receive(100);
    std::thread::sleep(Duration::from_millis(300));
    forgotten.repair();
    drop(forgotten);
    let client = lab.socket(40_000);
    client.reconnect(ends.1).expect("connect");
    let accepted = listener.accept();
    client.send(200);
    accepted.receive(200);
    let closed = close(&client, &accepted, ends);
    let seen = lab.check(&closed);
    let (here, there) = (seen.live(ends.0, ends.1), seen.live(ends.1, ends.0));
    assert_eq!((here.len(), there.len()), (2, 2));
    assert_eq!(number(&here[1], "SegsRetrans"), 1);
    assert_eq!(there[0].identity.text("close_reason"), "reset_received");
    let captured = seen.captured(ends.0, ends.1);
    assert_eq!(captured.len(), 2);
    trust::says(
        "half-open recovery, the end that had forgotten",
        &said(&here[1], &["SegsRetrans"]),
    );
}

/// The ends of a SYN that nobody answered are used again.
#[test]
fn ends_used_again_while_unanswered() {
    let Some(_turn) = gate::enter(SUITE, TCPDUMP) else { return };
    let nothing = Impairment { loss: 1.0, ..delayed() };
    let lab = Lab::new(Pair::new(nothing, delayed()));
    let listener = lab.listener(7000);
    let ends = (lab.client(40_000), lab.server(7000));
    let given_up = lab.socket(40_000);
    given_up.begin(ends.1);
    std::thread::sleep(Duration::from_millis(100));
    drop(given_up);
    lab.pair.link().impair(Direction::Forward, delayed());
    let client = lab.socket(40_000);
    client.reconnect(ends.1).expect("connect");
    let accepted = listener.accept();
    client.send(700);
    accepted.receive(700);
    let closed = close(&client, &accepted, ends);
    let seen = lab.check(&closed);
    let rows = seen.live(ends.0, ends.1);
    assert_eq!(rows.len(), 2);
    assert_eq!(rows[0].identity.text("close_reason"), "abandoned");
    let flows = seen.finished.table("flows");
    let with_data =
        flows.iter().filter(|f| f.int("payload_bytes") == 700 && f.text("direction") == "out");
    let owners: Vec<_> = with_data.map(|f| f.int("conn_id")).collect();
    assert_eq!(owners, [rows[1].identity.int("conn_id")]);
    trust::says(
        "ends used again while their first SYN is unanswered",
        &said(&rows[1], &["DataSegsOut"]),
    );
}

/// Sends a reset with this number, as the stack of the peer might.
fn reset(netns: &Netns, from: SocketAddr, to: SocketAddr, seq: u32) {
    let (IpAddr::V4(src), IpAddr::V4(dst)) = (from.ip(), to.ip()) else { panic!("IPv4") };
    let mut tcp = Vec::new();
    tcp.extend(from.port().to_be_bytes());
    tcp.extend(to.port().to_be_bytes());
    tcp.extend(seq.to_be_bytes());
    tcp.extend([0; 4]);
    tcp.extend([5 << 4, 4, 0, 0, 0, 0, 0, 0]);
    let pseudo = [&src.octets()[..], &dst.octets(), &[0, 6, 0, 20], &tcp].concat();
    let words = pseudo.chunks(2).map(|w| u32::from(u16::from_be_bytes([w[0], w[1]])));
    let sum: u32 = words.sum();
    let sum = !((sum & 0xffff) + (sum >> 16)) as u16;
    tcp[16..18].copy_from_slice(&sum.to_be_bytes());
    netns.run(|| {
        // SAFETY: plain system calls on a descriptor and buffers of our own.
        unsafe {
            let fd = libc::socket(libc::AF_INET, libc::SOCK_RAW, libc::IPPROTO_TCP);
            assert!(fd >= 0, "a raw socket: {}", std::io::Error::last_os_error());
            let mut address: libc::sockaddr_in = std::mem::zeroed();
            address.sin_family = libc::AF_INET as libc::sa_family_t;
            address.sin_addr.s_addr = u32::from_ne_bytes(dst.octets());
            let length = size_of_val(&address) as libc::socklen_t;
            let n = libc::sendto(
                fd,
                tcp.as_ptr().cast(),
                tcp.len(),
                0,
                (&raw const address).cast(),
                length,
            );
            assert_eq!(n, 20, "{}", std::io::Error::last_os_error());
            libc::close(fd);
        }
    });
}

#[test]
fn reset_with_the_fins_own_number() {
    let Some(_turn) = gate::enter(SUITE, TCPDUMP) else { return };
    let lab = Lab::new(Pair::symmetric(delayed()));
    let listener = lab.listener(7000);
    let ends = (lab.client(40_000), lab.server(7000));
    let client = lab.socket(40_000);
    client.reconnect(ends.1).expect("connect");
    let accepted = listener.accept();
    accepted.finish();
    client.receive_end();
    std::thread::sleep(Duration::from_millis(300));
    let end = accepted.write_seq();
    reset(&lab.pair.server, ends.1, ends.0, end.wrapping_sub(1));
    std::thread::sleep(Duration::from_millis(100));
    let client = End::of("client", &client, ends);
    let seen = lab.check(&[client]);
    let row = seen.live(ends.0, ends.1).remove(0);
    assert_eq!(row.identity.text("close_reason"), "reset_received");
    trust::says("a reset with the number of the FIN before it", &said(&row, &["SegsIn"]));
}

#[test]
fn reset_at_the_right_edge_of_the_last_sack() {
    let Some(_turn) = gate::enter(SUITE, TCPDUMP) else { return };
    // The server's first data segment is lost, again and again.
    let drop_data = [vec![1], (4..40).collect()].concat();
    let lab = Lab::new(Pair::new(delayed(), Impairment { drop_data, ..delayed() }));
    let listener = lab.listener(7000);
    let ends = (lab.client(40_000), lab.server(7000));
    let client = lab.socket(40_000);
    client.reconnect(ends.1).expect("connect");
    let accepted = listener.accept();
    accepted.send(3 * 1448);
    std::thread::sleep(Duration::from_millis(100));
    reset(&lab.pair.server, ends.1, ends.0, accepted.write_seq());
    std::thread::sleep(Duration::from_millis(100));
    let client = End::of("client", &client, ends);
    let seen = lab.check(&[client]);
    let row = seen.live(ends.0, ends.1).remove(0);
    assert_eq!(row.identity.text("close_reason"), "reset_received");
    trust::says("a reset at the right edge of the last SACK", &said(&row, &["SegsIn"]));
}
