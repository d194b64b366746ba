// SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause
//! The relation of a Web10G kernel's value to ours, in words.

use std::fmt::Write as _;

use crate::schema::reference::{Case, How, Linear, Relation, Signal, When};
use crate::schema::{Reference, Type, Var};

/// The relation of a variable, for its documentation: "there" is the Web10G kernel.
pub fn reference_text(var: Var) -> String {
    text(var, &var.def().reference)
}

fn text(var: Var, reference: &Reference) -> String {
    match reference {
        Reference::Is(relation) => relation_text(var.name(), relation),
        Reference::Bounded { relation, why } => {
            format!("{}: {why}", relation_text(var.name(), relation))
        }
        Reference::Fault { name, relation } => {
            format!("{} (fault there: {name})", relation_text(var.name(), relation))
        }
        Reference::NotComparable(why) => format!("not comparable: {why}"),
        Reference::Cases(cases) => {
            let texts: Vec<_> = cases.iter().map(|case| case_text(var, case)).collect();
            texts.join("; ")
        }
    }
}

fn case_text(var: Var, case: &Case) -> String {
    let then = text(var, &case.then);
    let conditions: Vec<_> = case.when.iter().map(when_text).collect();
    if conditions.is_empty() {
        format!("otherwise {then}")
    } else {
        format!("where {}: {then}", conditions.join(" and "))
    }
}

fn when_text(when: &When) -> String {
    match *when {
        When::Agrees(var) => format!("{} agrees", var.name()),
        When::More(var, more) => format!("{0} there = {0} + {more}", var.name()),
        When::ResetByUs => "we reset the connection".to_owned(),
        When::Value(var, value) => {
            let named = match var.def().ty {
                Type::Enum(codes) => {
                    codes.iter().find(|(code, _)| i64::try_from(*code) == Ok(value)).map(|c| c.1)
                }
                Type::Truth if value == 1 => Some("true"),
                Type::Truth => Some("false"),
                Type::U8
                | Type::U16
                | Type::U32
                | Type::U64
                | Type::I32
                | Type::Address
                | Type::MonotonicNs
                | Type::WallUs => None,
            };
            let value = named.map_or_else(|| value.to_string(), str::to_owned);
            format!("{} is {value}", var.name())
        }
    }
}

/// The text of a relation to the variable of that name there.
pub fn relation_text(name: &str, relation: &Relation) -> String {
    if let How::All(relations) = relation.how {
        let texts: Vec<_> = relations.iter().map(|r| relation_text(name, r)).collect();
        return texts.join(" and ");
    }
    let of = if relation.of.is_empty() { name.to_owned() } else { terms(0, relation.of.to_vec()) };
    let mut out = if relation.of.is_empty() { String::new() } else { format!("{of} there ") };
    let shifted = |l: &Linear| {
        let mut all = relation.of.to_vec();
        if all.is_empty()
            && let Some(var) = Var::by_name(name)
        {
            all.push((1, var));
        }
        all.extend_from_slice(l.of);
        terms(l.constant, all)
    };
    out += &match relation.how {
        How::Same => format!("= {of}"),
        How::FlooredToMs => format!("= {of} / 1000, rounded down"),
        How::SumOfFloors { sum, count } => {
            format!("= {} / 1000, each of {} samples rounded down", sum.name(), count.name())
        }
        How::Is(l) => format!("= {}", terms(l.constant, l.of.to_vec())),
        How::Between { least: Some(least), most: Some(most) } => {
            format!("from {} to {}", shifted(&least), shifted(&most))
        }
        How::Between { least: Some(least), most: None } => format!(">= {}", shifted(&least)),
        How::Between { least: None, most: Some(most) } => format!("<= {}", shifted(&most)),
        How::Between { least: None, most: None } => "any".to_owned(),
        How::Within { least, most } => {
            let end = |l: Option<Linear>| {
                l.map_or_else(|| "any".to_owned(), |l| terms(l.constant, l.of.to_vec()))
            };
            format!("from {} to {}", end(least), end(most))
        }
        How::SameOr(other) => format!("= {of} or {other}"),
        How::SumOfTerms { count, unit, least, most } => {
            let term = |l: Linear| {
                let sum = terms(l.constant, l.of.to_vec());
                if unit == 1 || sum == "0" { sum } else { format!("({sum}) / {unit}") }
            };
            format!(
                "a sum of {} terms there, each from {} to {}",
                count.name(),
                term(least),
                term(most)
            )
        }
        How::SumOverSignals(signal) => {
            let what = match signal {
                Signal::Window => "CurCwnd",
                Signal::RoundTrip => "SampleRTT / 1000, rounded down,",
            };
            format!(
                "the sum of {what} at each timeout and at FastRetran recoveries (the reference's number), those that an ACK began"
            )
        }
        How::NotBeforeReceived(slack) => {
            format!(">= the time of the last segment received - {slack}")
        }
        How::BeforeReading(slack) => format!("<= the time of the reading + {slack}"),
        How::All(_) => String::new(),
        How::MicrosecondsAsJiffies => {
            format!("= {of} * 1000000 / HZ (100, 250 or 1000), in 32 bits")
        }
    };
    if relation.bits < 64 {
        let _ = write!(out, " (modulo 2^{})", relation.bits);
    }
    out
}

/// A sum in which each variable comes once.
fn terms(constant: i64, of: Vec<(i64, Var)>) -> String {
    let mut sums: Vec<(i64, Var)> = Vec::new();
    for (factor, var) in of {
        match sums.iter_mut().find(|(_, v)| *v == var) {
            Some((sum, _)) => *sum += factor,
            None => sums.push((factor, var)),
        }
    }
    let mut out = String::new();
    let mut add = |negative: bool, text: String| {
        match (out.is_empty(), negative) {
            (true, false) => {}
            (true, true) => out.push('-'),
            (false, false) => out.push_str(" + "),
            (false, true) => out.push_str(" - "),
        }
        out.push_str(&text);
    };
    for (factor, var) in sums.into_iter().filter(|(factor, _)| *factor != 0) {
        let text = match factor.unsigned_abs() {
            1 => var.name().to_owned(),
            n => format!("{n} * {}", var.name()),
        };
        add(factor < 0, text);
    }
    if constant != 0 {
        add(constant < 0, constant.unsigned_abs().to_string());
    }
    if out.is_empty() { "0".to_owned() } else { out }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn relations_in_words() {
        for (var, expected) in [
            (Var::SegsIn, "= SegsIn"),
            (Var::MinRTT, "= MinRTT / 1000, rounded down"),
            (
                Var::ECESent,
                "= CERcvd - ECESent (fault there: marks that arrive while ECE is already being \
                 sent are counted)",
            ),
            (
                Var::Timeouts,
                "Timeouts + SubsequentTimeouts there = Timeouts + SubsequentTimeouts (fault \
                 there: timeouts are classified after the back-off)",
            ),
            (Var::ConnectIndex, "not comparable: each numbers connections by itself"),
        ] {
            assert_eq!(reference_text(var), expected);
        }
        let signals = reference_text(Var::CongSignals);
        assert!(
            signals.starts_with(
                "where ECNsignals is 0 and SendStall is 0: CongSignals - FastRetran there = Timeouts + \
                 SubsequentTimeouts and CongSignals - FastRetran there <= CongSignals - FastRetran \
                 (fault there: "
            ),
            "{signals}"
        );
        let mss = reference_text(Var::MSSRcvd);
        assert!(mss.starts_with("where ActiveOpen is true: = 0 (fault"), "{mss}");
        assert!(mss.contains("; otherwise <= MSSRcvd: "), "{mss}");
    }

    #[test]
    fn every_variable_that_web10g_exports_has_a_relation() {
        let none = |v: &&Var| matches!(v.def().reference, Reference::NotComparable(_));
        // KIS 0.13 exports 124; connections are matched by the addresses and number themselves.
        assert_eq!(Var::COUNT - Var::ALL.iter().filter(none).count(), 124);
    }

    #[test]
    fn every_case_ends_in_one_that_always_applies() {
        for var in Var::ALL {
            if let Reference::Cases(cases) = var.def().reference {
                let last = cases.last().expect("a case");
                assert!(last.when.is_empty(), "{}", var.name());
            }
        }
    }
}
