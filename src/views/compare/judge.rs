// SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause
//! The verdict on a pair of values: by the relation of the schema, the quality of our value, and the
//! times at which both were read.

use std::collections::BTreeSet;

use serde::Serialize;

use super::followed::Followed;
use super::relation::{self, Missing, Ours};
use super::{Connection, Values};
use crate::engine::identity::CloseReason;
use crate::log::Manifest;
use crate::schema::counting::Recount;
use crate::schema::reference::{CLEARED, CLEARED_FOR_CERTAIN, Relation, When, fault};
use crate::schema::{Quality, Reference, Var};
use crate::views::manual::relation_text;

/// How two values stand to each other.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize)]
#[serde(rename_all = "snake_case")]
pub enum Class {
    /// Equal by the relation, with nothing lost.
    Exact,
    /// Equal but for the rounding of the reference's unit.
    UnitRounded,
    /// Within a stated bound.
    Bounded,
    /// A known fault of the reference explains it.
    KnownFault,
    /// Nothing follows.
    NotComparable,
    /// Different, and nothing explains it.
    Differs,
}

impl Class {
    /// The word in the report and in JSON.
    pub const fn name(self) -> &'static str {
        match self {
            Self::Exact => "exact",
            Self::UnitRounded => "unit_rounded",
            Self::Bounded => "bounded",
            Self::KnownFault => "known_fault",
            Self::NotComparable => "not_comparable",
            Self::Differs => "differs",
        }
    }
}

/// The class and what it stands on.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct Verdict {
    /// The class.
    pub class: Class,
    /// Why; empty where it is exact.
    #[serde(skip_serializing_if = "String::is_empty")]
    pub reason: String,
    /// Name of the fault of the reference that the relation is of.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub fault: Option<&'static str>,
}

impl Verdict {
    fn new(class: Class, reason: impl Into<String>) -> Self {
        Self { class, reason: reason.into(), fault: None }
    }

    fn not_comparable(reason: impl Into<String>) -> Self {
        Self::new(Class::NotComparable, reason)
    }
}

/// How true a recording makes each variable.
#[derive(Clone, Debug)]
pub struct Coverage(Vec<Cover>);

#[derive(Clone, Debug, Default)]
struct Cover {
    quality: Option<Quality>,
    reason: Option<String>,
    /// How the programs of its recorder counted it, if not as it means.
    recount: Option<&'static Recount>,
}

impl Coverage {
    /// As the manifest of a recording has it.
    pub fn of(manifest: &Manifest) -> Self {
        let one = |var: &Var| {
            let status = manifest.variables.iter().find(|v| v.name == var.name());
            let Some(status) = status else { return Cover::default() };
            let recount = manifest.recount(*var);
            Cover {
                quality: Quality::by_name(&status.quality),
                reason: status.reason.clone(),
                // Where it is approximate for another reason, the relation does not hold either.
                recount: recount.filter(|r| status.reason.as_deref() == Some(r.wrong)),
            }
        };
        Self(Var::ALL.iter().map(one).collect())
    }

    /// The least true of the variables, if that is less than exact: its name, its quality, and why.
    fn doubt(&self, vars: impl Iterator<Item = Var>) -> Option<(Var, Doubt, &str)> {
        vars.filter_map(|var| {
            let Cover { quality, reason, .. } = &self.0[var.index()];
            let reason = reason.as_deref().unwrap_or("the manifest does not have the reason");
            match quality {
                Some(Quality::Exact | Quality::Constant) => None,
                Some(Quality::Sampled) => Some((var, Doubt::Sampled, reason)),
                Some(Quality::Approximate) => Some((var, Doubt::Approximate, reason)),
                // It still has a value: replay found it in a log whose manifest promised none.
                Some(Quality::Missing) | None => {
                    Some((var, Doubt::Sampled, "the manifest does not promise it"))
                }
            }
        })
        .max_by_key(|(_, doubt, _)| *doubt)
    }

    fn why_unknown(&self, var: Var) -> &str {
        let Cover { quality, reason, .. } = &self.0[var.index()];
        match (quality, reason) {
            (Some(Quality::Missing), Some(reason)) => reason,
            (Some(Quality::Missing), None) => "the recording cannot have it",
            _ => "the recording does not have it",
        }
    }
}

/// How a value can be less than exact.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
enum Doubt {
    Sampled,
    Approximate,
}

/// The two rows of one connection.
#[derive(Clone, Copy, Debug)]
pub struct Pair<'a> {
    /// Our values.
    pub ours: &'a Values,
    /// The facts followed through the log beside them.
    pub followed: &'a Followed,
    /// The reference's.
    pub reference: &'a Values,
    /// When it was read, microseconds since the epoch.
    pub read_us: Option<u64>,
    /// Ours around the reading, if the connection lived then.
    pub around: Option<Around<'a>>,
    /// How true ours are.
    pub coverage: &'a Coverage,
    /// How the connection ended, if it was over at the reading.
    pub close: Option<CloseReason>,
    /// Its congestion control algorithms, as far as they are known.
    pub algorithms: &'a BTreeSet<String>,
    /// Why our row may lack something, if it may.
    pub incomplete: Option<&'a str>,
}

/// Values of ours around the time at which the reference was read.
#[derive(Clone, Copy, Debug)]
pub struct Around<'a> {
    /// Somewhat before.
    pub before: &'a Values,
    /// The values of the first record after it.
    pub next: &'a Values,
    /// Somewhat after.
    pub after: &'a Values,
}

impl<'a> Pair<'a> {
    /// A connection with its row of the reference, at the reading if it lived then.
    pub(super) fn of(
        ours: &'a Connection,
        moment: Option<&'a super::ours::FollowedMoment>,
        row: &'a super::DumpRow,
        coverage: &'a Coverage,
        incomplete: Option<&'a str>,
    ) -> Self {
        Self {
            ours: moment.map_or(&ours.values, |m| &m.at),
            followed: moment.map_or(&ours.followed, |m| &m.followed),
            reference: &row.values,
            read_us: row.read_us,
            around: moment.map(|m| Around { before: &m.before, next: &m.next, after: &m.after }),
            coverage,
            close: ours.close.filter(|_| moment.is_none()),
            algorithms: &ours.algorithms,
            incomplete,
        }
    }

    const fn mine(&self) -> Ours<'a> {
        Ours { values: self.ours, followed: self.followed, read_us: self.read_us }
    }

    fn holds(&self, relation: &Relation, var: Var) -> Result<bool, Missing> {
        relation::holds(relation, var, self.mine(), self.reference)
    }

    /// By our own record we ended it.
    fn is_reset_by_us(&self) -> bool {
        matches!(
            self.close,
            Some(CloseReason::ResetSent | CloseReason::Abandoned | CloseReason::Aborted)
        )
    }

    /// Whether the reference was read from a socket that tcp_disconnect() had cleared: by our own
    /// record the connection was over, however it ended (a socket may be closed with SO_LINGER 0, or
    /// connected to AF_UNSPEC, after the peer ended it), and what no socket with a connection has
    /// is there.
    fn is_cleared(&self) -> bool {
        let mut certain = CLEARED.iter().filter(|(var, _)| CLEARED_FOR_CERTAIN.contains(var));
        self.close.is_some()
            && certain.all(|(var, relation)| self.holds(relation, *var) == Ok(true))
    }

    /// How it was counted, if that was not as the variable means.
    fn recount(&self, var: Var) -> Option<&'static Recount> {
        let recount = self.coverage.0[var.index()].recount?;
        let named = |name: &String| recount.unless.contains(&name.as_str());
        let by_name = !self.algorithms.is_empty() && self.algorithms.iter().all(named);
        let all = |whens: &&[When]| whens.iter().all(|when| holds(when, self) == Ok(true));
        let right = by_name || recount.right.iter().any(all);
        (!right).then_some(recount)
    }
}

/// The relation to check, and the verdict if it holds.
struct Claim {
    relation: Relation,
    class: Class,
    why: &'static str,
    fault: Option<&'static str>,
    /// It is of what earlier programs counted.
    recounted: bool,
}

/// Decides on one variable.
pub fn judge(var: Var, pair: &Pair<'_>) -> Verdict {
    let verdict = at_once(var, pair);
    if verdict.class != Class::Differs {
        return verdict;
    }
    if let Some(around) = pair.around
        && let Some(then) = while_it_was_read(var, pair, around)
    {
        return then;
    }
    match pair.incomplete {
        Some(incomplete) => Verdict::not_comparable(incomplete),
        None => verdict,
    }
}

/// Compares with our values around the reading, if those at its moment differ: the effect of the last
/// segment before the reading is in the record after it, and the reading takes time.
fn while_it_was_read(var: Var, pair: &Pair<'_>, around: Around<'_>) -> Option<Verdict> {
    for (values, when) in [
        (around.next, "by the next record after the reading"),
        (around.after, "100 ms after the reading"),
        (around.before, "100 ms before the reading"),
    ] {
        let then = at_once(var, &Pair { ours: values, around: None, ..*pair });
        if matches!(
            then.class,
            Class::Exact | Class::UnitRounded | Class::Bounded | Class::KnownFault
        ) {
            let reason = if then.reason.is_empty() { "equal" } else { &then.reason };
            let fault = then.fault;
            let verdict = Verdict::new(Class::Bounded, format!("{reason}, {when}"));
            return Some(Verdict { fault, ..verdict });
        }
    }
    while_it_moved(var, pair, around)
}

/// The value, or one that its relation takes, changed around the reading. If it never falls, the
/// reference's value lies between ours.
fn while_it_moved(var: Var, pair: &Pair<'_>, around: Around<'_>) -> Option<Verdict> {
    let claim = resolve_for(var, pair).ok()?.ok()?;
    let inputs = std::iter::once(var).chain(relation::inputs(&claim.relation));
    let last = [around.next, around.after];
    let moved = |var: &Var| last.iter().any(|to| around.before.get(*var) != to.get(*var));
    let moved: Vec<_> = inputs.filter(moved).collect();
    let first = moved.first()?;
    let theirs = pair.reference.get(var)?;
    for to in last {
        if let Some(ends) = relation::grown(&claim.relation, var, around.before, to) {
            if relation::lies(theirs, ends, claim.relation.bits) {
                let (Some(least), Some(most)) = ends else { continue };
                return Some(Verdict::new(
                    Class::Bounded,
                    format!("it grew while the reference was read: from {least} to {most}"),
                ));
            }
        } else {
            return Some(Verdict::not_comparable(format!(
                "{} changed while the reference was read",
                first.name()
            )));
        }
    }
    None
}

/// Decides by one row of ours.
fn at_once(var: Var, pair: &Pair<'_>) -> Verdict {
    if let Reference::NotComparable(why) = var.def().reference {
        return Verdict::not_comparable(why);
    }
    let Some(theirs) = pair.reference.get(var) else {
        return Verdict::not_comparable("the reference's file does not have it");
    };
    let Some(ours) = pair.ours.get(var) else {
        return Verdict::not_comparable(format!("NULL here: {}", pair.coverage.why_unknown(var)));
    };
    match resolve_for(var, pair) {
        Ok(Ok(claim)) => decide(var, ours, theirs, &claim, pair),
        Ok(Err(why)) => Verdict::not_comparable(why),
        Err(missing) => Verdict::not_comparable(needs(missing)),
    }
}

/// The relation to check for the variable: that of its stanza, unless the socket was cleared, or our
/// programs counted the variable wrongly.
fn resolve_for(var: Var, pair: &Pair<'_>) -> Result<Result<Claim, &'static str>, Missing> {
    if let Some((_, relation)) =
        CLEARED.iter().find(|(v, _)| *v == var).filter(|_| pair.is_cleared())
    {
        let claim = Claim {
            relation: *relation,
            class: Class::KnownFault,
            why: fault::CLEARED,
            fault: Some(fault::CLEARED),
            recounted: false,
        };
        return Ok(Ok(claim));
    }
    match pair.recount(var) {
        Some(recount) => resolve(&recount.reference, pair)
            .map(|claim| claim.map(|claim| Claim { recounted: true, ..claim })),
        None => resolve(&var.def().reference, pair),
    }
}

/// The claim whose conditions hold; or why there is none.
fn resolve(reference: &Reference, pair: &Pair<'_>) -> Result<Result<Claim, &'static str>, Missing> {
    Ok(Ok(match *reference {
        Reference::Is(relation) => {
            let class =
                if relation::same_unit(&relation) { Class::Exact } else { Class::UnitRounded };
            Claim { relation, class, why: "", fault: None, recounted: false }
        }
        Reference::Bounded { relation, why } => {
            Claim { relation, class: Class::Bounded, why, fault: None, recounted: false }
        }
        Reference::Fault { name, relation } => Claim {
            relation,
            class: Class::KnownFault,
            why: name,
            fault: Some(name),
            recounted: false,
        },
        Reference::NotComparable(why) => return Ok(Err(why)),
        Reference::Cases(cases) => {
            for case in cases {
                let mut applies = true;
                for when in case.when {
                    applies &= holds(when, pair)?;
                }
                if applies {
                    return resolve(&case.then, pair);
                }
            }
            return Ok(Err("no relation is known for this case"));
        }
    }))
}

fn holds(when: &When, pair: &Pair<'_>) -> Result<bool, Missing> {
    let ours = |var| pair.ours.get(var).ok_or(Missing::Ours(var));
    Ok(match *when {
        When::Value(var, value) => ours(var)? == i128::from(value),
        When::Agrees(var) => {
            ours(var)? == pair.reference.get(var).ok_or(Missing::Reference(var))?
        }
        When::More(var, more) => {
            let theirs = pair.reference.get(var).ok_or(Missing::Reference(var))?;
            theirs == ours(var)? + i128::from(more)
        }
        When::ResetByUs => pair.is_reset_by_us(),
    })
}

fn needs(missing: Missing) -> String {
    match missing {
        Missing::Ours(var) => format!("it takes {}, which is NULL here", var.name()),
        Missing::Reference(var) => {
            format!("it takes {}, which the reference's file does not have", var.name())
        }
    }
}

fn decide(var: Var, ours: i128, theirs: i128, claim: &Claim, pair: &Pair<'_>) -> Verdict {
    let relation = &claim.relation;
    // Equal is equal: a bound is not used up, and a fault is perhaps mended. What is not counted as it
    // means is equal by chance. Nothing is nothing in any unit.
    let same = ours == theirs && (ours == 0 || relation::same_unit(relation));
    let equal = same && !claim.recounted;
    let broken = relation::broken_end(relation, var, pair.mine(), pair.reference);
    let (inputs, held) = match broken {
        _ if equal => (Vec::new(), Ok(true)),
        Some(inputs) => (inputs, Ok(false)),
        None => (relation::inputs(relation).collect(), pair.holds(relation, var)),
    };
    let held = match held {
        Ok(held) => held,
        Err(missing) => return Verdict::not_comparable(needs(missing)),
    };
    // A relation of what was counted allows for how it was counted.
    let vars = std::iter::once(var).chain(inputs.iter().copied());
    let doubted =
        vars.filter(|&v| pair.coverage.0[v.index()].recount.is_none() || doubts(v, claim, pair));
    let text = relation_text(var.name(), relation);
    match pair.coverage.doubt(doubted) {
        Some((of, Doubt::Approximate, why)) => {
            return Verdict::not_comparable(doubt_text("approximate", var, of, why));
        }
        Some((of, Doubt::Sampled, why)) => {
            let class = if held { Class::Bounded } else { Class::NotComparable };
            let fault = claim.fault.filter(|_| held && !equal);
            return Verdict { fault, ..Verdict::new(class, doubt_text("sampled", var, of, why)) };
        }
        None => {}
    }
    if held {
        let exact = equal || (claim.class == Class::UnitRounded && ours == theirs * 1000);
        if exact || claim.class == Class::Exact {
            return Verdict::new(Class::Exact, "");
        }
        let reason = match claim.class {
            Class::UnitRounded => text,
            Class::Bounded | Class::KnownFault => format!("{}; {text}", claim.why),
            Class::Exact | Class::NotComparable | Class::Differs => claim.why.to_owned(),
        };
        return Verdict { fault: claim.fault, ..Verdict::new(claim.class, reason) };
    }
    Verdict { fault: claim.fault, ..Verdict::new(Class::Differs, format!("expected {text}")) }
}

/// Whether a variable that earlier programs counted otherwise is a doubt for this claim: one that is not
/// of what they counted takes it for what it means.
fn doubts(var: Var, claim: &Claim, pair: &Pair<'_>) -> bool {
    !claim.recounted && pair.recount(var).is_some()
}

fn doubt_text(quality: &str, var: Var, of: Var, why: &str) -> String {
    if of == var {
        format!("{quality} here: {why}")
    } else {
        format!("{} is {quality} here: {why}", of.name())
    }
}

#[cfg(test)]
mod tests;
