// SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause
//! Conditions on connections: `retransmitted > 1% and rtt >= 50ms and not process = iperf3`.
//!
//! A small language of our own. SQL was refused: polars is left out of builds without `query`, and a
//! comparison of SQL knows no units.

use std::str::FromStr;

use super::Line;
use super::keys::{SummaryKey, Unit, Value};

/// A condition. As in SQL, a comparison with a value that is not known (NULL) is neither true nor
/// false, and only connections for which the whole is true match.
#[derive(Clone, Debug, PartialEq)]
pub struct Condition(Node);

#[derive(Clone, Debug, PartialEq)]
enum Node {
    All(Vec<Node>),
    Any(Vec<Node>),
    Not(Box<Node>),
    Compare(SummaryKey, Operator, Value),
    /// The value is not known.
    IsNull(SummaryKey),
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Operator {
    Equal,
    NotEqual,
    Less,
    LessOrEqual,
    Greater,
    GreaterOrEqual,
    /// The text contains it.
    Contains,
}

/// Longest first: `<=` is not `<` and `=`.
const OPERATORS: [(&str, Operator); 9] = [
    ("<=", Operator::LessOrEqual),
    (">=", Operator::GreaterOrEqual),
    ("!=", Operator::NotEqual),
    ("<>", Operator::NotEqual),
    ("==", Operator::Equal),
    ("<", Operator::Less),
    (">", Operator::Greater),
    ("=", Operator::Equal),
    ("~", Operator::Contains),
];

impl Condition {
    /// Whether the connection matches.
    pub fn matches(&self, line: &Line) -> bool {
        self.0.holds(line) == Some(true)
    }
}

impl Node {
    /// `None` if it depends on a value that is not known.
    fn holds(&self, line: &Line) -> Option<bool> {
        match self {
            Self::All(nodes) => together(nodes, line, false),
            Self::Any(nodes) => together(nodes, line, true),
            Self::Not(node) => node.holds(line).map(|holds| !holds),
            Self::IsNull(key) => Some(key.of(line).is_none()),
            Self::Compare(key, operator, value) => Some(operator.holds(&key.of(line)?, value)),
        }
    }
}

/// One that is `decides` decides; else one that is not known leaves the whole unknown.
fn together(nodes: &[Node], line: &Line, decides: bool) -> Option<bool> {
    let mut known = true;
    for node in nodes {
        match node.holds(line) {
            Some(holds) if holds == decides => return Some(decides),
            Some(_) => {}
            None => known = false,
        }
    }
    known.then_some(!decides)
}

impl Operator {
    fn holds(self, have: &Value, want: &Value) -> bool {
        let order = match (have, want) {
            (Value::Number(a), Value::Number(b)) => a.total_cmp(b),
            (Value::Text(a), Value::Text(b)) if self == Self::Contains => return a.contains(b),
            (Value::Text(a), Value::Text(b)) => a.cmp(b),
            // The parser makes values of the key's type.
            (Value::Number(_), Value::Text(_)) | (Value::Text(_), Value::Number(_)) => {
                return false;
            }
        };
        match self {
            Self::Equal => order.is_eq(),
            Self::NotEqual => order.is_ne(),
            Self::Less => order.is_lt(),
            Self::LessOrEqual => order.is_le(),
            Self::Greater => order.is_gt(),
            Self::GreaterOrEqual => order.is_ge(),
            Self::Contains => false,
        }
    }
}

impl FromStr for Condition {
    type Err = String;

    /// # Errors
    /// A sentence that names the fault and the part that has it.
    fn from_str(text: &str) -> Result<Self, String> {
        let mut parser = Parser { words: words(text)?, at: 0, depth: 0 };
        let node = parser.any()?;
        match parser.words.get(parser.at) {
            None => Ok(Self(node)),
            Some(word) => Err(format!("`{}` is not expected there", word.text)),
        }
    }
}

/// Part of a condition.
#[derive(Clone, Debug)]
struct Word {
    text: String,
    /// In quotes: a value, whatever it looks like.
    quoted: bool,
}

fn words(text: &str) -> Result<Vec<Word>, String> {
    let mut words = Vec::new();
    let mut rest = text.trim_start();
    while let Some(c) = rest.chars().next() {
        let (word, len, quoted) = if c == '"' || c == '\'' {
            let end = rest[1..].find(c).ok_or_else(|| format!("the quote {c} has no end"))?;
            (&rest[1..=end], end + 2, true)
        } else if c == '(' || c == ')' {
            (&rest[..1], 1, false)
        } else if let Some((operator, _)) = OPERATORS.iter().find(|(o, _)| rest.starts_with(o)) {
            (*operator, operator.len(), false)
        } else {
            let ends = |c: char| c.is_whitespace() || "()<>=!~\"'".contains(c);
            let len = rest.find(ends).unwrap_or(rest.len());
            if len == 0 {
                return Err(format!("`{c}` is not expected there"));
            }
            (&rest[..len], len, false)
        };
        words.push(Word { text: word.to_owned(), quoted });
        rest = rest[len..].trim_start();
    }
    Ok(words)
}

struct Parser {
    words: Vec<Word>,
    at: usize,
    depth: usize,
}

/// Parentheses and `not` inside each other; more is a mistake, and would need a deep stack.
const MAX_DEPTH: usize = 100;

impl Parser {
    fn next(&mut self) -> Option<Word> {
        let word = self.words.get(self.at).cloned();
        self.at += 1;
        word
    }

    /// Takes the word, if it is next.
    fn take(&mut self, text: &str) -> bool {
        let is_next = self.words.get(self.at);
        let is_next = is_next.is_some_and(|w| !w.quoted && w.text.eq_ignore_ascii_case(text));
        self.at += usize::from(is_next);
        is_next
    }

    fn any(&mut self) -> Result<Node, String> {
        let mut nodes = vec![self.all()?];
        while self.take("or") {
            nodes.push(self.all()?);
        }
        Ok(Node::Any(nodes))
    }

    fn all(&mut self) -> Result<Node, String> {
        let mut nodes = vec![self.one()?];
        while self.take("and") {
            nodes.push(self.one()?);
        }
        Ok(Node::All(nodes))
    }

    fn one(&mut self) -> Result<Node, String> {
        self.depth += 1;
        if self.depth > MAX_DEPTH {
            return Err(format!("more than {MAX_DEPTH} conditions inside each other"));
        }
        let node = if self.take("not") {
            Node::Not(Box::new(self.one()?))
        } else if self.take("(") {
            let node = self.any()?;
            if !self.take(")") {
                return Err("a parenthesis is not closed".to_owned());
            }
            node
        } else {
            self.comparison()?
        };
        self.depth -= 1;
        Ok(node)
    }

    fn comparison(&mut self) -> Result<Node, String> {
        let name = self.next().ok_or("a comparison is missing, such as `rtt > 50ms`")?;
        let key = SummaryKey::parse(&name.text)?;
        if self.take("is") {
            let is_not = self.take("not");
            if !self.take("null") {
                return Err(format!("`{} is` needs null or not null behind it", key.name));
            }
            let node = Node::IsNull(key);
            return Ok(if is_not { Node::Not(Box::new(node)) } else { node });
        }
        let operator = self.next().map(|w| w.text).unwrap_or_default();
        let found = OPERATORS.iter().find(|(o, _)| *o == operator);
        let (_, operator) = *found.ok_or_else(|| {
            format!("`{}` needs one of < <= = != >= > ~ and a value behind it", key.name)
        })?;
        let value = self.next().filter(|w| w.quoted || !matches!(w.text.as_str(), "(" | ")"));
        let value = value.ok_or_else(|| format!("`{}` has no value behind it", key.name))?;
        let Some(unit) = key.unit() else {
            return Ok(Node::Compare(key, operator, Value::Text(value.text)));
        };
        if operator == Operator::Contains {
            return Err(format!("`{}` is a number, and `~` is for texts", key.name));
        }
        // `1 %` and `50 ms` are two words.
        let next = self.words.get(self.at).filter(|w| !w.quoted).map(|w| w.text.clone());
        let is_bare = value.text.ends_with(|c: char| c.is_ascii_digit() || c == '.');
        let apart = next.filter(|next| is_bare && factor(unit, next).is_some());
        let text = match &apart {
            Some(suffix) => format!("{}{suffix}", value.text),
            None => value.text,
        };
        self.at += usize::from(apart.is_some());
        let number = quantity(unit, &text).map_err(|why| format!("`{}`: {why}", key.name))?;
        Ok(Node::Compare(key, operator, Value::Number(number)))
    }
}

/// How many of the base unit a suffix is. A power of ten is read as part of the decimal number, or 9ms
/// would be another number than 9000 us: 9 * 1e-3 is not 0.009.
#[derive(Clone, Copy, Debug, PartialEq)]
enum Factor {
    /// Its exponent.
    Ten(i32),
    Other(f64),
}

fn factor(unit: Unit, suffix: &str) -> Option<Factor> {
    use Factor::{Other, Ten};
    let decimal = |prefix: &str| match prefix {
        "" => Some(Ten(0)),
        "k" | "K" => Some(Ten(3)),
        "M" => Some(Ten(6)),
        "G" => Some(Ten(9)),
        "T" => Some(Ten(12)),
        "Ki" => Some(Other(1024.0)),
        "Mi" => Some(Other(1_048_576.0)),
        "Gi" => Some(Other(1_073_741_824.0)),
        _ => None,
    };
    match unit {
        Unit::Count => decimal(suffix).filter(|_| !suffix.ends_with('i')),
        Unit::Bytes => decimal(suffix.strip_suffix('B').unwrap_or(suffix)),
        Unit::BitRate => {
            let bits = ["bit/s", "bps"].iter().find_map(|end| suffix.strip_suffix(end));
            decimal(bits.unwrap_or(suffix)).filter(|_| !suffix.ends_with('i'))
        }
        Unit::Seconds => match suffix {
            "us" | "µs" => Some(Ten(-6)),
            "ms" => Some(Ten(-3)),
            "s" => Some(Ten(0)),
            "min" => Some(Other(60.0)),
            "h" => Some(Other(3600.0)),
            _ => None,
        },
        Unit::Share => match suffix {
            "%" => Some(Ten(-2)),
            "" => Some(Ten(0)),
            _ => None,
        },
    }
}

fn quantity(unit: Unit, text: &str) -> Result<f64, String> {
    let digits = |c: char| c.is_ascii_digit() || "+-.".contains(c);
    let end = text.find(|c| !digits(c)).unwrap_or(text.len());
    let (digits, suffix) = text.split_at(end);
    let number: f64 = digits.parse().map_err(|_| format!("`{text}` is not a number"))?;
    let units = match unit {
        Unit::Count => "k, M, G, or no unit",
        Unit::Bytes => "B, kB, MB, GB, KiB, MiB, GiB",
        Unit::BitRate => "bit/s, kbit/s, Mbit/s, Gbit/s",
        Unit::Seconds => "us, ms, s, min, h",
        Unit::Share => "%, or no unit for a share of 1",
    };
    match factor(unit, suffix) {
        Some(Factor::Ten(exponent)) => {
            format!("{digits}e{exponent}").parse().map_err(|_| format!("`{text}` is not a number"))
        }
        Some(Factor::Other(factor)) => Ok(number * factor),
        None => Err(format!("`{text}` needs one of the units {units}")),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn line() -> Line {
        Line {
            conn_id: 7,
            octets_acked: Some(5_000_000),
            duration_s: Some(2.0),
            smoothed_rtt_us: Some(50_000),
            remote_address: Some("192.0.2.9".to_owned()),
            comm: Some("iperf3".to_owned()),
            why: crate::output::tables::Figures {
                retransmitted_share: Some(0.015),
                ..Default::default()
            },
            ..Line::default()
        }
    }

    /// A value that is exactly the bound compares as equal.
    #[test]
    fn bounds_are_met_exactly() {
        for ms in 1..1000 {
            let line = Line { smoothed_rtt_us: Some(ms * 1000), ..Line::default() };
            let condition: Condition = format!("rtt = {ms}ms").parse().unwrap();
            assert!(condition.matches(&line), "{ms} ms");
        }
        for percent in 1..100 {
            let mut line = Line::default();
            line.why.retransmitted_share = format!("0.{percent:02}").parse().ok();
            let condition: Condition = format!("retransmitted >= {percent}%").parse().unwrap();
            assert!(condition.matches(&line), "{percent} %");
        }
        let line = Line { octets_acked: Some(8_200_000), ..Line::default() };
        assert!("acked <= 8.2MB".parse::<Condition>().unwrap().matches(&line));
    }

    fn matches(condition: &str) -> bool {
        condition
            .parse::<Condition>()
            .unwrap_or_else(|e| panic!("{condition}: {e}"))
            .matches(&line())
    }

    #[test]
    fn comparisons_with_units() {
        for yes in [
            "id = 7",
            "retransmitted > 1%",
            "retransmitted > 1 % and rtt >= 50 ms",
            "rtt=50ms",
            "rtt >= 0.05s",
            "acked > 4.9MB",
            "acked < 5MiB",
            "goodput = 20Mbit/s",
            "goodput>19.9M",
            "process = iperf3 and remote ~ 192.0",
            "process = 'iperf3'",
            "not (process = ssh or id > 7)",
            "id = 1 or id = 7 and rtt < 1s",
            "NOT id = 1 AND id != 2",
        ] {
            assert!(matches(yes), "{yes}");
        }
        for no in ["id < 7", "rtt > 50ms", "process = iperf", "(id = 1 or id = 7) and rtt > 1s"] {
            assert!(!matches(no), "{no}");
        }
    }

    #[test]
    fn unknown_values_match_neither_a_condition_nor_its_negation() {
        for unknown in ["min_rtt > 0s", "not min_rtt > 0s", "min_rtt > 0s and id = 7"] {
            assert!(!matches(unknown), "{unknown}");
        }
        // A condition that is decided without it stays decided.
        assert!(matches("min_rtt > 0s or id = 7"));
        assert!(matches("not (min_rtt > 0s and id = 1)"));
    }

    #[test]
    fn an_unreadable_condition_is_an_error_with_its_cause() {
        for (wrong, part) in [
            ("", "a comparison is missing"),
            ("speed > 1", "there is no `speed`; there are id, connections, bytes"),
            ("rtt 5", "`rtt` needs one of <"),
            ("rtt > 5", "`rtt`: `5` needs one of the units us, ms"),
            ("rtt > fast", "`fast` is not a number"),
            ("rtt is 3", "needs null or not null"),
            ("rtt >", "`rtt` has no value"),
            ("rtt ~ 5ms", "`~` is for texts"),
            ("(id = 1", "a parenthesis is not closed"),
            ("id = 1 id = 2", "`id` is not expected there"),
            ("process = 'x", "the quote ' has no end"),
            ("id = 1 and", "a comparison is missing"),
            ("retransmitted > 1ms", "needs one of the units %"),
        ] {
            let error = wrong.parse::<Condition>().expect_err(wrong);
            assert!(error.contains(part), "{wrong}: {error}");
        }
        let deep = format!("{}id = 1", "not ".repeat(1000));
        assert!(deep.parse::<Condition>().is_err());
    }
}
