// SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause
use super::*;
use crate::schema::{Apply, Rule};

fn record(event: Event) -> Lifecycle {
    crate::testing::lifecycle(event, 5, 7)
}

fn mapped(v4: [u8; 4]) -> [u8; 16] {
    Ipv4Addr::from(v4).to_ipv6_mapped().octets()
}

#[test]
fn every_lifecycle_variable_has_a_value() {
    let mut identity = Identity::default();
    identity.learn(&record(Event::Open));
    for &var in Var::ALL {
        let lifecycle = var.def().apply == Apply::Derived(Rule::Lifecycle);
        assert_eq!(identity.value(var, 3, 4).is_some(), lifecycle, "{}", var.name());
    }
    assert_eq!(identity.text(Var::LocalAddress).as_deref(), Some("10.0.0.1"));
    assert_eq!(identity.text(Var::RemAddress).as_deref(), Some("10.0.0.2"));
}

#[test]
fn mapped_addresses_are_shown_as_ipv4() {
    let mut open = record(Event::Open);
    open.family = AF_INET6;
    open.local_addr = mapped([192, 0, 2, 1]);
    open.remote_addr = mapped([192, 0, 2, 2]);
    let mut identity = Identity::default();
    identity.learn(&open);
    assert_eq!(identity.text(Var::RemAddress).as_deref(), Some("192.0.2.2"));
    assert_eq!(identity.family(), Some("ipv4"));

    open.local_addr = Ipv6Addr::LOCALHOST.octets();
    open.remote_addr = "2001:db8::1".parse::<Ipv6Addr>().unwrap().octets();
    identity.learn(&open);
    assert_eq!(identity.text(Var::LocalAddress).as_deref(), Some("::1"));
    assert_eq!(identity.text(Var::RemAddress).as_deref(), Some("2001:db8::1"));
    assert_eq!(identity.family(), Some("ipv6"));
}

#[test]
fn a_later_record_fills_gaps_and_keeps_known_values() {
    let mut identity = Identity::default();
    identity.learn(&record(Event::Open));
    let mut close = record(Event::Close);
    close.remote_port = 0;
    close.remote_addr = [0; 16];
    close.pid = 0;
    close.comm = String::new();
    close.cgroup_path = String::new();
    close.congestion = "bbr".into();
    close.old_state = 9;
    close.first_fin = 2;
    identity.learn(&close);
    let known = identity.lifecycle().unwrap();
    assert_eq!((known.remote_port, known.pid, known.comm.as_str()), (80, 12, "curl"));
    assert_eq!((known.cgroup_path.as_str(), known.congestion.as_str()), ("/a", "bbr"));
    assert_eq!(identity.close_reason(), Some(CloseReason::Fin));
    assert_eq!(identity.closed_by(), End::Remote);
    assert_eq!(identity.end_state(), Some("lastAck"));
}

#[test]
fn reasons_of_the_end() {
    // (state before CLOSE, sk_err) as the kernel has them, and what happened.
    for (state, errno, reason, by) in [
        (9, 0, "fin", "unknown"),
        (5, 0, "fin", "unknown"),
        (11, 0, "fin", "unknown"),
        (6, 0, "fin", "unknown"),
        (1, 0, "reset_sent", "local"),
        (8, 0, "reset_sent", "local"),
        (3, 0, "reset_sent", "local"),
        (4, 0, "reset_sent", "local"),
        (2, 0, "abandoned", "local"),
        (2, 111, "refused", "remote"),
        (1, 104, "reset_received", "remote"),
        (9, 104, "reset_received", "remote"),
        (8, 32, "reset_received", "remote"),
        (2, 110, "timeout", "none"),
        (4, 110, "timeout", "none"),
        (2, 113, "unreachable", "none"),
        (1, 103, "aborted", "local"),
        (1, 5, "error", "unknown"),
    ] {
        let mut close = record(Event::Close);
        close.old_state = state;
        close.sk_err = errno;
        let mut identity = Identity::default();
        identity.learn(&close);
        assert_eq!(identity.close_reason().map(CloseReason::name), Some(reason), "{state} {errno}");
        assert_eq!(identity.closed_by().name(), by, "{state} {errno}");
    }
    let mut open = Identity::default();
    open.learn(&record(Event::Open));
    assert_eq!((open.close_reason(), open.closed_by()), (None, End::Unknown));
    open.learn(&record(Event::End));
    assert_eq!((open.close_reason(), open.closed_by()), (None, End::Neither));
}

#[test]
fn container_ids() {
    let id = "0123456789abcdef".repeat(4);
    let inner = "fedcba9876543210".repeat(4);
    for path in [
        format!("/system.slice/docker-{id}.scope"),
        format!("/docker/{id}"),
        format!("/machine.slice/libpod-{id}.scope/container"),
        format!("/kubepods.slice/kubepods-pod6b29_fc40.slice/cri-containerd-{id}.scope"),
        format!("/kubepods/burstable/pod6b29fc40-ca47-1067-b31d-00dd010662da/{id}"),
        format!("/docker/{inner}/docker/{id}"),
    ] {
        assert_eq!(container_id(&path), Some(id.as_str()), "{path}");
    }
    for path in ["/", "/user.slice/session-2.scope", &format!("/docker/{id}0"), &id[1..]] {
        assert_eq!(container_id(path), None, "{path}");
    }
}
