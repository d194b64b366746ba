// SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause
//! The laboratory itself, tried before anything is measured with it: the link treats real TCP as
//! configured, and the kernel's values are read rightly. Needs root, not BPF.

use std::collections::BTreeMap;
use std::process::Command;
use std::sync::Arc;
use std::time::{Duration, Instant};

use arrow::array::{
    ArrayRef, BooleanArray, DictionaryArray, Float64Array, Int32Array, Int64Array, RecordBatch,
    TimestampMicrosecondArray,
};
use arrow::datatypes::Int32Type;
use estats::schema::Var;
use parquet::arrow::ArrowWriter;

use crate::support::audit;
use crate::support::flow::{Flow, Settled};
use crate::support::gate::{self, Needs};
use crate::support::impair::{Blackout, Counters, Impairment, Lane, Verdict};
use crate::support::link::Direction::{Backward, Forward};
use crate::support::mib::Mib;
use crate::support::netns::Netns;
use crate::support::packet;
use crate::support::pair::{Family, Pair};
use crate::support::table::{self, Row, Value};
use crate::support::tcp::{Options, Stream};
use crate::support::tcp_info::{INFINITE_SSTHRESH, TcpInfo, options, state};

const SUITE: &str = "lab tests";
const DELAY: Duration = Duration::from_millis(5);
const MEGABYTE: u64 = 1_000_000;

fn delayed() -> Impairment {
    Impairment { delay: DELAY, rate: Some(50_000_000), ..Impairment::default() }
}

/// The three sources against each other: counters of both sockets, the packets the link saw, and the MIB
/// counters of the namespaces. Exact in every scenario, so that each can judge a recording.
fn assert_accounts_agree(pair: &Pair, settled: &Settled) {
    let (there, back) = (pair.link().counters(Forward), pair.link().counters(Backward));
    pair.assert_no_stray_loss();
    let check = |name: &str, info: &TcpInfo, sent: Counters, got: Counters, active: bool| {
        // A SYN-ACK is sent before there is a full socket, which therefore never counts it; it
        // counts one SYN as received, whatever became of repetitions.
        let (out, into) = if active {
            (sent.offered, got.delivered)
        } else {
            (sent.offered - sent.offered_syn, got.delivered - got.delivered_syn + 1)
        };
        assert_eq!(info.must("tcpi_segs_out"), out, "{name} segs_out");
        assert_eq!(info.must("tcpi_segs_in"), into, "{name} segs_in");
        assert_eq!(info.must("tcpi_data_segs_out"), sent.offered_data, "{name} data_segs_out");
        assert_eq!(info.must("tcpi_data_segs_in"), got.delivered_data, "{name} data_segs_in");
        assert_eq!(info.must("tcpi_bytes_sent"), sent.offered_octets, "{name} bytes_sent");
    };
    check("client", &settled.client, there, back, true);
    check("server", &settled.server, back, there, false);
    for (name, info, netns) in
        [("client", &settled.client, &pair.client), ("server", &settled.server, &pair.server)]
    {
        let mib = Mib::of(netns);
        let equal = |field, counter| {
            if let Some(value) = info.get(field) {
                assert_eq!(value, mib.must(counter), "{name} {field}, {counter}");
            }
        };
        equal("tcpi_total_retrans", "Tcp.RetransSegs");
        equal("tcpi_total_rto", "TcpExt.TCPTimeouts");
        equal("tcpi_rcv_ooopack", "TcpExt.TCPOFOQueue"); // without GRO
    }
}

#[test]
fn the_link_delays_and_the_kernel_measures_it() {
    let Some(_turn) = gate::enter(SUITE, Needs::LAB) else { return };
    for family in [Family::V4, Family::V6] {
        let pair = Pair::symmetric(delayed());
        let flow = Flow::open(&pair, family, Options::default());
        let begun = Instant::now();
        flow.exchange(MEGABYTE);
        assert!(begun.elapsed() >= Duration::from_millis(160), "1 MB at 50 Mbit/s in less time");
        let settled = flow.settle();
        for info in [&settled.client, &settled.server] {
            let rtt = info.must("tcpi_min_rtt");
            // Never less, because the link waits for its clock; more only by scheduling, which is
            // bounded loosely: a busy host may take long, a wrong unit would be off by 1000.
            assert!((10_000..100_000).contains(&rtt), "{family:?}: min_rtt {rtt} us");
            assert_eq!(info.must("tcpi_state"), state::ESTABLISHED);
            assert_eq!(info.must("tcpi_bytes_received"), MEGABYTE);
        }
        assert_eq!(settled.client.must("tcpi_bytes_acked"), MEGABYTE + 1, "the SYN counts");
        assert_eq!(settled.server.must("tcpi_bytes_acked"), MEGABYTE, "the SYN-ACK does not");
        assert_accounts_agree(&pair, &settled);
    }
}

#[test]
fn a_closed_socket_keeps_its_final_counters() {
    let Some(_turn) = gate::enter(SUITE, Needs::LAB) else { return };
    let pair = Pair::symmetric(delayed());
    let flow = Flow::open(&pair, Family::V4, Options::default());
    flow.upload(MEGABYTE);
    let before = flow.settle();
    let after = flow.finish();
    for (name, was, is) in
        [("client", &before.client, &after.client), ("server", &before.server, &after.server)]
    {
        assert_eq!(is.must("tcpi_state"), state::CLOSE, "{name}");
        let grown = |field| is.must(field) - was.must(field);
        assert_eq!(grown("tcpi_bytes_acked"), 1, "{name}: its FIN");
        assert_eq!(grown("tcpi_bytes_received"), 1, "{name}: the peer's FIN");
        assert_eq!(grown("tcpi_bytes_sent"), 0, "{name}");
    }
    assert_accounts_agree(&pair, &after);
}

#[test]
fn listed_losses_are_repaired_and_counted() {
    let Some(_turn) = gate::enter(SUITE, Needs::LAB) else { return };
    let pair = Pair::new(Impairment { drop_data: vec![50, 51, 400], ..delayed() }, delayed());
    let flow = Flow::open(&pair, Family::V4, Options::default());
    flow.upload(MEGABYTE);
    let settled = flow.settle();
    let there = pair.link().counters(Forward);
    assert_eq!(there.lost, 3);
    assert_eq!(there.offered - there.delivered, 3);
    let mib = Mib::of(&pair.client);
    let retransmitted = settled.client.must("tcpi_total_retrans");
    assert!(retransmitted >= 3, "{retransmitted} retransmissions for 3 losses");
    assert_eq!(mib.must("Tcp.RetransSegs"), retransmitted);
    assert!(mib.must("TcpExt.TCPSackRecovery") >= 1);
    let ofo = Mib::of(&pair.server).must("TcpExt.TCPOFOQueue");
    assert!(ofo > 0);
    assert_eq!(ofo, settled.server.must("tcpi_rcv_ooopack"), "equal without GRO");
    assert_accounts_agree(&pair, &settled);
}

#[test]
fn random_loss_comes_near_its_probability() {
    let Some(_turn) = gate::enter(SUITE, Needs::LAB) else { return };
    let faults = Impairment { loss: 0.02, seed: 7, ..delayed() };
    let pair = Pair::new(faults, delayed());
    let flow = Flow::open(&pair, Family::V6, Options::default());
    flow.upload(2 * MEGABYTE);
    let settled = flow.settle();
    let there = pair.link().counters(Forward);
    // About 1450 segments, 29 expected, standard deviation 5.3: five of them to either side. The
    // dice are seeded, but how many segments are sent is up to the kernel.
    assert!((3..=56).contains(&there.lost), "{} of {} lost", there.lost, there.offered);
    assert_eq!(there.offered - there.delivered, there.lost);
    assert_accounts_agree(&pair, &settled);
}

#[test]
fn ce_marks_reach_the_receiver_in_both_families() {
    let Some(_turn) = gate::enter(SUITE, Needs::LAB) else { return };
    for family in [Family::V4, Family::V6] {
        let faults = Impairment { mark_ce: 0.05, seed: 3, ..delayed() };
        let pair = Pair::new(faults, delayed());
        pair.sysctl("ipv4/tcp_ecn", "1"); // the one switch for both families
        let flow = Flow::open(&pair, family, Options::default());
        flow.upload(MEGABYTE);
        let settled = flow.settle();
        let there = pair.link().counters(Forward);
        assert_ne!(settled.client.must("tcpi_options") & options::ECN, 0, "{family:?}");
        assert!(there.ce_marked > 5, "{family:?}: {} marked", there.ce_marked);
        // A wrong IPv4 checksum after marking would show as loss.
        assert_eq!(settled.client.must("tcpi_total_retrans"), 0, "{family:?}");
        assert!(settled.client.must("tcpi_delivered_ce") >= there.ce_marked, "{family:?}");
        if let Some(received) = settled.server.get("tcpi_received_ce") {
            assert_eq!(received, there.ce_marked, "{family:?}");
        }
        assert_accounts_agree(&pair, &settled);
    }
}

#[test]
fn a_blackout_makes_retransmission_timeouts() {
    let Some(_turn) = gate::enter(SUITE, Needs::LAB) else { return };
    let blackout = Blackout { at_data: 100, duration: Duration::from_millis(900) };
    let pair = Pair::new(Impairment { blackout: Some(blackout), ..delayed() }, delayed());
    let flow = Flow::open(&pair, Family::V4, Options::default());
    flow.upload(MEGABYTE);
    let settled = flow.settle();
    let timeouts = Mib::of(&pair.client).must("TcpExt.TCPTimeouts");
    assert!(timeouts >= 2, "{timeouts} timeouts in 900 ms");
    assert!(pair.link().counters(Forward).blacked_out >= timeouts);
    if let Some(total) = settled.client.get("tcpi_total_rto") {
        assert_eq!(total, timeouts);
    }
    assert_accounts_agree(&pair, &settled);
}

#[test]
fn held_back_segments_arrive_out_of_order() {
    let Some(_turn) = gate::enter(SUITE, Needs::LAB) else { return };
    let hold_back = Duration::from_millis(3);
    let pair = Pair::new(Impairment { reorder: 0.02, hold_back, seed: 11, ..delayed() }, delayed());
    let flow = Flow::open(&pair, Family::V4, Options::default());
    flow.upload(MEGABYTE);
    let settled = flow.settle();
    let there = pair.link().counters(Forward);
    assert!(there.reordered > 0);
    assert_eq!(there.delivered, there.offered, "late is not lost");
    assert!(settled.server.must("tcpi_rcv_ooopack") > 0);
    assert_accounts_agree(&pair, &settled);
}

#[test]
fn late_copies_are_rejected_by_their_timestamp() {
    let Some(_turn) = gate::enter(SUITE, Needs::LAB) else { return };
    let faults = Impairment {
        duplicate_data: vec![100, 200, 300],
        duplicate_after: Duration::from_millis(30),
        ..delayed()
    };
    let pair = Pair::new(faults, delayed());
    let flow = Flow::open(&pair, Family::V4, Options::default());
    flow.upload(MEGABYTE);
    let settled = flow.settle();
    let there = pair.link().counters(Forward);
    assert_eq!(there.duplicated, 3);
    assert_eq!(there.delivered, there.offered + 3);
    let server = Mib::of(&pair.server);
    let paws = server.must("TcpExt.PAWSEstab") + server.get("TcpExt.PAWSOldAck").unwrap_or(0);
    assert_eq!(paws, 3);
    let client = Mib::of(&pair.client);
    // The socket counts every D-SACK. The MIB leaves out ("ignores") those for copies that the
    // network made, known by more D-SACKs than retransmissions, and counts these one by one.
    let dsacks =
        client.must("TcpExt.TCPDSACKRecvSegs") + client.must("TcpExt.TCPDSACKIgnoredDubious");
    assert_eq!(dsacks, 3);
    assert_eq!(settled.client.must("tcpi_dsack_dups"), 3);
    assert_eq!(settled.client.must("tcpi_total_retrans"), 0);
    assert_accounts_agree(&pair, &settled);
}

#[test]
fn a_reader_that_waits_closes_the_window() {
    let Some(_turn) = gate::enter(SUITE, Needs::LAB) else { return };
    let pair = Pair::symmetric(delayed());
    let small = Options { receive_buffer: Some(32_768), ..Options::default() };
    let flow = Flow::open_with(&pair, Family::V4, Options::default(), small);
    std::thread::scope(|scope| {
        scope.spawn(|| flow.client.send(MEGABYTE / 4));
        std::thread::sleep(Duration::from_millis(700));
        flow.server.receive(MEGABYTE / 4);
    });
    let settled = flow.settle();
    assert!(Mib::of(&pair.server).must("TcpExt.TCPToZeroWindowAdv") >= 1);
    assert_accounts_agree(&pair, &settled);
}

#[test]
fn a_reset_socket_keeps_its_counters() {
    let Some(_turn) = gate::enter(SUITE, Needs::LAB) else { return };
    let pair = Pair::symmetric(delayed());
    let flow = Flow::open(&pair, Family::V4, Options::default());
    flow.upload(MEGABYTE / 10);
    let before = flow.settle().server;
    let Flow { client, server } = flow;
    client.reset();
    assert_eq!(server.receive_error().kind(), std::io::ErrorKind::ConnectionReset);
    let after = server.info();
    assert_eq!(after.must("tcpi_state"), state::CLOSE);
    assert_eq!(after.must("tcpi_segs_in"), before.must("tcpi_segs_in") + 1, "the RST");
    assert_eq!(after.must("tcpi_bytes_received"), MEGABYTE / 10);
    assert_eq!(Mib::of(&pair.client).must("Tcp.OutRsts"), 1);
}

#[test]
fn a_refused_connection_is_refused() {
    let Some(_turn) = gate::enter(SUITE, Needs::LAB) else { return };
    let pair = Pair::symmetric(delayed());
    let nobody = (pair.server_address(Family::V6), 9).into();
    let error = Stream::connect(&pair.client, nobody, Options::default()).unwrap_err();
    assert_eq!(error.kind(), std::io::ErrorKind::ConnectionRefused);
}

/// The offsets against another reader of the same structure, with a value in every field it
/// prints.
#[test]
fn tcp_info_reads_as_ss_reads_it() {
    let Some(_turn) = gate::enter(SUITE, Needs::LAB) else { return };
    let pair = Pair::new(Impairment { drop_data: vec![50, 300], ..delayed() }, delayed());
    let flow = Flow::open(&pair, Family::V4, Options::default());
    flow.exchange(MEGABYTE);
    let settled = flow.settle();
    let filter = format!("dport = :{}", flow.client.remote().port());
    let output = pair.client.command("ss").args(["-tinH", &filter]).output().expect("ss runs");
    let text = String::from_utf8(output.stdout).expect("ss prints text");
    let printed = |name: &str| -> u64 {
        text.split_whitespace()
            .find_map(|word| word.strip_prefix(name)?.strip_prefix(':')?.parse().ok())
            .unwrap_or_else(|| panic!("ss prints no {name}: {text}"))
    };
    for (name, field) in [
        ("mss", "tcpi_snd_mss"),
        ("pmtu", "tcpi_pmtu"),
        ("rcvmss", "tcpi_rcv_mss"),
        ("advmss", "tcpi_advmss"),
        ("cwnd", "tcpi_snd_cwnd"),
        ("ssthresh", "tcpi_snd_ssthresh"),
        ("bytes_sent", "tcpi_bytes_sent"),
        ("bytes_retrans", "tcpi_bytes_retrans"),
        ("bytes_acked", "tcpi_bytes_acked"),
        ("bytes_received", "tcpi_bytes_received"),
        ("segs_out", "tcpi_segs_out"),
        ("segs_in", "tcpi_segs_in"),
        ("data_segs_out", "tcpi_data_segs_out"),
        ("data_segs_in", "tcpi_data_segs_in"),
        ("delivered", "tcpi_delivered"),
        ("rcv_space", "tcpi_rcv_space"),
        ("rcv_ssthresh", "tcpi_rcv_ssthresh"),
    ] {
        assert_eq!(settled.client.must(field), printed(name), "{field}: {text}");
    }
    let (theirs, ours) = settled.client.window_shifts();
    assert!(text.contains(&format!("wscale:{theirs},{ours}")), "{theirs},{ours}: {text}");
    // ss prints milliseconds with three decimals at most.
    let rtt = settled.client.must("tcpi_rtt") as f64 / 1000.0;
    assert!(text.contains(&format!("rtt:{rtt}/")), "{rtt}: {text}");
}

#[test]
fn namespaces_come_and_go() {
    let Some(_turn) = gate::enter(SUITE, Needs::LAB) else { return };
    let exists = |name: &str| std::path::Path::new("/run/netns").join(name).exists();
    let netns = Netns::new("brief");
    let name = netns.name().to_owned();
    assert!(exists(&name));
    let inside = netns.run(|| std::fs::read_link("/proc/thread-self/ns/net").unwrap());
    let outside = std::fs::read_link("/proc/thread-self/ns/net").unwrap();
    assert_ne!(inside, outside);
    let panicked = std::panic::catch_unwind(std::panic::AssertUnwindSafe(|| {
        let _held = netns;
        panic!("on purpose: the namespace must go with the test that fails");
    }));
    assert!(panicked.is_err());
    assert!(!exists(&name));
    let left = Command::new("ip").args(["netns", "list"]).output().unwrap().stdout;
    assert!(!String::from_utf8_lossy(&left).contains(&name));
}

/// A TCP segment of IPv4 or IPv6, checksum of the IPv4 header right.
fn sample(family: Family, ecn: u8, payload: usize) -> Vec<u8> {
    let tcp = {
        let mut tcp = vec![0u8; 20 + payload];
        tcp[12] = 5 << 4;
        tcp[13] = 0x10;
        tcp
    };
    let mut packet = match family {
        Family::V4 => {
            let mut header = vec![0x45, ecn, 0, 0, 0x12, 0x34, 0x40, 0, 64, 6, 0, 0];
            header.extend([10, 77, 0, 1, 10, 77, 0, 2]);
            header[2..4].copy_from_slice(&((20 + tcp.len()) as u16).to_be_bytes());
            let checksum = packet::internet_checksum(&header);
            header[10..12].copy_from_slice(&checksum.to_be_bytes());
            header
        }
        Family::V6 => {
            let mut header = vec![0u8; 40];
            header[0] = 0x6a; // version 6, upper half of a traffic class that must survive
            header[1] = ecn << 4 | 0x05; // ECN, and the flow label beside it
            header[4..6].copy_from_slice(&(tcp.len() as u16).to_be_bytes());
            header[6] = 6;
            header
        }
    };
    packet.extend(tcp);
    packet
}

#[test]
fn marking_changes_the_ecn_field_and_keeps_the_rest() {
    for family in [Family::V4, Family::V6] {
        let mut marked = sample(family, 2, 100);
        packet::mark_ce(&mut marked);
        let segment = packet::segment(&marked).unwrap();
        assert_eq!((segment.ecn, segment.payload), (packet::CE, 100), "{family:?}");
        assert_eq!(marked, sample(family, packet::CE, 100), "{family:?}");
    }
    let mut whole = sample(Family::V4, 1, 0);
    packet::mark_ce(&mut whole);
    assert_eq!(packet::internet_checksum(&whole[..20]), 0);
}

#[test]
fn packets_that_are_not_tcp_segments_are_ignored() {
    let mut fragment = sample(Family::V4, 0, 8);
    fragment[6] = 0x20;
    let mut udp = sample(Family::V6, 0, 8);
    udp[6] = 17;
    let cut = &sample(Family::V4, 0, 8)[..30];
    for packet in [&fragment[..], &udp, cut, &[]] {
        assert_eq!(packet::segment(packet), None);
    }
}

#[test]
fn a_lane_keeps_its_rate_its_queue_and_its_order() {
    let rate = Some(8_000_000); // one octet per microsecond
    let mut lane = Lane::new(Impairment { rate, queue: 400, delay: DELAY, ..Default::default() });
    let mut offer = |now| lane.offer(&mut sample(Family::V4, 0, 160), now).due; // 200 octets
    assert_eq!(offer(1_000), Some(1_000 + 200_000 + 5_000_000));
    assert_eq!(offer(1_000), Some(1_000 + 400_000 + 5_000_000));
    assert_eq!(offer(1_000), None, "400 octets wait already");
    assert_eq!(offer(201_000), Some(1_000 + 600_000 + 5_000_000));
    assert_eq!(lane.counters.tail_dropped, 1);

    let jitter = Duration::from_millis(50);
    let mut lane = Lane::new(Impairment { jitter, seed: 5, ..Default::default() });
    let times: Vec<u64> = (0..100)
        .map(|i| lane.offer(&mut sample(Family::V4, 0, 1), i * 1000).due.unwrap())
        .collect();
    assert!(times.is_sorted(), "jitter alone never reorders");
    assert!(times[99] > 10_000_000, "and there was some: {}", times[99]);
}

#[test]
fn the_same_seed_does_the_same() {
    let faults = Impairment { loss: 0.3, reorder: 0.2, seed: 42, ..Default::default() };
    let run = |faults: Impairment| -> Vec<Verdict> {
        let mut lane = Lane::new(faults);
        (0..200).map(|i| lane.offer(&mut sample(Family::V6, 0, 10), i)).collect()
    };
    assert_eq!(run(faults.clone()), run(faults.clone()));
    assert_ne!(run(faults.clone()), run(Impairment { seed: 43, ..faults }));
}

/// A row as a perfect recorder would write it, from `tcp_info`: one column for each variable that
/// has an equality, NULL where the kernel has no value yet.
fn perfect_row(info: &TcpInfo) -> BTreeMap<String, Option<Value>> {
    let value = |var, value| audit::has_value(var, value, info).then_some(Value::Int(value as i64));
    Var::ALL
        .iter()
        .filter_map(|&var| Some((var, audit::expected(var, info)?)))
        .map(|(var, expected)| (var.name().to_owned(), value(var, expected)))
        .collect()
}

/// The audit finds any wrong value and any NULL, and nothing in a right row.
#[test]
fn the_audit_finds_wrong_values() {
    let Some(_turn) = gate::enter(SUITE, Needs::LAB) else { return };
    let pair = Pair::new(Impairment { drop_data: vec![50], ..delayed() }, delayed());
    let flow = Flow::open(&pair, Family::V4, Options::default());
    flow.upload(MEGABYTE / 2);
    let info = flow.settle().client;
    let perfect = perfect_row(&info);
    // Linux before 6.2 has no tcpi_rcv_wnd; no other field of an equality is newer than 5.10.
    let lacks = usize::from(info.get("tcpi_rcv_wnd").is_none());
    assert_eq!(perfect.len() + lacks, audit::equality_count(), "this kernel has their fields");
    audit::equalities(&Row::new(perfect.clone()), &info).assert("a perfect row", perfect.len());
    for name in perfect.keys() {
        for wrong in [None, Some(Value::Int(-1))] {
            // NULL is right where the kernel has no value yet.
            if wrong == perfect[name] {
                continue;
            }
            let mut row = perfect.clone();
            row.insert(name.clone(), wrong);
            let findings = audit::equalities(&Row::new(row), &info).findings;
            assert_eq!(findings.len(), 1, "{name}: {findings:?}");
            assert!(findings[0].starts_with(name.as_str()), "{findings:?}");
        }
    }
}

#[test]
fn a_threshold_never_set_is_not_a_number_of_segments() {
    let Some(_turn) = gate::enter(SUITE, Needs::LAB) else { return };
    let pair = Pair::symmetric(delayed());
    let flow = Flow::open(&pair, Family::V4, Options::default());
    let info = flow.settle().client;
    assert_eq!(info.must("tcpi_snd_ssthresh"), INFINITE_SSTHRESH);
    assert_eq!(audit::expected(Var::CurSsthresh, &info), Some(0xffff_ffff));
    let cwnd = info.must("tcpi_snd_cwnd") * info.must("tcpi_snd_mss");
    assert_eq!(audit::expected(Var::CurCwnd, &info), Some(cwnd));
}

/// Every type of column the tables have comes back as what it was, and NULL as NULL.
#[test]
fn tables_are_read_as_they_were_written() {
    let columns: [(&str, ArrayRef); 6] = [
        ("counter", Arc::new(Int64Array::from(vec![Some(1 << 40), None]))),
        ("small", Arc::new(Int32Array::from(vec![Some(-1), None]))),
        ("truth", Arc::new(BooleanArray::from(vec![Some(false), None]))),
        ("seconds", Arc::new(Float64Array::from(vec![Some(0.5), None]))),
        (
            "time",
            Arc::new(TimestampMicrosecondArray::from(vec![Some(7), None]).with_timezone("UTC")),
        ),
        ("word", Arc::new(DictionaryArray::<Int32Type>::from_iter([Some("fin"), None]))),
    ];
    let batch = RecordBatch::try_from_iter_with_nullable(columns.map(|(n, c)| (n, c, true)));
    let batch = batch.unwrap();
    let file = tempfile::NamedTempFile::new().unwrap();
    let mut writer = ArrowWriter::try_new(file.reopen().unwrap(), batch.schema(), None).unwrap();
    writer.write(&batch).unwrap();
    writer.close().unwrap();
    let rows = table::read(file.path());
    assert_eq!(rows.len(), 2);
    let expected = [
        ("counter", Value::Int(1 << 40)),
        ("small", Value::Int(-1)),
        ("truth", Value::Bool(false)),
        ("seconds", Value::Float(0.5)),
        ("time", Value::Int(7)),
        ("word", Value::Text("fin".to_owned())),
    ];
    for (name, value) in expected {
        assert_eq!(rows[0].get(name), Some(&value), "{name}");
        assert_eq!(rows[1].get(name), None, "{name}");
    }
}

#[test]
fn a_test_is_repeated_only_if_the_kernel_skipped_a_program() {
    let tries = std::cell::Cell::new(0);
    let carried_out = |why: &str, failures: usize| {
        tries.set(0);
        let test = || {
            tries.set(tries.get() + 1);
            assert!(tries.get() > failures, "estats-analyze replay: exit status 3:\n{why}");
        };
        let run = || gate::record(SUITE, Needs::PROGRAMS, test);
        let passed = std::panic::catch_unwind(std::panic::AssertUnwindSafe(run)).is_ok();
        (passed, tries.get())
    };
    let not_run = "estats-analyze: 1 or more segments were seen by no hook, as the connections themselves \
                   show: their rows are marked lossy";
    assert_eq!(carried_out(not_run, 1), (true, 2));
    assert_eq!(carried_out(not_run, 9), (false, 3), "not for ever");
    let lost = "estats-analyze: 2 records were lost";
    assert_eq!(carried_out(lost, 1), (false, 1));
    assert_eq!(
        carried_out(&format!("{not_run}\n{lost}"), 1),
        (false, 1),
        "something else beside it"
    );
}
