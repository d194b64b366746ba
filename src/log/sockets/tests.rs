// SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause
use proptest::prelude::*;
use proptest::strategy::ValueTree as _;

use super::*;

/// One of few sockets, so that rows of the same follow each other; values of every size.
fn snapshot() -> impl Strategy<Value = Snapshot> {
    let value = prop_oneof![
        Just(None),
        Just(Some(0)),
        (0_u64..100).prop_map(Some),
        any::<u64>().prop_map(Some),
        Just(Some(u64::MAX)),
    ];
    let values = prop::collection::vec(value, SocketField::COUNT);
    let identity = (1_u64..4, 0_u16..2, any::<u16>(), any::<u32>(), any::<bool>(), any::<bool>());
    (any::<u64>(), 0..Why::ALL.len(), identity, values).prop_map(|(ts_ns, why, id, values)| {
        let (cookie, generation, port, netns, v4, bbr) = id;
        let mut address = [0; 16];
        address[..2].copy_from_slice(&port.to_be_bytes());
        let mut all = SocketValues::default();
        for (&x, value) in SocketField::ALL.iter().zip(values) {
            let bits = 8 * x.def().ty.width() as u32;
            all.set(x, value.map(|v| v & u64::MAX >> (64 - bits)));
        }
        // Some as if read over netlink.
        let cpu = if Why::ALL[why] == Why::Poll && v4 { NO_CPU } else { 2 };
        Snapshot {
            header: Header { ts_ns, seq: 1, cookie, generation, cpu, hook: Hook::Poll },
            why: Why::ALL[why],
            poll: (Why::ALL[why] == Why::Poll).then_some(netns),
            family: if v4 { 2 } else { 10 },
            local_addr: address,
            remote_addr: address,
            local_port: port,
            remote_port: !port,
            netns,
            congestion: if bbr { "bbr" } else { "cubic" }.into(),
            ulp: if v4 { "tls" } else { "" }.into(),
            tcp_info_more: vec![netns as u8; usize::from(generation) * 3],
            values: all,
        }
    })
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(64))]

    /// Any rows, with markers among them, cut into frames anywhere.
    #[test]
    fn packet_rows_read_back_for_any_frame_boundaries(
        rows in prop::collection::vec((snapshot(), any::<bool>(), any::<bool>()), 1..40)
    ) {
        let mut builder = SocketBuilder::default();
        let mut read = Vec::new();
        let mut expected = Vec::new();
        for (row, cut, marker) in rows {
            builder.push(row.clone());
            expected.push(SocketRow::Snapshot(row));
            if marker {
                let (hook, cpu) = (Hook::Drain, NO_CPU);
                let header = Header { ts_ns: 9, seq: 0, cookie: 0, generation: 0, cpu, hook };
                builder.push_marker(&header);
                expected.push(SocketRow::Marker(9));
            }
            if cut {
                read.extend(decode(&builder.take().unwrap().0).unwrap());
            }
        }
        read.extend(decode(&builder.take().unwrap().0).unwrap());
        prop_assert_eq!(read, expected);
    }
}

#[test]
fn an_idle_socket_is_zeros() {
    let mut runner = proptest::test_runner::TestRunner::deterministic();
    let row = snapshot().new_tree(&mut runner).unwrap().current();
    let mut builder = SocketBuilder::default();
    builder.push(row.clone());
    builder.push(row);
    let (batch, _) = builder.take().unwrap();
    for &x in SocketField::ALL {
        let second: Numbers<'_> = if is_wide(x) {
            Numbers::Wide(column(&batch, x.name()).unwrap())
        } else {
            Numbers::Narrow(column(&batch, x.name()).unwrap())
        };
        assert_eq!(second.get(1, 0).unwrap_or(0), 0, "{}", x.name());
    }
    let congestion: &StringArray = column(&batch, "congestion").unwrap();
    assert!(congestion.is_valid(0) && congestion.is_null(1));
}
