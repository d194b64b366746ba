// SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause
//! A file with options (`--config`): TOML with the long names of the flags as keys. Which keys there are, and what
//! they take, is known from the flags alone.

use std::collections::BTreeMap;
use std::error::Error as _;
use std::ffi::OsString;
use std::path::{Path, PathBuf};

use clap::error::{ContextKind, ContextValue, ErrorKind};
use clap::parser::ValueSource;
use clap::{Arg, ArgAction, Command, CommandFactory, Parser};
use toml::{Table, Value};

/// The option that names the file, which is no key of it.
const FILE: &str = "config";
/// A file of options has some hundred bytes. One of this size is another file.
const LARGEST: u64 = 1 << 20;

/// What is wrong before anything has begun.
#[derive(Debug)]
pub enum Mistake {
    /// The command line, also where it lacks what the file could have.
    Line(Box<clap::Error>),
    /// The file, in one sentence.
    File(String),
}

/// What the file gives: words of a command line, by key.
pub type Given = BTreeMap<String, Vec<OsString>>;

/// A command line and its file.
#[derive(Debug)]
pub struct Parsed<C> {
    /// The options.
    pub options: C,
    /// The file, if there is one.
    pub file: Option<PathBuf>,
    /// What the options have of the file: keys that the command line has too are not in it.
    pub given: Given,
}

/// The options of a command line, and of the file that it names. An option of the command line takes the place of the
/// file's.
///
/// # Errors
/// [`Mistake`] if one of them cannot be understood.
pub fn parse<C: Parser + CommandFactory>(line: &[OsString]) -> Result<Parsed<C>, Mistake> {
    let parsed =
        |words: Vec<OsString>| C::try_parse_from(words).map_err(|e| Mistake::Line(e.into()));
    // What an option needs may be in the file.
    let alone = C::command().ignore_errors(true).try_get_matches_from(line).ok();
    let alone = alone.filter(|found| found.subcommand_name().is_none());
    let file = alone.as_ref().and_then(|found| found.get_one::<PathBuf>(FILE).cloned());
    let (Some(alone), Some(file)) = (alone, file) else {
        return Ok(Parsed { options: parsed(line.to_vec())?, file: None, given: Given::new() });
    };
    let command = C::command();
    let mut given = read(&file, &command).map_err(Mistake::File)?;
    let of_line = |key: &str| {
        let id = keys(&command).find(|argument| argument.get_long() == Some(key));
        let source = id.and_then(|argument| alone.value_source(argument.get_id().as_str()));
        source == Some(ValueSource::CommandLine)
    };
    given.retain(|key, _| !of_line(key));
    let (program, rest) = line.split_at(1.min(line.len()));
    let words = [program.to_vec(), given.values().flatten().cloned().collect(), rest.to_vec()];
    Ok(Parsed { options: parsed(words.concat())?, file: Some(file), given })
}

/// The options that a file may have.
fn keys(command: &Command) -> impl Iterator<Item = &Arg> {
    command.get_arguments().filter(|argument| {
        let is_option = argument.get_long().is_some_and(|long| long != FILE);
        is_option
            && matches!(
                argument.get_action(),
                ArgAction::Set | ArgAction::Append | ArgAction::SetTrue
            )
    })
}

/// What a file has, as words of a command line.
fn read(file: &Path, command: &Command) -> Result<Given, String> {
    let path = file.display();
    let cannot = |why: std::io::Error| format!("cannot read the options in {path}: {why}");
    let size = std::fs::metadata(file).map_err(cannot)?.len();
    if size > LARGEST {
        return Err(format!("{path} has {size} bytes, which is too much for a file of options"));
    }
    let text = std::fs::read_to_string(file).map_err(cannot)?;
    let table: Table = toml::from_str(&text).map_err(|e| {
        let before = e.span().and_then(|span| text.get(..span.start)).unwrap_or_default();
        let line = before.matches('\n').count() + 1;
        format!("{path} is not TOML: line {}: {}", line, e.message().trim().replace('\n', "; "))
    })?;
    let mut given = Given::new();
    for (key, value) in table {
        let Some(argument) = keys(command).find(|argument| argument.get_long() == Some(&key))
        else {
            let all: Vec<_> = keys(command).filter_map(Arg::get_long).collect();
            return Err(format!(
                "{path}: there is no key {key:?}; the keys are {}",
                all.join(", ")
            ));
        };
        let words = words(argument, &key, &value)
            .map_err(|takes| format!("{path}: {key} takes {takes}, and not {}", kind(&value)))?;
        fault(command, &words).map_or(Ok(()), |why| Err(format!("{path}: {key}: {why}")))?;
        given.insert(key, words);
    }
    Ok(given)
}

/// One key as words of a command line, or what it takes.
fn words(argument: &Arg, key: &str, value: &Value) -> Result<Vec<OsString>, &'static str> {
    let switch = |is_on: bool| if is_on { vec![format!("--{key}").into()] } else { Vec::new() };
    let word = |value: &Value| match value {
        Value::String(text) => Some(OsString::from(format!("--{key}={text}"))),
        Value::Integer(number) => Some(format!("--{key}={number}").into()),
        Value::Float(_)
        | Value::Boolean(_)
        | Value::Datetime(_)
        | Value::Array(_)
        | Value::Table(_) => None,
    };
    let is_optional = argument.get_num_args().is_some_and(|n| n.min_values() == 0);
    match (argument.get_action(), value) {
        (ArgAction::SetTrue, Value::Boolean(is_on)) => Ok(switch(*is_on)),
        (ArgAction::SetTrue, _) => Err("true or false"),
        (ArgAction::Append, Value::Array(values)) => {
            values.iter().map(word).collect::<Option<_>>().ok_or("a list of texts or numbers")
        }
        (ArgAction::Append, value) => {
            word(value).map(|word| vec![word]).ok_or("a text, a number, or a list of these")
        }
        (_, Value::Boolean(is_on)) if is_optional => Ok(switch(*is_on)),
        (_, value) => word(value).map(|word| vec![word]).ok_or("a text or a number"),
    }
}

/// What a value is.
fn kind(value: &Value) -> &'static str {
    match value {
        Value::String(_) => "a text",
        Value::Integer(_) => "a number",
        Value::Float(_) => "a number with a fraction",
        Value::Boolean(_) => "true or false",
        Value::Datetime(_) => "a date",
        Value::Array(_) => "this list",
        Value::Table(_) => "a table",
    }
}

/// What is wrong with the value of an option. That it needs another option is found later, with all of them.
fn fault(command: &Command, words: &[OsString]) -> Option<String> {
    let program = OsString::from(command.get_name());
    let line = [program].into_iter().chain(words.iter().cloned());
    let error = command.clone().try_get_matches_from(line).err()?;
    if error.kind() == ErrorKind::MissingRequiredArgument {
        return None;
    }
    if let Some(source) = error.source() {
        return Some(source.to_string());
    }
    let text = error.to_string();
    let first = text.lines().next().unwrap_or_default().trim_start_matches("error: ").to_owned();
    Some(match error.get(ContextKind::ValidValue) {
        Some(ContextValue::Strings(all)) if !all.is_empty() => {
            format!("{first}; the values are {}", all.join(", "))
        }
        _ => first,
    })
}

#[cfg(test)]
mod tests {
    use clap::Parser;

    use super::*;

    #[derive(Debug, Parser)]
    struct Program {
        #[arg(long)]
        config: Option<PathBuf>,
        #[arg(long, value_delimiter = ',')]
        port: Vec<u16>,
        #[arg(short, long)]
        quiet: bool,
        #[arg(long, value_parser = ["tc", "tcx"], requires = "port")]
        attach: Option<String>,
        #[arg(long, num_args = 0..=1, require_equals = true, default_missing_value = "1s")]
        top: Option<String>,
        #[arg(long, default_value = "4")]
        ring: u32,
        #[arg(last = true)]
        argv: Vec<String>,
    }

    /// The options of a command line with a file of this text, or what is wrong with it.
    fn parsed(text: &str, line: &[&str]) -> Result<Parsed<Program>, String> {
        let dir = tempfile::tempdir().unwrap();
        let file = dir.path().join("record.toml");
        std::fs::write(&file, text).unwrap();
        let file = file.to_str().unwrap();
        let words: Vec<OsString> =
            ["program", "--config", file].iter().chain(line).map(OsString::from).collect();
        parse(&words).map_err(|mistake| match mistake {
            Mistake::File(words) => {
                assert!(words.contains(file) && !words.contains('\n'), "{words}");
                words
            }
            Mistake::Line(e) => e.to_string(),
        })
    }

    #[test]
    fn keys_are_the_long_names() {
        let text =
            "port = [80, \"443,8443\"]\nquiet = true\nattach = \"tc\"\ntop = true\nring = 8\n";
        let found = parsed(text, &[]).unwrap();
        assert_eq!(found.given.len(), 5);
        let options = found.options;
        assert_eq!((options.port, options.quiet), (vec![80, 443, 8443], true));
        assert_eq!((options.attach.as_deref(), options.ring), (Some("tc"), 8));
        assert_eq!(options.top.as_deref(), Some("1s"));
        assert!(options.config.is_some() && options.argv.is_empty());
        let options = parsed("quiet = false\nport = 1\ntop = \"2s\"", &[]).unwrap().options;
        assert_eq!(
            (options.port, options.quiet, options.top.as_deref()),
            (vec![1], false, Some("2s"))
        );
    }

    #[test]
    fn the_command_line_takes_the_place_of_the_file() {
        let text = "port = [80, 443]\nring = 8\n";
        let found = parsed(text, &["--port", "1", "--ring=2", "-q", "--", "--top"]).unwrap();
        assert_eq!((found.options.port, found.options.ring), (vec![1], 2));
        assert!(found.options.quiet && found.given.is_empty());
        assert_eq!(found.options.argv, ["--top"], "a command's own options are its own");
        // What an option of one needs may be in the other.
        assert!(parsed("port = 80", &["--attach", "tc"]).is_ok());
        let alone = parsed("attach = \"tc\"", &[]).unwrap_err();
        assert!(alone.contains("--port"), "{alone}");
        // Without a file nothing changes.
        let words = ["program", "-q"].map(OsString::from);
        assert!(parse::<Program>(&words).unwrap().file.is_none());
    }

    #[test]
    fn what_is_wrong_is_one_sentence() {
        for (text, words) in [
            ("prot = 80", "there is no key \"prot\"; the keys are port, quiet, attach, top, ring"),
            ("config = \"x\"", "there is no key \"config\""),
            ("[record]\nport = 80", "there is no key \"record\""),
            ("help = true", "there is no key \"help\""),
            ("quiet = \"yes\"", "quiet takes true or false, and not a text"),
            ("port = [[80]]", "port takes a list of texts or numbers, and not this list"),
            (
                "port = 1.5",
                "port takes a text, a number, or a list of these, and not a number with",
            ),
            ("ring = [1]", "ring takes a text or a number, and not this list"),
            ("port = 70000", "port: 70000 is not in"),
            ("port = -1", "port: -1 is not in"),
            ("ring = \"4M\"", "ring: invalid digit"),
            ("attach = \"xdp\"", "attach: invalid value 'xdp'"),
            ("attach = \"xdp\"", "the values are tc, tcx"),
            ("quiet = true\nport = \n", "is not TOML: line 2: "),
            ("port = 1\nport = 2", "is not TOML: line 2: "),
        ] {
            let said = parsed(text, &[]).unwrap_err();
            assert!(said.contains(words), "{text:?}: {said}");
        }
        // Also where the command line takes the key's place.
        assert!(parsed("ring = true", &["--ring", "4"]).is_err());
        let words = ["program", "--config", "/nonexistent/record.toml"].map(OsString::from);
        let Err(Mistake::File(said)) = parse::<Program>(&words) else { panic!("no such file") };
        assert!(
            said.starts_with("cannot read the options in /nonexistent/record.toml: "),
            "{said}"
        );
    }
}
