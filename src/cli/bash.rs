// SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause
//! Completions of a program for bash, from its flags.
//!
//! clap_complete's script has no options of commands with a hyphen, finds values of an option only if a blank stands
//! before them, offers files as recordings, and knows nothing of a command after `--`.

use std::fmt::Write as _;

use clap::{Arg, Command, ValueHint};

/// What an argument can be.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord)]
enum Candidates {
    Words(String),
    Directories,
    Files,
    /// A number, a time, a name of something outside.
    Unknown,
}

impl Candidates {
    fn of(argument: &Arg) -> Self {
        let values = argument.get_possible_values();
        if !values.is_empty() {
            let names: Vec<&str> = values.iter().map(|value| value.get_name()).collect();
            return Self::Words(names.join(" "));
        }
        match argument.get_value_hint() {
            ValueHint::DirPath => Self::Directories,
            ValueHint::AnyPath | ValueHint::FilePath => Self::Files,
            _ => Self::Unknown,
        }
    }

    /// The variables of the script that say so.
    fn settings(&self) -> String {
        match self {
            Self::Words(words) => format!("words='{words}'"),
            Self::Directories => "paths=-d".to_owned(),
            Self::Files => "paths=-f".to_owned(),
            Self::Unknown => "return".to_owned(),
        }
    }
}

/// The option as it is written: -o, --output.
fn spellings(option: &Arg) -> Vec<String> {
    let short = option.get_short().map(|short| format!("-{short}"));
    let long = option.get_long().map(|long| format!("--{long}"));
    short.into_iter().chain(long).collect()
}

fn options(command: &Command) -> impl Iterator<Item = &Arg> {
    command.get_arguments().filter(|a| !a.is_positional() && !a.is_hide_set())
}

/// Options whose value is the next word.
fn with_value(command: &Command) -> impl Iterator<Item = &Arg> {
    options(command).filter(|a| a.get_action().takes_values() && !a.is_require_equals_set())
}

fn commands(command: &Command) -> impl Iterator<Item = &Command> {
    command.get_subcommands().filter(|c| !c.is_hide_set())
}

fn names(command: &Command) -> Vec<&str> {
    commands(command).map(Command::get_name).collect()
}

/// The patterns of a `case` of a command's words.
fn patterns(command: &str, words: &[String]) -> String {
    let patterns: Vec<String> = words.iter().map(|word| format!("{command},{word}")).collect();
    patterns.join(" | ")
}

/// Values of the options of one command.
fn values(script: &mut String, name: &str, command: &Command) {
    for option in with_value(command) {
        let (patterns, settings) =
            (patterns(name, &spellings(option)), Candidates::of(option).settings());
        writeln!(script, "    {patterns}) {settings} ;;").expect("a string");
    }
}

/// What can stand where no value of an option does.
fn rest(script: &mut String, name: &str, command: &Command) {
    let all: Vec<String> = options(command).flat_map(spellings).collect();
    let mut words = names(command).join(" ");
    let mut paths = "";
    // Words after `--` are another program's.
    for argument in command.get_positionals().filter(|a| !a.is_last_set()) {
        match Candidates::of(argument) {
            Candidates::Words(more) => words = format!("{words} {more}").trim().to_owned(),
            Candidates::Directories => paths = "-d",
            Candidates::Files => paths = "-f",
            Candidates::Unknown => {}
        }
    }
    writeln!(
        script,
        "        '{name}') options='{}' words='{words}' paths={paths} ;;",
        all.join(" ")
    )
    .expect("a string");
}

/// The script for a program whose command has been built.
pub fn script(program: &Command, name: &str) -> String {
    let function = name.replace('-', "_");
    let commands: Vec<String> = names(program).into_iter().map(str::to_owned).collect();
    let taking: Vec<String> = with_value(program).flat_map(spellings).collect();
    let skip = if taking.is_empty() {
        String::new()
    } else {
        format!(
            "\n        # The next word is its value.\n        {})\n            \
             [[ ${{COMP_WORDS[at + 1]}} == = ]] && ((at++))\n            ((at++))\n            ;;",
            patterns("", &taking)
        )
    };
    let mut cases = String::new();
    values(&mut cases, "", program);
    for command in self::commands(program) {
        values(&mut cases, command.get_name(), command);
    }
    let mut others = String::new();
    rest(&mut others, "", program);
    for command in self::commands(program) {
        rest(&mut others, command.get_name(), command);
    }
    format!(
        r#"# Completions of {name}, for bash 4 or newer.
_{function}() {{
    local cur=${{COMP_WORDS[COMP_CWORD]}} prev=${{COMP_WORDS[COMP_CWORD - 1]}}
    local command= word at options= words= paths=
    COMPREPLY=()
    # bash cuts --option=value into three words.
    if [[ $cur == = ]]; then
        cur=
    elif [[ $prev == = && $COMP_CWORD -ge 2 ]]; then
        prev=${{COMP_WORDS[COMP_CWORD - 2]}}
    fi
    for ((at = 1; at < COMP_CWORD; at++)); do
        word=${{COMP_WORDS[at]}}
        if [[ $word == -- ]]; then
            # Another program and its arguments; bash-completion knows these.
            if declare -F _command_offset >/dev/null; then
                _command_offset $((at + 1))
            elif ((at + 1 == COMP_CWORD)); then
                mapfile -t COMPREPLY < <(compgen -c -- "$cur")
            else
                mapfile -t COMPREPLY < <(compgen -f -- "$cur")
                compopt -o filenames 2>/dev/null
            fi
            return
        fi
        case $command,$word in
        {commands}) command=$word ;;{skip}
        esac
    done
    case $command,$prev in
{cases}    *)
        case $command in
{others}        esac
        ;;
    esac
    if [[ $cur == -* && -n $options ]]; then
        mapfile -t COMPREPLY < <(compgen -W "$options" -- "$cur")
        return
    fi
    [[ -z $words ]] || mapfile -t COMPREPLY < <(compgen -W "$words" -- "$cur")
    if [[ -n $paths ]]; then
        mapfile -t -O ${{#COMPREPLY[@]}} COMPREPLY < <(compgen $paths -- "$cur")
        compopt -o filenames 2>/dev/null
    fi
}}
complete -F _{function} {name}
"#,
        commands = patterns("", &commands),
    )
}
