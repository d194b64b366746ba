// SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause
//! docs/variables.md, docs/sockets.md and docs/tables.md, and `estats-analyze variables`: written by the schema.

mod reference;

use std::fmt::Write as _;

use serde::Serialize;

use crate::output::tables::{ColumnSpec, Qualities, specs};
use crate::schema::{Apply, Gap, Hook, Op, SocketField, SocketFieldDef, Table, TcpInfo, Type, Var};

pub use reference::{reference_text, relation_text};

/// A variable in words.
#[derive(Clone, Debug, Serialize)]
pub struct Description {
    /// RFC 4898 name without prefix; the column.
    pub name: &'static str,
    /// Its table.
    pub table: &'static str,
    /// Full RFC 4898 object name, empty for Web10G's own.
    pub rfc: &'static str,
    /// Type of the value.
    #[serde(rename = "type")]
    pub ty: String,
    /// Codes and names of an enumeration.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub codes: Vec<(u64, &'static str)>,
    /// Unit, empty if there is none.
    pub unit: &'static str,
    /// Sort of quantity.
    pub kind: &'static str,
    /// The least and the greatest value it can have; absent for text.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub range: Option<(i64, i64)>,
    /// Since when it counts: connection, recording or now.
    pub basis: &'static str,
    /// How it is affected when records are missing.
    pub with_losses: &'static str,
    /// The raw value that the kernel, or RFC 4898, has before there is a value; NULL here.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub unset: Option<u64>,
    /// Normative meaning.
    pub meaning: String,
    /// How replay comes to the value.
    pub replay: String,
    /// Where it comes from, best first: the first whose hooks are all attached.
    pub sources: Vec<VariableSource>,
    /// How well packets alone give it; absent if they do not show it.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub packets: Option<VariableSource>,
    /// Relation to `struct tcp_info`, empty if there is none.
    pub tcp_info: String,
    /// Relation of a Web10G kernel's value to ours.
    pub web10g: String,
}

/// One way to come by a variable.
#[derive(Clone, Debug, Serialize)]
pub struct VariableSource {
    /// exact, sampled, approximate, constant or missing.
    pub quality: &'static str,
    /// Hooks that it takes.
    pub needs: Vec<&'static str>,
    /// Where it comes from, or why it cannot be had.
    pub how: &'static str,
}

/// All variables in words, in the order of the specification.
pub fn descriptions() -> Vec<Description> {
    Var::ALL.iter().map(|&var| describe(var)).collect()
}

fn describe(var: Var) -> Description {
    let def = var.def();
    let codes = match def.ty {
        Type::Enum(codes) => codes.to_vec(),
        Type::U8
        | Type::U16
        | Type::U32
        | Type::U64
        | Type::I32
        | Type::Truth
        | Type::Address
        | Type::MonotonicNs
        | Type::WallUs => Vec::new(),
    };
    Description {
        name: def.name,
        table: def.table.name(),
        rfc: def.rfc,
        ty: type_name(def.ty).to_owned(),
        codes,
        unit: def.unit,
        kind: def.kind.name(),
        range: match def.ty {
            Type::Enum(_) | Type::Truth | Type::Address => None,
            Type::U8
            | Type::U16
            | Type::U32
            | Type::U64
            | Type::I32
            | Type::MonotonicNs
            | Type::WallUs => Some((var.range().least, var.range().most)),
        },
        basis: var.basis().name(),
        with_losses: match var.gap() {
            Gap::Whole => "known",
            Gap::AtLeast => "a lower bound; NULL in place of 0",
            Gap::Unknown => "NULL",
        },
        unset: def.unset,
        meaning: words(def.doc),
        replay: apply_text(def.apply),
        sources: def
            .sources
            .iter()
            .map(|c| VariableSource {
                quality: c.quality.name(),
                needs: c.needs.iter().map(|h: &Hook| h.name()).collect(),
                how: c.how,
            })
            .collect(),
        packets: def.packets.map(|p| VariableSource {
            quality: p.quality.name(),
            needs: Vec::new(),
            how: p.how,
        }),
        tcp_info: tcp_info_text(def.tcp_info),
        web10g: reference_text(var),
    }
}

/// docs/variables.md.
pub fn variables_markdown() -> String {
    let mut out = String::from(
        "# Variables\n\n\
         Written by `estats-analyze variables --markdown`; do not edit.\n\n\
         Names are those of RFC 4898 without their prefix. The columns of the tables have the \
         same names. *Meaning* is normative. *Source* lists the sources of the value and the \
         hooks that each needs, the best first. The first source whose hooks are all attached is \
         used; [coverage.md](coverage.md) shows what each kernel has. A source is exact, sampled \
         (the right value, read at other times), approximate, constant (it cannot change on \
         today's kernels) or missing. A missing variable is NULL in every table, and never 0. \
         *Packets* is the value that an imported capture gives, at the end where it was \
         captured. Without that line, a capture gives no value.\n\n\
         A value outside its *range* is discarded. It is NULL, like the variables that are \
         counted from it, and the row reports this. *Counts since* is the beginning of the \
         connection or of the recording. They differ for a connection that was open before the \
         recording. *Now* means that the value is the one in force.\n",
    );
    for &table in Table::ALL {
        let vars: Vec<_> = descriptions().into_iter().filter(|d| d.table == table.name()).collect();
        let _ = write!(out, "\n## {} ({} variables)\n", table.name(), vars.len());
        for d in vars {
            let _ = write!(out, "\n### {}\n\n{}\n\n", d.name, d.meaning);
            let mut line = |label: &str, text: &str| {
                if !text.is_empty() {
                    let _ = writeln!(out, "- {label}: {text}");
                }
            };
            line("RFC 4898", d.rfc);
            let unit = if d.unit.is_empty() { String::new() } else { format!(", in {}", d.unit) };
            line("Type", &format!("{}, {}{unit}", d.ty, d.kind));
            let codes: Vec<_> = d.codes.iter().map(|(c, name)| format!("{c} {name}")).collect();
            line("Codes", &codes.join(", "));
            if let Some((least, most)) = d.range {
                let most = if most == i64::MAX { "2^63 - 1".to_owned() } else { most.to_string() };
                line("Range", &format!("{least} to {most}"));
            }
            line("Counts since", d.basis);
            line("With lost records", d.with_losses);
            if let Some(unset) = d.unset {
                line(
                    "Before the first value",
                    &format!("NULL; the kernel or RFC 4898 has {unset}"),
                );
            }
            line("Replay", &d.replay);
            for source in &d.sources {
                let needs = if source.needs.is_empty() {
                    String::new()
                } else {
                    format!(" (needs {})", source.needs.join(", "))
                };
                line("Source", &format!("{}{needs}: {}", source.quality, source.how));
            }
            if let Some(packets) = &d.packets {
                line("Packets", &format!("{}: {}", packets.quality, packets.how));
            }
            line("tcp_info", &d.tcp_info);
            line("Web10G", &d.web10g);
        }
    }
    out
}

/// docs/sockets.md.
pub fn sockets_markdown() -> String {
    let mut out = String::from(
        "# Fields of a snapshot\n\n\
         Written by the test suite (`make docs`); do not edit.\n\n\
         `estats-record` reads these fields of a socket at the beginning and end of every \
         connection. With `--snapshots INTERVAL` it also reads them of every socket at that \
         interval. They are columns of the stream `sockets` and of `tables/sockets.parquet`, \
         from one list (`src/schema/socket.rs`). Fields of `struct tcp_info` have its names and \
         units, and are computed as the kernel's tcp_get_info() computes them. A field is NULL, \
         never 0, if the condition under *needs* is not met.\n\n\
         Polls read them by a BPF iterator (Linux 5.17, sets `fentry` and `tracepoint`). Each \
         row is then read under its socket's lock and has its own time. Or polls use inet_diag \
         over netlink, on any kernel and with any set (`--snapshots-by netlink`). A row from \
         netlink has the time when the message that contains it had been received. It has no \
         `priority`. It has the part of `struct tcp_info` that the kernel has, and `cgroup_id` \
         from Linux 5.9 on. `--changed-only` compares all fields except those that change by \
         time alone. Request and time-wait sockets have no row either way.\n\n\
         Only netlink gives the attributes of inet_diag for the class id, socket options and the \
         upper layer protocol (kernel TLS, a subflow of MPTCP): the fields that need a poll by \
         netlink. They are NULL in all rows that BPF programs make, polls by the iterator \
         included, because the programs do not read these structures. If a kernel's `struct \
         tcp_info` is longer than the one that this program knows (280 octets, Linux 7.3), rows \
         of netlink keep the rest in the column `tcp_info_more`, and the recording names the \
         fields (`not seen`).\n\n\
         `--sample N` takes the sockets whose cookie's hash is a multiple of N. This is one in \
         N, and the same sockets at every poll, so each of them can be followed through its \
         life. (xtcp takes different ones each time.) Events are not sampled.\n\n\
         Once a second, and at the beginning and end, the recorder also reads all listening \
         sockets by inet_diag. The stream has them with `why` `listener`; they are in \
         `tables/listeners.parquet` and `tables/listener_series.parquet`, and not in \
         `tables/sockets.parquet`. `rqueue` is how many connections wait for accept() and \
         `wqueue` the backlog, as in `ss -l`. The fields of TcpExt are the counters of the \
         socket's network namespace.\n\n\
         Packets of TCP that the kernel dropped are in the stream with `why` `drop`, and in \
         `tables/drops.parquet`. The fields whose names begin with `drop_` are theirs alone.\n\n\
         | field | type | unit | meaning | as in | needs |\n| --- | --- | --- | --- | --- | --- |\n",
    );
    for field in SocketField::ALL {
        let def = field.def();
        let _ = writeln!(
            out,
            "| {} | {} | {} | {} | {} | {} |",
            def.name,
            def.ty.c_name(),
            def.unit,
            words(def.doc),
            def.source,
            needs_text(def)
        );
    }
    out
}

/// Without what a field of a snapshot is NULL.
fn needs_text(def: &SocketFieldDef) -> String {
    let kernels = def.kernels.to_string();
    let parts = [kernels.as_str(), def.needs];
    parts.into_iter().filter(|part| !part.is_empty()).collect::<Vec<_>>().join(", ")
}

/// docs/tables.md.
pub fn tables_markdown() -> String {
    let mut out = String::from(
        "# Tables\n\n\
         Written by the test suite (`make docs`); do not edit.\n\n\
         `estats-analyze replay RUN` writes these Parquet files into `RUN/tables`. \
         `manifest.json` lists them with rows and SHA-256. Join them on `conn_id` and \
         `recording`. Every column has unit, RFC object, meaning and quality as Arrow field \
         metadata, and `from`, the variables from which it is computed. The table `schema` has \
         the same as rows. Columns of variables have the names of RFC 4898; \
         [variables.md](variables.md) has more about each.\n\n\
         The metadata of every Parquet and Arrow file says where it comes from: \
         `estats.recording` (UUID), `estats.host`, `estats.kernel`, `estats.hook_set`, \
         `estats.tool_version` (of the recorder), `estats.tables_version` (of the columns and of \
         the rules that fill them), `estats.table` and `estats.description`. What the recording \
         does not know has no key. The version of `estats-analyze` is not there: a program that \
         makes the same tables makes the same bytes.\n\n\
         Any value may be NULL: a value that is not known is not zero. In every table, NULL \
         replaces what the kernel and RFC 4898 show before there is a value: 4294967295 of \
         MinRTT, MinRTO, MinMSS, MinSsthresh and CurSsthresh, 0 of MaxRTT, SmoothedRTT and \
         RTTVar, and similar ones. A value that could not be seen is NULL too. So is an \
         impossible value: each column has a range, which is `range` in its metadata. `basis` is \
         the time since which a column counts: `connection` is since the connection began, \
         `recording` is since `counted_since_ns` of its row, `now` means that it does not count. \
         Compute ratios only from columns of the same basis. In a row with lost records, counts \
         of events are lower bounds and never 0, and extremes and times are NULL. What the \
         kernel itself keeps is as the last record that was not lost has it. It is final, unless \
         the connection's last record is among the lost ones.\n",
    );
    for spec in specs(&Qualities::default()) {
        let _ = write!(
            out,
            "\n## {}.parquet\n\n{}\n\n| column | type | unit | meaning |\n| --- | --- | --- | --- |\n",
            spec.name, spec.doc
        );
        for c in &spec.columns {
            let _ = writeln!(
                out,
                "| {} | {} | {} | {} |",
                c.name,
                c.kind.name(),
                c.unit,
                computed(c).replace('|', "\\|")
            );
        }
    }
    out
}

/// The meaning of a column, and the variables that it comes from.
fn computed(column: &ColumnSpec) -> String {
    let doc = words(column.doc);
    if column.from.is_empty() { doc } else { format!("{doc} From {}.", column.from) }
}

/// A doc comment's text on one line.
fn words(doc: &str) -> String {
    doc.split_whitespace().collect::<Vec<_>>().join(" ")
}

const fn type_name(ty: Type) -> &'static str {
    match ty {
        Type::U8 => "8-bit unsigned",
        Type::U16 => "16-bit unsigned",
        Type::U32 => "32-bit unsigned",
        Type::U64 => "64-bit unsigned",
        Type::I32 => "32-bit signed",
        Type::Truth => "truth value",
        Type::Enum(_) => "enumeration",
        Type::Address => "IP address",
        Type::MonotonicNs => "CLOCK_MONOTONIC time",
        Type::WallUs => "wall-clock time",
    }
}

fn tcp_info_text(relation: TcpInfo) -> String {
    match relation {
        TcpInfo::None => String::new(),
        TcpInfo::Equal(field) => format!("equal to {field}"),
        TcpInfo::EqualLow32(field) => format!("equal to {field} modulo 2^32"),
        TcpInfo::EqualIfTaken(field) => {
            format!("equal to {field}, less the segments that the host refused")
        }
        TcpInfo::Product(a, b) => format!("equal to {a} * {b}"),
        TcpInfo::Related(text) => text.to_owned(),
    }
}

fn apply_text(apply: Apply) -> String {
    match apply {
        Apply::Stream(ops) => {
            let names: Vec<_> = ops.iter().map(|op: &Op| op.name()).collect();
            format!("operations of the stream: {}", names.join(", "))
        }
        Apply::Derived(rule) => rule.to_string(),
    }
}
