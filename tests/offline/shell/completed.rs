// SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause
//! What real shells complete. Each is asked for the same lines.

use std::collections::BTreeSet;
use std::fs;
use std::path::Path;
use std::process::Command;

use crate::support::gate::{self, Needs};

const ANALYZE: &str = env!("CARGO_BIN_EXE_estats-analyze");
const SUITE: &str = "completions";

/// A line whose last word is not finished, words that complete it, and words that do not.
struct Case(&'static str, &'static [&'static str], &'static [&'static str]);

/// The directory has run1 and run2, with a file note.txt.
const CASES: [Case; 14] = [
    Case("estats-analyze ", &["summary", "import-pcap", "run1"], &["man", "note.txt"]),
    Case("estats-analyze su", &["summary"], &["run1", "replay"]),
    Case("estats-analyze summary --", &["--sort", "--where", "--quiet"], &["--snapshots"]),
    Case("estats-analyze import-pcap --", &["--local", "--output"], &["--sort"]),
    Case("estats-analyze summary run1 --re", &["--reverse"], &["--sort"]),
    Case("estats-analyze summary --sort re", &["retransmitted", "remote"], &["id", "run1"]),
    Case("estats-analyze summary --group co", &["container"], &["remote"]),
    Case("estats-analyze export run1 --format web", &["web10g-logger"], &["csv", "run1"]),
    Case("estats-analyze export run1 --table li", &["listeners"], &["connections"]),
    Case("estats-analyze replay --format ", &["parquet", "csv"], &["run1", "web10g-logger"]),
    Case("estats-analyze rtt --method tcp_s", &["tcp_sequence", "tcp_sack"], &["dns"]),
    Case("estats-analyze summary r", &["run1", "run2"], &["note.txt", "replay"]),
    Case("estats-analyze import-pcap n", &["note.txt"], &["run1"]),
    Case("estats-analyze completions ", &["bash", "zsh", "fish"], &["summary"]),
];

#[cfg(feature = "record")]
const OF_RECORDER: [Case; 9] = [
    Case("estats-record ", &["check", "completions"], &["man"]),
    Case("estats-record --", &["--snapshots", "--max-size"], &["--sort"]),
    Case("estats-record --hooks ", &["auto", "fentry", "kprobe", "tracepoint"], &["run1"]),
    Case("estats-record --packets --transport p", &["perf"], &["ring"]),
    Case("estats-record --without dr", &["drops"], &["drain", "run1"]),
    Case("estats-record --output r", &["run1"], &["note.txt"]),
    Case("estats-record check --", &["--json", "--hooks"], &["--snapshots"]),
    Case("estats-record check --hooks f", &["fentry"], &["kprobe"]),
    // The value of an option is no command.
    Case("estats-record --output check --sn", &["--snapshots"], &["--json"]),
];

/// A directory as the cases want it, and the scripts for `shell` in it, named as it looks for them.
fn directory(shell: &str) -> tempfile::TempDir {
    let dir = tempfile::tempdir().expect("a temporary directory");
    for run in ["run1", "run2"] {
        fs::create_dir(dir.path().join(run)).expect("a directory");
    }
    fs::write(dir.path().join("note.txt"), "").expect("a file");
    fs::create_dir(dir.path().join(".scripts")).expect("a directory");
    for (name, program) in programs() {
        let output = Command::new(program).args(["completions", shell]).output().expect("run");
        assert!(output.status.success(), "{}", String::from_utf8_lossy(&output.stderr));
        let to = dir.path().join(".scripts").join(format!("_{name}"));
        fs::write(to, output.stdout).expect("a file");
    }
    dir
}

fn programs() -> Vec<(&'static str, &'static str)> {
    let programs = vec![("estats-analyze", ANALYZE)];
    #[cfg(feature = "record")]
    let programs =
        [programs, vec![("estats-record", env!("CARGO_BIN_EXE_estats-record"))]].concat();
    programs
}

fn cases() -> Vec<Case> {
    let cases = Vec::from(CASES);
    #[cfg(feature = "record")]
    let cases = cases.into_iter().chain(OF_RECORDER).collect();
    cases
}

/// What a shell's script prints: a candidate a line, perhaps with a description after a tab.
#[track_caller]
fn ask(shell: &str, dir: &Path, arguments: &[&str], script: &str) -> BTreeSet<String> {
    let mut command = Command::new("timeout");
    command.args(["60", shell]).args(arguments).arg("-c").arg(script).current_dir(dir);
    // Nobody's own settings.
    command.env("HOME", dir).env("XDG_CONFIG_HOME", dir).env("TERM", "dumb").env_remove("ZDOTDIR");
    let output = command.output().expect("timeout can be started");
    let said = String::from_utf8_lossy(&output.stderr);
    assert!(output.status.success() && said.trim().is_empty(), "{shell}: {script}\n{said}");
    let text = String::from_utf8(output.stdout).expect("text");
    let words = text.lines().map(|line| line.split('\t').next().expect("a first part"));
    // A slash after a directory is some shells' own.
    words.map(|word| word.trim().trim_end_matches('/').to_owned()).collect()
}

fn check(shell: &str, complete: impl Fn(&Path, &str) -> BTreeSet<String>) {
    let dir = directory(shell);
    let mut wrong = Vec::new();
    for Case(line, wanted, unwanted) in cases() {
        let found = complete(dir.path(), line);
        wrong.extend(
            wanted
                .iter()
                .filter(|w| !found.contains(**w))
                .map(|w| format!("{line:?} lacks {w}: {found:?}")),
        );
        wrong.extend(
            unwanted.iter().filter(|w| found.contains(**w)).map(|w| format!("{line:?} has {w}")),
        );
    }
    assert!(wrong.is_empty(), "{shell}:\n{}", wrong.join("\n"));
}

/// bash calls a function with the words of the line; here a script does.
fn bash(dir: &Path, words: &[&str]) -> BTreeSet<String> {
    let last = words.len() - 1;
    let (program, before, current) = (words[0], words[last - 1], words[last]);
    let quoted: Vec<String> = words.iter().map(|word| format!("'{word}'")).collect();
    let script = format!(
        "source .scripts/_{program}; COMP_WORDS=({}); COMP_CWORD={last}; \
         function=$(complete -p {program} | sed 's/.*-F \\([^ ]*\\) .*/\\1/'); \
         $function {program} '{current}' '{before}'; printf '%s\\n' \"${{COMPREPLY[@]}}\"",
        quoted.join(" ")
    );
    ask("bash", dir, &["--norc"], &script)
}

#[test]
fn bash_completes() {
    let needs = Needs { programs: &["bash", "timeout"], ..Needs::PROGRAMS };
    let Some(_turn) = gate::enter(SUITE, needs) else { return };
    check("bash", |dir, line| bash(dir, &line.split(' ').collect::<Vec<_>>()));
    let dir = directory("bash");
    // bash makes three words of --sort=re.
    let words = ["estats-analyze", "summary", "--sort", "=", "re"];
    assert!(bash(dir.path(), &words).contains("retransmitted"));
    assert!(bash(dir.path(), &words[..4]).contains("rtt"));
    assert!(bash(dir.path(), &["estats-analyze", "report", "--pages", "=", "ru"]).contains("run2"));
    #[cfg(feature = "record")]
    {
        // A command after `--`.
        let found = bash(dir.path(), &["estats-record", "-o", "run1", "--", "timeo"]);
        assert!(found.contains("timeout"), "{found:?}");
        let found = bash(dir.path(), &["estats-record", "--", "cat", "no"]);
        assert!(found.contains("note.txt"), "{found:?}");
    }
}

#[test]
fn fish_completes() {
    let needs = Needs { programs: &["fish", "timeout"], ..Needs::PROGRAMS };
    let Some(_turn) = gate::enter(SUITE, needs) else { return };
    check("fish", |dir, line| {
        let program = line.split(' ').next().expect("a program");
        let script = format!("source .scripts/_{program}; complete -C '{line}'");
        ask("fish", dir, &["--no-config"], &script)
    });
}

/// zsh completes only on a terminal: it gets one, and writes what it would offer into a file.
const ZSH: &str = r#"
zmodload zsh/zpty
cat >.setup <<'END'
PS1=
LISTMAX=100000
fpath=($PWD/.scripts $fpath)
autoload -Uz compinit
compinit -u -D
bindkey '^I' complete-word
compadd() {
    # Calls that only ask.
    if [[ ${@[1,(i)(-|--)]} == *-(O|A|D)\ * ]]; then
        builtin compadd "$@"
        return
    fi
    local -a offered
    builtin compadd -A offered "$@"
    print -rl -- $offered >>.offered
    builtin compadd "$@"
}
finish() { exit }
zle -N finish
bindkey '^Y' finish
END
rm -f .offered
zpty terminal zsh -f -i
zpty -w terminal 'source ./.setup'
zpty -w -n terminal "$LINE"$'\t'$'\x19'
while zpty -r terminal; do :; done >/dev/null
[[ ! -e .offered ]] || cat .offered
"#;

#[test]
fn zsh_completes() {
    let needs = Needs { programs: &["zsh", "timeout"], ..Needs::PROGRAMS };
    let Some(_turn) = gate::enter(SUITE, needs) else { return };
    check("zsh", |dir, line| ask("zsh", dir, &["-f"], &format!("LINE='{line}'\n{ZSH}")));
}
