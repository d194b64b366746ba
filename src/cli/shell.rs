// SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause
//! Completions and man pages of a program, both from its flags. Part of both programs.

use std::fs;
use std::io::{self, Write as _};
use std::path::PathBuf;
use std::process::ExitCode;

use clap::{Arg, Args, Command, ValueEnum, ValueHint};
use clap_complete::aot::{self, Generator};

use super::bash;

/// Shells whose completions are made.
#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum)]
pub enum Shell {
    Bash,
    Zsh,
    Fish,
}

#[derive(Debug, Args)]
#[command(after_help = "Examples:\n  \
                  estats-analyze completions bash > /etc/bash_completion.d/estats-analyze\n  \
                  estats-record completions zsh > \"${fpath[1]}/_estats-record\"\n  \
                  estats-record completions fish > ~/.config/fish/completions/estats-record.fish")]
pub struct Completions {
    /// The shell
    #[arg(value_enum)]
    shell: Shell,
}

#[derive(Debug, Args)]
pub struct Man {
    /// Where the pages go
    dir: PathBuf,
}

/// What an argument is, by the name of its value: shells complete recordings as directories.
fn hinted(command: Command) -> Command {
    command
        .mut_args(|argument| {
            let value = argument.get_value_names().and_then(|names| names.first());
            let hint = match value.map(|name| name.as_str()) {
                Some("RUN" | "DIR") => ValueHint::DirPath,
                Some("FILE") => ValueHint::FilePath,
                Some("COMMAND") if argument.is_last_set() => ValueHint::CommandName,
                _ => return argument,
            };
            argument.value_hint(hint)
        })
        .mut_subcommands(hinted)
}

/// Without commands that `--help` does not list.
fn listed(command: &Command) -> Command {
    let commands = command.get_subcommands().filter(|command| !command.is_hide_set());
    Command::new("program")
        .version("")
        .args(command.get_arguments().cloned())
        .subcommands(commands.cloned())
        .groups(command.get_groups().cloned())
}

/// What a command takes after its options are directories.
fn takes_directories(command: &Command) -> bool {
    command.get_positionals().any(|argument| argument.get_value_hint() == ValueHint::DirPath)
}

fn generated(shell: impl Generator, mut command: Command, name: &str) -> String {
    // Not to a pipe at once: what writes it knows no closed one.
    let mut script = Vec::new();
    clap_complete::generate(shell, &mut command, name, &mut script);
    String::from_utf8(script).expect("scripts are made of texts")
}

/// Words after `--` are another program's, and completed as these.
const OF_ANOTHER: &str = "    local separator=${words[(i)--]}
    if ((separator < CURRENT)); then
        shift $separator words
        ((CURRENT -= separator))
        _normal
        return
    fi
";

/// clap_complete's script takes the first word for a recording, and then finds no command's options. So it does
/// not get to know of recordings there; they are offered beside the commands.
fn zsh(command: &Command, name: &str) -> String {
    let flags = command.get_arguments().filter(|a| !a.is_positional() || a.is_last_set());
    let commands_only = Command::new("program")
        .version("")
        .args(flags.cloned())
        .subcommands(command.get_subcommands().cloned())
        .groups(command.get_groups().filter(|group| group.get_id() != "Arguments").cloned());
    let mut script = generated(aot::Zsh, commands_only, name);
    if let Some(last) = command.get_positionals().find(|argument| argument.is_last_set()) {
        let begin = format!("_{name}() {{\n");
        script = script.replacen(&begin, &format!("{begin}{OF_ANOTHER}"), 1);
        // It would be offered everywhere. Then the command is the first word.
        let place = format!("::{} -- ", last.get_id());
        let lines = script.split_inclusive('\n').filter(|line| !line.contains(&place));
        script = lines.collect::<String>().replace("$line[2]", "$line[1]");
    }
    if !takes_directories(command) {
        return script;
    }
    let describes = format!("_describe -t commands '{name} commands' commands \"$@\"");
    script.replace(&describes, &format!("{describes}\n    _files -/"))
}

/// clap_complete's script completes no value of an option that stands before a command: what asks whether there
/// is a command fails. It also knows nothing of what is no option.
fn fish(command: &Command, name: &str) -> String {
    let prefix = name.replace('-', "_");
    let ask = format!("argparse -s (__fish_{prefix}_global_optspecs) -- $cmd 2>/dev/null");
    let again = format!("{ask}\n    or begin\n        set -e cmd[-1]\n        {ask}\n    end");
    let mut script = generated(aot::Fish, command.clone(), name).replace(&ask, &again);
    let of_program = (format!("__fish_{prefix}_needs_command"), command);
    let of_commands = command.get_subcommands().map(|command| {
        (format!("__fish_{prefix}_using_subcommand {}", command.get_name()), command)
    });
    for (condition, command) in of_commands.chain([of_program]) {
        let values = command.get_positionals().flat_map(Arg::get_possible_values);
        let mut words: Vec<String> = values.map(|value| value.get_name().to_owned()).collect();
        if takes_directories(command) {
            words.push("(__fish_complete_directories (commandline -ct))".to_owned());
        }
        if !words.is_empty() {
            let words = words.join(" ");
            script.push_str(&format!("complete -c {name} -n \"{condition}\" -f -a \"{words}\"\n"));
        }
    }
    script
}

/// The script for the shell, on standard output.
pub fn completions(arguments: &Completions, command: Command) -> anyhow::Result<ExitCode> {
    let name = command.get_name().to_owned();
    let mut command = hinted(listed(&command));
    let script = match arguments.shell {
        Shell::Bash => {
            command.build();
            bash::script(&command, &name)
        }
        Shell::Zsh => zsh(&command, &name),
        Shell::Fish => fish(&command, &name),
    };
    io::stdout().lock().write_all(script.as_bytes())?;
    Ok(ExitCode::SUCCESS)
}

/// A page for the program and one for each command.
pub fn man(arguments: &Man, command: Command) -> anyhow::Result<ExitCode> {
    fs::create_dir_all(&arguments.dir)?;
    clap_mangen::generate_to(command, &arguments.dir)?;
    Ok(ExitCode::SUCCESS)
}
