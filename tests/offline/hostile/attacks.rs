// SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause
//! The attacks: each row makes a file that no recorder makes, and states how every command ends. They end with one
//! sentence, with less than 256 MiB of memory, and never with a panic.

use std::fs;
use std::io;
use std::os::unix::fs::symlink;
use std::os::unix::process::CommandExt as _;
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};
use std::sync::Arc;

use arrow::array::{
    Array as _, ArrayRef, DictionaryArray, Int8Array, ListArray, RecordBatch, StringArray,
    StructArray,
};
use arrow::buffer::OffsetBuffer;
use arrow::datatypes::{DataType, Field, Int8Type, Schema};
use arrow::ipc::writer::StreamWriter;

use crate::common::without_echo;
use crate::fuzzed::contents::{contents, frame};

/// Memory that a command may have for itself.
const MEMORY: u64 = 256 << 20;
/// Seconds of a CPU: work without an end ends here.
const SECONDS: u64 = 60;

/// How a command ended.
pub struct Ended {
    pub code: Option<i32>,
    pub said: String,
}

/// Runs `estats-analyze` with bounds, on two CPUs, as on a small machine.
pub fn bounded(arguments: &[&str]) -> Ended {
    let mut command = Command::new(env!("CARGO_BIN_EXE_estats-analyze"));
    command.args(arguments).stdin(Stdio::null()).stdout(Stdio::null());
    let limit = || {
        let of = |what, most| {
            let bound = libc::rlimit { rlim_cur: most, rlim_max: most };
            // SAFETY: the structure is whole, and the call keeps no pointer to it.
            unsafe { libc::setrlimit(what, &raw const bound) }
        };
        // SAFETY: a set of CPUs is plain data, and zeros are an empty one.
        let mut cpus: libc::cpu_set_t = unsafe { std::mem::zeroed() };
        // SAFETY: numbers that are in the set's range.
        unsafe {
            libc::CPU_SET(0, &mut cpus);
            libc::CPU_SET(1, &mut cpus);
        }
        // SAFETY: of this process alone, and the set is whole. A machine may have one CPU: then it stays as it is.
        let _ = unsafe { libc::sched_setaffinity(0, size_of_val(&cpus), &raw const cpus) };
        let done = of(libc::RLIMIT_DATA, MEMORY) | of(libc::RLIMIT_CPU, SECONDS);
        if done == 0 { Ok(()) } else { Err(io::Error::last_os_error()) }
    };
    // SAFETY: only system calls that a child may make before exec.
    unsafe { command.pre_exec(limit) };
    let output = command.output().expect("estats-analyze");
    let said = String::from_utf8_lossy(&output.stderr).into_owned();
    Ended { code: output.status.code(), said }
}

/// What a recording is, and what becomes of it.
struct Attack {
    what: &'static str,
    make: fn(&Run),
    /// Of `replay` and of `verify`.
    codes: [i32; 2],
    /// In what replay says.
    says: &'static str,
}

/// A recording of a directory, to be changed.
struct Run(PathBuf);

impl Run {
    fn file(&self, name: &str) -> PathBuf {
        self.0.join(name)
    }

    fn read(&self, name: &str) -> Vec<u8> {
        fs::read(self.file(name)).expect("a file")
    }

    fn write(&self, name: &str, bytes: &[u8]) {
        fs::write(self.file(name), bytes).expect("a file");
    }

    /// The manifest, changed. Without its list of segments nothing says which bytes are right.
    fn manifest(&self, change: impl FnOnce(&mut serde_json::Map<String, serde_json::Value>)) {
        let text = self.read("manifest.json");
        let mut value: serde_json::Value = serde_json::from_slice(&text).expect("JSON");
        change(value.as_object_mut().expect("an object"));
        self.write("manifest.json", value.to_string().as_bytes());
    }

    fn unlisted(&self) {
        self.manifest(|m| drop(m.remove("segments")));
    }

    /// Replaces the contents of the frames of a segment.
    fn frames(&self, name: &str, change: impl FnOnce(&mut Vec<Vec<u8>>)) {
        let mut frames = contents(&self.read(name));
        change(&mut frames);
        let bytes: Vec<u8> = frames.iter().flat_map(|content| frame(content)).collect();
        self.write(name, &bytes);
        self.unlisted();
    }

    fn replace(&self, name: &str, by: impl FnOnce(&Path)) {
        fs::remove_file(self.file(name)).expect("a file");
        by(&self.file(name));
        self.unlisted();
    }
}

const HOOKS: &str = "hooks-000000.arrows.zst";
const CONNECTIONS: &str = "connections-000000.arrows.zst";
const LEDGER: &str = "ledger-000000.arrows.zst";
const MANIFEST: &str = "manifest.json";

fn fifo(path: &Path) {
    let path = std::ffi::CString::new(path.to_str().expect("UTF-8")).expect("no zero");
    // SAFETY: the path ends with a zero.
    assert_eq!(unsafe { libc::mkfifo(path.as_ptr(), 0o600) }, 0);
}

/// Eight octets in the place of others, wherever these are.
fn exchange(content: &mut [u8], old: u64, new: u64) -> usize {
    let mut n = 0;
    for at in (0..content.len().saturating_sub(7)).step_by(8) {
        if content[at..at + 8] == old.to_le_bytes() {
            content[at..at + 8].copy_from_slice(&new.to_le_bytes());
            n += 1;
        }
    }
    n
}

/// The messages of a stream of Arrow: schema and dictionaries with an empty batch, then this one.
fn stream(batch: &RecordBatch) -> [Vec<u8>; 2] {
    let mut all = Vec::new();
    let mut writer = StreamWriter::try_new(&mut all, &batch.schema()).expect("a stream");
    let empty = batch.slice(0, 0);
    writer.write(&empty).expect("a batch");
    let first = writer.get_ref().len();
    writer.write(batch).expect("a batch");
    let both = writer.get_ref().len();
    drop(writer);
    [all[..first].to_vec(), all[first..both].to_vec()]
}

/// A batch of hook records with this many operations in one row.
fn operations(n: usize) -> RecordBatch {
    let text = |value: &str| -> ArrayRef {
        let keys = Int8Array::from(vec![0; 1]);
        let names = Arc::new(StringArray::from(vec![value]));
        Arc::new(DictionaryArray::<Int8Type>::try_new(keys, names).expect("a dictionary"))
    };
    let of = |keys: usize, value: &str| -> ArrayRef {
        let keys = Int8Array::from(vec![0; keys]);
        let names = Arc::new(StringArray::from(vec![value]));
        Arc::new(DictionaryArray::<Int8Type>::try_new(keys, names).expect("a dictionary"))
    };
    let variables: ArrayRef = Arc::new(
        DictionaryArray::<arrow::datatypes::Int16Type>::try_new(
            vec![0_i16; n].into(),
            Arc::new(StringArray::from(vec!["SegsOut"])),
        )
        .expect("a dictionary"),
    );
    let values: ArrayRef = Arc::new(arrow::array::UInt64Array::from(vec![1_u64; n]));
    let ops = of(n, "set");
    let field = |name: &str, array: &ArrayRef| Field::new(name, array.data_type().clone(), false);
    let items = StructArray::from(vec![
        (Arc::new(field("variable", &variables)), variables),
        (Arc::new(field("op", &ops)), ops),
        (Arc::new(field("value", &values)), values),
    ]);
    let item = Arc::new(Field::new("item", items.data_type().clone(), false));
    let offsets = OffsetBuffer::from_lengths([n]);
    let ops: ArrayRef = Arc::new(ListArray::new(item, offsets, Arc::new(items), None));
    let u64s = |v: u64| -> ArrayRef { Arc::new(arrow::array::UInt64Array::from(vec![v])) };
    let u16s = |v: u16| -> ArrayRef { Arc::new(arrow::array::UInt16Array::from(vec![v])) };
    let columns = [
        ("ts_ns", u64s(5)),
        ("cpu", u16s(0)),
        ("seq", u64s(0)),
        ("cookie", u64s(1)),
        ("generation", u16s(0)),
        ("hook", text("egress")),
        ("ops", ops),
    ];
    let fields: Vec<Field> = columns.iter().map(|(name, array)| field(name, array)).collect();
    let arrays = columns.into_iter().map(|(_, array)| array).collect();
    RecordBatch::try_new(Arc::new(Schema::new(fields)), arrays).expect("a batch")
}

/// A first frame with this many columns.
fn columns(n: usize) -> Vec<u8> {
    let fields: Vec<_> =
        (0..n).map(|i| Field::new(format!("c{i}"), DataType::Int8, true)).collect();
    let [first, _] = stream(&RecordBatch::new_empty(Arc::new(Schema::new(fields))));
    first
}

const ATTACKS: &[Attack] = &[
    Attack { what: "nothing", make: |_| {}, codes: [0, 0], says: "" },
    Attack {
        what: "a frame of 64 MiB of zeros",
        make: |run| run.frames(HOOKS, |frames| frames.insert(1, vec![0; 64 << 20])),
        codes: [3, 1],
        says: "hooks-000000.arrows.zst is corrupt in frame 1",
    },
    Attack {
        what: "a frame of 32 MiB of zeros where hook records are",
        make: |run| run.frames(HOOKS, |frames| frames.insert(1, vec![0; 32 << 20])),
        codes: [3, 1],
        says: "hooks-000000.arrows.zst is corrupt in frame 1",
    },
    Attack {
        what: "a thousand frames of 32 MiB of zeros",
        make: |run| {
            let bomb = frame(&vec![0; 32 << 20]);
            let mut bytes = run.read(CONNECTIONS);
            for _ in 0..30 {
                bytes.extend_from_slice(&bomb);
            }
            run.write(CONNECTIONS, &bytes);
            run.unlisted();
        },
        codes: [3, 1],
        says: "connections-000000.arrows.zst is corrupt",
    },
    Attack {
        what: "a frame whose header states less than it has",
        make: |run| {
            let mut bytes = frame(&vec![7; 1 << 20]);
            // The size of the content, in the four octets behind magic number and descriptor.
            bytes[5..9].copy_from_slice(&1024_u32.to_le_bytes());
            let all = [run.read(LEDGER), bytes].concat();
            run.write(LEDGER, &all);
            run.unlisted();
        },
        codes: [3, 1],
        says: "ledger-000000.arrows.zst is corrupt",
    },
    Attack {
        what: "a first frame of 2 MiB",
        make: |run| run.frames(HOOKS, |frames| frames[0].resize(2 << 20, 0)),
        codes: [3, 1],
        says: "hooks-000000.arrows.zst is corrupt in frame 0",
    },
    Attack {
        what: "a hundred thousand columns",
        make: |run| run.frames(HOOKS, |frames| frames[0] = columns(100_000)),
        codes: [3, 1],
        says: "hooks-000000.arrows.zst is corrupt in frame 0",
    },
    Attack {
        what: "a record of 600,000 operations",
        make: |run| run.frames(HOOKS, |frames| *frames = stream(&operations(600_000)).to_vec()),
        codes: [3, 1],
        says: "hooks-000000.arrows.zst is corrupt in frame 1",
    },
    Attack {
        what: "a count of 2^63 - 1 rows",
        make: |run| {
            run.frames(HOOKS, |frames| {
                *frames = stream(&operations(3)).to_vec();
                assert!(exchange(&mut frames[1], 3, u64::MAX / 2) > 0);
            });
        },
        codes: [3, 1],
        says: "hooks-000000.arrows.zst is corrupt in frame 1",
    },
    Attack {
        what: "ids of names that are not there",
        make: |run| {
            run.frames(HOOKS, |frames| {
                *frames = stream(&operations(1000)).to_vec();
                // The operators' keys lie before the values, which are all 1.
                let ones = 1_u64.to_le_bytes().repeat(8);
                let values = frames[1].windows(64).position(|w| w == ones).expect("values");
                frames[1][values - 1000..values - 100].fill(0x7f);
            });
        },
        codes: [3, 1],
        says: "is not whole",
    },
    Attack {
        what: "one frame ten thousand times",
        make: |run| {
            run.frames(HOOKS, |frames| {
                let again = frames[1].clone();
                frames.extend(std::iter::repeat_n(again, 10_000));
            });
        },
        codes: [3, 1],
        says: "is not whole",
    },
    Attack {
        what: "frames in the opposite order",
        make: |run| run.frames(HOOKS, |frames| frames[1..].reverse()),
        codes: [3, 1],
        says: "is not whole",
    },
    Attack {
        what: "a ledger in the place of the hook records",
        make: |run| {
            let ledger = run.read(LEDGER);
            run.write(HOOKS, &ledger);
            run.unlisted();
        },
        codes: [3, 1],
        says: "is not whole",
    },
    Attack {
        what: "no octet",
        make: |run| {
            run.write(CONNECTIONS, b"");
            run.unlisted();
        },
        codes: [3, 1],
        says: "is not whole",
    },
    Attack {
        what: "a megabyte of magic numbers",
        make: |run| {
            run.write(HOOKS, &[0x28, 0xb5, 0x2f, 0xfd].repeat(1 << 18));
            run.unlisted();
        },
        codes: [3, 1],
        says: "is not whole",
    },
    Attack {
        what: "a seek table of 2^32 - 1 entries",
        make: |run| {
            let mut bytes = run.read(HOOKS);
            let n = bytes.len();
            bytes[n - 9..n - 5].fill(0xff);
            run.write(HOOKS, &bytes);
            run.unlisted();
        },
        codes: [3, 1],
        says: "",
    },
    Attack {
        what: "a pipe for a segment",
        make: |run| run.replace(HOOKS, fifo),
        codes: [2, 2],
        says: "hooks-000000.arrows.zst is no ordinary file of a recording, and is not read",
    },
    Attack {
        what: "a device for a segment",
        make: |run| run.replace(HOOKS, |path| symlink("/dev/zero", path).expect("a link")),
        codes: [2, 2],
        says: "hooks-000000.arrows.zst is no ordinary file of a recording, and is not read",
    },
    Attack {
        what: "a directory for a segment",
        make: |run| run.replace(LEDGER, |path| fs::create_dir(path).expect("a directory")),
        codes: [2, 2],
        says: "ledger-000000.arrows.zst is no ordinary file of a recording, and is not read",
    },
    Attack {
        what: "a pipe for the manifest",
        make: |run| {
            fs::remove_file(run.file(MANIFEST)).expect("a file");
            fifo(&run.file(MANIFEST));
        },
        codes: [2, 2],
        says: "manifest.json is no ordinary file of a recording, and is not read",
    },
    Attack {
        what: "a manifest of 40 MiB",
        make: |run| {
            let mut text = run.read(MANIFEST);
            text.resize(40 << 20, b' ');
            run.write(MANIFEST, &text);
        },
        codes: [2, 2],
        says: "manifest.json is no ordinary file of a recording, and is not read",
    },
    Attack {
        what: "a manifest of ten million namespaces",
        make: |run| {
            let text = format!(
                "{{\"format_version\":1,\"namespaces\":[{}{{}}]}}",
                "{},".repeat(10_000_000)
            );
            run.write(MANIFEST, text.as_bytes());
        },
        codes: [2, 2],
        says: "manifest.json is damaged or not ours: it has more than 1000000 values",
    },
    Attack {
        what: "a manifest of half a million interfaces of one namespace",
        make: |run| {
            let many = "{},".repeat(499_000);
            run.manifest(|m| {
                drop(m.insert("namespaces".into(), serde_json::json!([{"netns": 1}])))
            });
            let text = String::from_utf8(run.read(MANIFEST)).expect("UTF-8");
            let with = format!("\"interfaces\":[{many}{{}}],\"netns\":1");
            run.write(MANIFEST, text.replace("\"netns\":1", &with).as_bytes());
        },
        codes: [0, 0],
        says: "",
    },
    Attack {
        what: "a manifest that is ten thousand lists deep",
        make: |run| {
            let text = format!("{{\"format_version\":1,\"x\":{}", "[".repeat(10_000));
            run.write(MANIFEST, text.as_bytes());
        },
        codes: [2, 2],
        says: "manifest.json is damaged or not ours: EOF while parsing a list",
    },
    Attack {
        what: "a manifest with 2^63 rows and octets in each segment",
        make: |run| {
            run.manifest(|m| {
                for segment in m["segments"].as_array_mut().expect("a list") {
                    segment["rows"] = (1_u64 << 63).into();
                    segment["bytes"] = u64::MAX.into();
                }
            });
        },
        codes: [3, 1],
        says: "is not whole",
    },
    Attack {
        what: "a manifest with a count of 2^64",
        make: |run| {
            let text = String::from_utf8(run.read(MANIFEST)).expect("UTF-8");
            let at = text.find("\"rows\": ").expect("rows") + 8;
            let end = at + text[at..].find(|c: char| !c.is_ascii_digit()).expect("an end");
            let text = format!("{}18446744073709551616{}", &text[..at], &text[end..]);
            run.write(MANIFEST, text.as_bytes());
        },
        codes: [2, 2],
        says: "manifest.json is damaged or not ours: ",
    },
    Attack {
        what: "a manifest with segments of `..`",
        make: |run| {
            run.manifest(|m| {
                for segment in m["segments"].as_array_mut().expect("a list") {
                    segment["stream"] = "../../../etc/passwd".into();
                }
            });
        },
        // Streams that are not known are ignored, and the files prove themselves.
        codes: [0, 0],
        says: "",
    },
    Attack {
        what: "a manifest with `..` for the recording",
        make: |run| run.manifest(|m| m["recording"] = "../../../etc/passwd".into()),
        codes: [2, 2],
        says: "recording is not a UUID: \"../../../etc/passwd\"",
    },
    Attack {
        what: "a manifest of the format 2^63",
        make: |run| run.manifest(|m| m["format_version"] = (1_u64 << 63).into()),
        codes: [2, 2],
        says: "manifest.json has format version 9223372036854775808, this program reads up to",
    },
    Attack {
        what: "totals of 2^64 - 1",
        make: |run| {
            run.manifest(|m| {
                let totals = &mut m["totals"];
                for name in ["duration_ns", "map_failures", "bytes", "connections"] {
                    totals[name] = u64::MAX.into();
                }
                for cpu in totals["per_cpu"].as_array_mut().expect("a list") {
                    cpu["emitted"] = u64::MAX.into();
                    cpu["logged"] = u64::MAX.into();
                }
            });
        },
        codes: [3, 1],
        says: "is not whole",
    },
    Attack {
        what: "ten thousand segments of no octets",
        make: |run| {
            for number in 1..10_000 {
                run.write(&format!("hooks-{number:06}.arrows.zst"), b"");
            }
            run.unlisted();
        },
        codes: [3, 1],
        says: "is not whole",
    },
];

/// The sentence of an error, without notes on other things.
fn sentences(said: &str) -> usize {
    said.lines().filter(|line| line.starts_with("estats-analyze: ")).count()
}

#[test]
fn every_attack_ends_as_it_is_stated() {
    let mut wrong = Vec::new();
    for attack in ATTACKS {
        let dir = tempfile::tempdir().expect("a temporary directory");
        let run = Run(dir.path().join("run"));
        without_echo(&run.0);
        (attack.make)(&run);
        let path = run.0.to_str().expect("UTF-8");
        let out = dir.path().join("out");
        let out = out.to_str().expect("UTF-8");
        let replay = bounded(&["replay", path, "-o", out]);
        let verify = bounded(&["verify", path]);
        let report = bounded(&["report", path, "-o", out]);
        let codes = [replay.code, verify.code];
        if codes != attack.codes.map(Some)
            || !replay.said.contains(attack.says)
            || (attack.codes[0] == 2 && sentences(&replay.said) != 1)
            || report.code.is_none()
        {
            let said: String = replay.said.chars().take(400).collect();
            wrong.push(format!("{}: {codes:?} {:?} {said}", attack.what, report.code));
        }
        for ended in [&replay, &verify, &report] {
            let is_clean =
                !ended.said.contains("panicked") && !ended.said.contains("memory allocation");
            if !is_clean || ended.said.contains('\x1b') {
                wrong.push(format!("{}: {}", attack.what, ended.said));
            }
        }
        // Nothing is written beside what was named.
        let names = crate::common::file_names(dir.path());
        assert!(
            names.iter().all(|name| name == "run" || name == "out"),
            "{}: {names:?}",
            attack.what
        );
    }
    assert!(wrong.is_empty(), "{}", wrong.join("\n\n"));
}
