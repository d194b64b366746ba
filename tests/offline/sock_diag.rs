// SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause
//! Messages of inet_diag of every kernel that guests boot (`testdata/sock_diag`): the parser reads the
//! values that getsockopt(2) returned for the same sockets at rest, and the values of earlier runs.
//!
//! `make permissions` renews the messages, `BLESS=1` what is read.

use std::fs;
use std::path::{Path, PathBuf};

use crate::support::sock_diag::{self, Dump};
use estats::schema::SocketField;

/// The files, in order of their names.
fn dumps() -> Vec<(PathBuf, Dump)> {
    let dir = Path::new(env!("CARGO_MANIFEST_DIR")).join("testdata/sock_diag");
    let entries = fs::read_dir(&dir).expect("testdata is here");
    let mut paths: Vec<PathBuf> = entries.map(|entry| entry.expect("readable").path()).collect();
    paths.retain(|path| path.extension().is_some_and(|extension| extension == "json"));
    paths.sort();
    let read = |path: PathBuf| {
        let text = fs::read(&path).expect("readable");
        let dump = serde_json::from_slice(&text).unwrap_or_else(|e| panic!("{path:?}: {e}"));
        (path, dump)
    };
    paths.into_iter().map(read).collect()
}

#[test]
fn messages_of_kernels_agree_with_getsockopt() {
    let dumps = dumps();
    assert!(dumps.len() >= 5, "every kernel of the guests: {}", dumps.len());
    for (path, dump) in dumps {
        let findings: Vec<String> = dump.sockets.iter().flat_map(|s| s.findings()).collect();
        assert!(findings.is_empty(), "{path:?}: {findings:#?}");
        let text: String = dump.sockets.iter().map(|socket| socket.text()).collect();
        let expected = path.with_extension("txt");
        if std::env::var_os("BLESS").is_some() {
            fs::write(&expected, &text).expect("testdata can be written");
        }
        let committed = fs::read_to_string(&expected).unwrap_or_default();
        assert!(committed == text, "{expected:?} is not what is read:\n{text}");
    }
}

/// A wrong octet in `struct tcp_info` is found: the comparison above can fail.
#[test]
fn a_changed_octet_is_found() {
    let (_, dump) = dumps().into_iter().next().expect("a kernel");
    let mut socket = dump.sockets.into_iter().next().expect("a socket");
    let segs_out = socket.snapshot().values.get(SocketField::tcpi_segs_out).expect("it sent");
    // tcpi_segs_out is a word, in the byte order of the machine that made the file.
    let word = |value: u64| sock_diag::hexadecimal(&(value as u32).to_ne_bytes());
    assert!(socket.message.contains(&word(segs_out)));
    socket.message = socket.message.replace(&word(segs_out), &word(segs_out + 1));
    let findings = socket.findings();
    assert!(findings.iter().any(|f| f.contains("tcpi_segs_out")), "{findings:?}");
}
