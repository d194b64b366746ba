// SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause
use super::*;
use crate::engine::rtt::aggregate::{AggregateOptions, Aggregator};
use crate::engine::rtt::{Method, Pipe, Way};

const WALL: u64 = 1_623_420_838_254_558_500;

fn ends() -> EppingEnds {
    let addr = |s: &str| s.parse().unwrap();
    EppingEnds { protocol: 6, src: (addr("10.11.1.1"), 5201), dst: (addr("10.11.1.2"), 59_572) }
}

/// The one in ePPing's README.
fn sample() -> MeasuredRtt {
    let traffic = |packets, bytes| crate::engine::rtt::Traffic { packets, bytes };
    MeasuredRtt {
        ts_ns: 0,
        method: Method::TcpTimestamps,
        replier: Way::Back,
        rtt_ns: 5_977_708,
        min_rtt_ns: 5_441_848,
        match_on_egress: Some(false),
        sent: traffic(9393, 492_457_296),
        received: traffic(5922, 37),
        pipe: Some(Pipe { sent: 52, departed: 0, replied: 1448 }),
    }
}

fn written(format: EppingFormat, write: impl FnOnce(&mut Writer<&mut Vec<u8>>)) -> String {
    let mut bytes = Vec::new();
    let mut writer = Writer::new(&mut bytes, format);
    write(&mut writer);
    writer.finish().unwrap();
    String::from_utf8(bytes).unwrap()
}

fn both(w: &mut Writer<&mut Vec<u8>>) {
    let opening = FlowEvent { event: "opening", reason: "SYN-ACK", triggered_by: "dest" };
    w.flow(WALL, &ends(), &opening).unwrap();
    w.rtt(WALL, &ends(), &sample()).unwrap();
}

#[test]
fn lines_as_epping_writes_them() {
    assert_eq!(
        written(EppingFormat::Standard, both),
        "14:13:58.254558500 TCP 10.11.1.1:5201+10.11.1.2:59572 opening due to SYN-ACK from dest\n\
         14:13:58.254558500 5.97771 ms 5.44185 ms TCP 10.11.1.1:5201+10.11.1.2:59572\n"
    );
    assert_eq!(
        written(EppingFormat::Ppviz, both),
        "1623420838.254558500 0.005977708 0.005441848 10.11.1.1:5201+10.11.1.2:59572\n"
    );
    assert_eq!(
        written(EppingFormat::Pping, both),
        "1623420838.254558 0.005978 0.005442 52 0 1448 10.11.1.1:5201+10.11.1.2:59572\n"
    );
}

#[test]
fn objects_as_epping_writes_them() {
    let flow = r#"{"timestamp":1623420838254558500,"src_ip":"10.11.1.1","src_port":5201,"dest_ip":"10.11.1.2","dest_port":59572,"protocol":"TCP","flow_event":"opening","reason":"SYN-ACK","triggered_by":"dest"}"#;
    let rtt = r#"{"timestamp":1623420838254558500,"src_ip":"10.11.1.1","src_port":5201,"dest_ip":"10.11.1.2","dest_port":59572,"protocol":"TCP","rtt":5977708,"min_rtt":5441848,"sent_packets":9393,"sent_bytes":492457296,"rec_packets":5922,"rec_bytes":37,"match_on_egress":false}"#;
    assert_eq!(written(EppingFormat::Jsonl, both), format!("{flow}\n{rtt}\n"));
    assert_eq!(written(EppingFormat::Json, both), format!("[{flow},{rtt}]\n"));
    assert_eq!(written(EppingFormat::Json, |_| ()), "[]\n");
    assert_eq!(written(EppingFormat::Jsonl, |_| ()), "");
}

#[test]
fn general_is_cs() {
    // The output of printf("%.6g") of a C library.
    for (value, text) in [
        (5.425439, "5.42544"),
        (0.0, "0"),
        (100.0, "100"),
        (123_456.0, "123456"),
        (1_234_567.0, "1.23457e+06"),
        (0.000_123_456_7, "0.000123457"),
        (0.000_012_345_67, "1.23457e-05"),
        (0.5, "0.5"),
        (999_999.5, "1e+06"),
        (9.999_999, "10"),
    ] {
        assert_eq!(general(value), text);
    }
}

#[test]
fn aggregates_as_epping_writes_them() {
    let mut aggregator = Aggregator::new(AggregateOptions::default());
    let (src, dst) = (ends().src.0, ends().dst.0);
    let tcp = crate::engine::rtt::testing::Tcp { flags: 16, payload: 10, ..Default::default() };
    let mut packet = crate::engine::rtt::testing::digest(&tcp, 5, Way::Forth);
    (packet.src_addr, packet.dst_addr, packet.wire_len, packet.tos) = (src, dst, 76, 2);
    aggregator.packet(&packet);
    packet.protocol = 47;
    aggregator.packet(&packet);
    for rtt_ns in [3_000_000, 9_000_000] {
        aggregator.rtt(&packet, &MeasuredRtt { rtt_ns, ..sample() });
    }
    assert!(aggregator.reached(9_999_999_999).is_none());
    let interval = aggregator.reached(10_000_000_000).unwrap();
    let write = |w: &mut Writer<&mut Vec<u8>>| {
        w.metadata(WALL, &AggregateOptions::default()).unwrap();
        w.interval(WALL, &interval).unwrap();
    };
    let text = written(EppingFormat::Jsonl, write);
    let expected = [
        r#"{"timestamp":1623420838254558500,"bins":250,"bin_width_ns":4000000,"aggregation_interval_ns":10000000000,"timeout_interval_ns":0,"ipv4_prefix_len":24,"ipv6_prefix_len":48}"#,
        r#"{"timestamp":1623420838254558500,"ip_prefix":"10.11.1.0/24","rx_stats":{"TCP_noTS":{"packets":1,"bytes":76},"other":{"packets":1,"bytes":76}},"tx_stats":{"TCP_noTS":{"packets":1,"bytes":76},"other":{"packets":1,"bytes":76}},"count_rtt":2,"min_rtt":3000000,"mean_rtt":6000000.0,"median_rtt":3007000.0,"p95_rtt":9000000.0,"max_rtt":9000000,"histogram":[1,0,1]}"#,
        r#"{"timestamp":1623420838254558500,"protocol_counters":{"TCP":{"packets":1,"bytes":76},"47":{"packets":1}},"ecn_counters":{"ECT0":2},"errors":{}}"#,
    ];
    assert_eq!(text.lines().collect::<Vec<_>>(), expected);
    assert_eq!(
        written(EppingFormat::Standard, write),
        "Aggregating RTTs in histograms with 250 4 ms wide bins every 10 seconds\n\
         14:13:58.254558500: 10.11.1.0/24 -> rxpkts=2, rxbytes=152, txpkts=2, txbytes=152, rtt-count=2, min=3 ms, mean=6 ms, median=3.007 ms, p95=9 ms, max=9 ms\n\
         14:13:58.254558500: TCP=(pkts=1, bytes=76), 47=(pkts=1), ECN=(ECT0=2)\n"
    );
}
