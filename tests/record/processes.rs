// SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause
//! The owner of a connection when processes come and go.

use crate::run::Recorder;
use crate::support::gate::{self, Needs};
use crate::support::netns::Netns;
use crate::support::tcp::{Options, Stream};
use crate::traffic::{PERL_CONNECT, listen};
use crate::{PERL, SUITE};

/// A server that became a daemon after listen(2), as many do: the process that listened is gone
/// when connections come in, and its descendant accepts them.
#[test]
fn a_daemons_accepted_connections_belong_to_the_tree_that_listened() {
    let Some(_turn) = gate::enter(SUITE, PERL) else { return };
    let netns = Netns::new("daemon");
    let port_file = crate::run::scratch();
    let file = port_file.path().join("port");
    let program = format!(
        "use Socket; socket(my $l, PF_INET, SOCK_STREAM, 0); \
         bind($l, pack_sockaddr_in(0, INADDR_LOOPBACK)); listen($l, 5); \
         my ($p) = unpack_sockaddr_in(getsockname($l)); \
         if (fork) {{ exit }} \
         open(my $f, '>', '{0}.new'); print $f \"$p\\n\"; close $f; rename '{0}.new', '{0}'; \
         accept(my $c, $l); my $got = ''; 1 while sysread($c, $got, 100);",
        file.display()
    );
    // The shell goes on after the first process has ended, as long as the daemon is there.
    let wait =
        format!("perl -e \"$0\"; while [ ! -e {0}.done ]; do sleep 0.05; done", file.display());
    let recorder =
        Recorder::start(&["--", "ip", "netns", "exec", netns.name(), "sh", "-c", &wait, &program]);
    crate::traffic::until("the daemon does not listen", || file.exists());
    // Until the process that listened has surely gone.
    std::thread::sleep(std::time::Duration::from_millis(200));
    let text = std::fs::read_to_string(&file).unwrap();
    let port: u16 = text.trim().parse().expect("a port");
    let address = std::net::SocketAddr::from(([127, 0, 0, 1], port));
    let client = Stream::connect(&netns, address, Options::default()).expect("connect");
    client.send(1234);
    client.finish();
    client.receive_end();
    std::fs::write(file.with_extension("done"), "").unwrap();
    let finished = recorder.wait();
    finished.assert_code(0);
    let rows = finished.connections();
    assert_eq!(rows.len(), 1, "the daemon's end, not this test's");
    assert_eq!(rows[0].local(), address);
    assert_eq!(rows[0].values.int("HCDataOctetsIn"), 1234);
    assert_eq!(rows[0].identity.text("comm"), "perl");
}

/// In a container process ids are not the kernel's, and the kernel's are what BPF sees.
#[test]
fn a_command_is_followed_from_inside_a_pid_namespace() {
    let Some(_turn) = gate::enter(SUITE, Needs { programs: &["perl", "unshare"], ..Needs::BPF })
    else {
        return;
    };
    let netns = Netns::new("pidns");
    let listener = listen(&netns);
    let program = format!("{PERL_CONNECT}if (!fork) {{ c({}) }} wait", listener.address().port());
    let recorder = Recorder::under(
        &["unshare", "--pid", "--fork", "--mount-proc"],
        &["--", "ip", "netns", "exec", netns.name(), "perl", "-e", &program],
    );
    let finished = recorder.wait();
    finished.assert_code(0);
    let rows = finished.connections();
    assert_eq!(rows.len(), 1, "the command's connection");
    assert_eq!(rows[0].remote(), listener.address());
    assert_eq!(rows[0].identity.text("comm"), "perl");
}

#[test]
fn a_pid_of_another_namespace_than_the_kernels_is_refused() {
    let Some(_turn) = gate::enter(SUITE, Needs { programs: &["unshare"], ..Needs::BPF }) else {
        return;
    };
    let scratch = crate::run::scratch();
    let dir = scratch.path().join("run");
    let output = crate::run::command(&["unshare", "--pid", "--fork", "--mount-proc"])
        .args(["-o", dir.to_str().expect("UTF-8"), "--pid", "1", "--duration", "1s"])
        .output()
        .expect("unshare can be started");
    let said = String::from_utf8_lossy(&output.stderr);
    assert_eq!(output.status.code(), Some(2), "{said}");
    assert!(said.contains("--pid 1") && said.contains("PID namespace"), "{said}");
    assert!(!dir.exists());
}

/// The end of a thread is not the end of its process.
#[test]
fn a_process_is_followed_as_long_as_any_of_its_threads_lives() {
    let Some(_turn) = gate::enter(SUITE, Needs::BPF) else { return };
    let netns = Netns::new("threads");
    let listener = listen(&netns);
    let pid = std::process::id().to_string();
    let recorder = Recorder::start(&["--pid", &pid, "--netns", netns.name()]);
    std::thread::spawn(|| {}).join().expect("no panic");
    let local = crate::traffic::talk(&netns, &listener, 10);
    let finished = recorder.stop();
    finished.assert_code(0);
    let rows = finished.connections();
    assert!(rows.iter().any(|row| row.local() == local), "{rows:?}");
    assert_eq!(rows.len(), 2);
}
