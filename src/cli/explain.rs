// SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause
//! Errors of the library in words of `estats-analyze`: with the flags that help.

use estats::log::LogError;
use estats::log::{Survey, Unfinished};
use estats::output::sink::SinkError;
use estats::recordings::import::ImportError;
use estats::recordings::transform::TransformError;
use estats::replay::ReplayError;
use estats::views::compare::{CompareError, DumpError};
use estats::views::export::ExportError;
#[cfg(feature = "query")]
use estats::views::query::QueryError;
use estats::views::report::PlotError;

use super::advice;

/// The error of a replay that is behind another.
fn replay_error(error: &anyhow::Error) -> Option<&ReplayError> {
    let of_export = || match error.downcast_ref()? {
        ExportError::Replay(e) => Some(e),
        _ => None,
    };
    let of_compare = || match error.downcast_ref()? {
        CompareError::Replay(e) => Some(e),
        CompareError::Dump(_) => None,
    };
    let of_plot = || match error.downcast_ref()? {
        PlotError::Replay(e) => Some(e),
        PlotError::Io(_) => None,
    };
    error.downcast_ref().or_else(of_export).or_else(of_compare).or_else(of_plot)
}

/// The fault of a recording's files that is behind an error. The errors around it are transparent, so
/// the chain of sources does not have it.
pub fn log_error(error: &anyhow::Error) -> Option<&LogError> {
    let of_replay = || match replay_error(error)? {
        ReplayError::Log(e) => Some(e),
        ReplayError::Sink(_) => None,
    };
    let of_transform = || match error.downcast_ref()? {
        TransformError::Log(e) => Some(e),
        _ => None,
    };
    let of_import = || match error.downcast_ref()? {
        ImportError::Log(e) => Some(e),
        _ => None,
    };
    let of_export = || match error.downcast_ref()? {
        ExportError::Log(e) => Some(e),
        _ => None,
    };
    let in_chain = || error.chain().find_map(|e| e.downcast_ref::<LogError>());
    in_chain().or_else(of_replay).or_else(of_transform).or_else(of_import).or_else(of_export)
}

/// The fault of the tables' files that is behind an error.
fn sink_error(error: &anyhow::Error) -> Option<&SinkError> {
    let of_replay = || match replay_error(error)? {
        ReplayError::Sink(e) => Some(e),
        ReplayError::Log(_) => None,
    };
    error.downcast_ref().or_else(of_replay)
}

/// The fault of a reference that is behind an error.
fn dump_error(error: &anyhow::Error) -> Option<&DumpError> {
    let of_compare = || match error.downcast_ref()? {
        CompareError::Dump(e) => Some(e),
        CompareError::Replay(_) => None,
    };
    error.downcast_ref().or_else(of_compare)
}

/// What is missing from a recording, and what to do about it.
pub fn survey(survey: &Survey) -> String {
    let advice = match &survey.unfinished {
        Some(Unfinished::Import) => Some("import the capture again".to_owned()),
        Some(Unfinished::Made(by)) => Some(format!("run {by} again")),
        Some(Unfinished::Recorder | Unfinished::Original) | None => None,
    };
    advice::with(survey, advice.as_deref())
}

/// The error, and what to do about it.
pub fn explain(error: &anyhow::Error) -> String {
    advice::with(error, advice(error))
}

fn advice(error: &anyhow::Error) -> Option<&'static str> {
    if let Some(e) = log_error(error) {
        return advice::log(e);
    }
    if let Some(e) = sink_error(error) {
        return Some(match e {
            SinkError::Io { .. } => "check permissions and space; -o chooses another directory",
            SinkError::Parquet { .. } | SinkError::Arrow { .. } => {
                "check the space on that device, then replay again"
            }
            SinkError::Manifest { .. } => "remove it and replay again",
        });
    }
    if let Some(DumpError::Unknown { .. }) = dump_error(error) {
        return Some(
            "give the JSON of a Web10G kernel's tables, or what web10g-logger or web10g-readvars printed",
        );
    }
    #[cfg(feature = "query")]
    match error.downcast_ref() {
        Some(QueryError::NoTables(_)) => return Some("run `estats-analyze replay` first"),
        Some(QueryError::Twice(_)) => return Some("name every recording once"),
        Some(QueryError::Parquet(_) | QueryError::Arrow(_)) => {
            return Some("cast its columns to plain types");
        }
        Some(QueryError::Io { .. } | QueryError::Polars(_)) | None => {}
    }
    match error.downcast_ref() {
        Some(ExportError::NoSnapshots) => {
            return Some("record with --snapshots, or with a newer estats-record");
        }
        Some(ExportError::NoPackets) => {
            return Some("record with --packets, or import a capture");
        }
        Some(ExportError::Connections { .. }) => {
            return Some("name its conn_id of the table connections with --conn");
        }
        _ => {}
    }
    match error.downcast_ref()? {
        TransformError::NoSuchTime { .. } => Some("see --from and --to"),
        TransformError::Newer(_) => Some("use the estats that recorded it, or a newer one"),
        TransformError::OtherEnds(_) => {
            Some("import both with the same recorded end; import-pcap --local names it")
        }
        _ => None,
    }
}

#[cfg(test)]
mod tests {
    use std::io;

    use estats::recordings::transform::NoTime;

    use super::*;

    fn full() -> LogError {
        let source = io::Error::from(io::ErrorKind::StorageFull);
        LogError::DiskFull { made: false, path: "ledger".into(), source }
    }

    /// The advice is one that an import can follow.
    #[test]
    fn an_import_onto_a_full_disk() {
        let said = explain(&ImportError::from(full()).into());
        assert!(said.starts_with("disk full: ") && said.contains("unfinished"), "{said}");
        assert!(!said.contains("--max-size") && said.contains("-o"), "{said}");
    }

    #[test]
    fn file_errors_are_found_in_every_error_chain() {
        let errors: [anyhow::Error; 8] = [
            full().into(),
            ReplayError::from(full()).into(),
            TransformError::from(full()).into(),
            ImportError::from(full()).into(),
            ExportError::from(full()).into(),
            ExportError::from(ReplayError::from(full())).into(),
            CompareError::from(ReplayError::from(full())).into(),
            PlotError::from(full()).into(),
        ];
        for error in errors {
            assert!(log_error(&error).is_some(), "{error:?}");
            assert!(explain(&error).contains("free some space"), "{error:?}");
        }
    }

    #[test]
    fn flags_that_help_are_named() {
        let time = |part| TransformError::NoSuchTime { part, began: "then".into(), lasts_s: 1.0 };
        let source = || io::Error::from(io::ErrorKind::PermissionDenied);
        let sink = || SinkError::Io { action: "write", path: "t".into(), source: source() };
        let errors: [(anyhow::Error, &str); 14] = [
            (LogError::NotARecording("run".into()).into(), "manifest.json; give the directory"),
            (LogError::NotAFile("a".into()).into(), "is not read; remove it, or copy"),
            (TransformError::Newer("run".into()).into(), "; use the estats that recorded it"),
            (
                DumpError::Unknown { path: "a".into(), begin: String::new() }.into(),
                "; give the JSON of a Web10G kernel's tables",
            ),
            (
                CompareError::Dump(DumpError::Unknown { path: "a".into(), begin: String::new() })
                    .into(),
                "; give the JSON of a Web10G kernel's tables",
            ),
            (LogError::OutputExists("run".into()).into(), "remove it or choose another with -o"),
            (sink().into(), "; check permissions and space; -o chooses another directory"),
            (ReplayError::from(sink()).into(), "; -o chooses another directory"),
            (ExportError::NoSnapshots.into(), "of sockets; record with --snapshots"),
            (ExportError::Connections { connections: 2 }.into(), "one; name its conn_id"),
            (ExportError::NoPackets.into(), "no packets; record with --packets, or import"),
            (time(NoTime::AfterEnd).into(), "after the end: the recording begins at"),
            (time(NoTime::Empty).into(), "--from and --to"),
            (
                TransformError::OtherEnds("a and b".into()).into(),
                "; import both with the same recorded end; import-pcap --local",
            ),
        ];
        for (error, words) in errors {
            assert!(explain(&error).contains(words), "{}", explain(&error));
        }
    }
}
