//! What follows from a pair of values: the relation of the schema, how true our value is, and when
//! both were read.

use serde::Serialize;

use super::Values;
use super::relation::{self, Missing};
use crate::log::Manifest;
use crate::manual::relation_text;
use crate::schema::reference::{Relation, When};
use crate::schema::{Quality, Reference, Var};

/// How two values stand to each other.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize)]
#[serde(rename_all = "snake_case")]
pub enum Class {
    /// Equal, as the relation says, with nothing lost.
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
pub struct Coverage(Vec<(Option<Quality>, Option<String>)>);

impl Coverage {
    /// As the manifest of a recording has it.
    pub fn of(manifest: &Manifest) -> Self {
        let one = |var: &Var| {
            let status = manifest.variables.iter().find(|v| v.name == var.name());
            status.map_or((None, None), |s| (Quality::by_name(&s.quality), s.reason.clone()))
        };
        Self(Var::ALL.iter().map(one).collect())
    }

    /// The least true of the variables, if that is less than exact: its name, its quality, and why.
    fn doubt(&self, vars: impl Iterator<Item = Var>) -> Option<(Var, Doubt, &str)> {
        vars.filter_map(|var| {
            let (quality, reason) = &self.0[var.index()];
            let reason = reason.as_deref().unwrap_or("the manifest does not say why");
            match quality {
                Some(Quality::Exact | Quality::Constant) => None,
                Some(Quality::Sampled) => Some((var, Doubt::Sampled, reason)),
                Some(Quality::Approximate) => Some((var, Doubt::Approximate, reason)),
                // It has a value all the same: replay found it in a log that promised none.
                Some(Quality::Missing) | None => {
                    Some((var, Doubt::Sampled, "the manifest does not promise it"))
                }
            }
        })
        .max_by_key(|(_, doubt, _)| *doubt)
    }

    fn why_unknown(&self, var: Var) -> &str {
        match &self.0[var.index()] {
            (Some(Quality::Missing), Some(reason)) => reason,
            (Some(Quality::Missing), None) => "the recording cannot have it",
            _ => "nothing in the recording says it",
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
    /// The reference's.
    pub reference: &'a Values,
    /// Ours somewhat before and after the reference was read, if the connection lived then.
    pub around: Option<(&'a Values, &'a Values)>,
    /// How true ours are.
    pub coverage: &'a Coverage,
    /// Why our row may lack something, if it may.
    pub incomplete: Option<&'a str>,
}

/// What is to hold, and what it is called if it does.
struct Claim {
    relation: Relation,
    class: Class,
    why: &'static str,
    fault: Option<&'static str>,
}

/// Decides on one variable.
pub fn judge(var: Var, pair: &Pair<'_>) -> Verdict {
    let reference = &var.def().reference;
    if let Reference::NotComparable(why) = reference {
        return Verdict::not_comparable(*why);
    }
    let Some(theirs) = pair.reference.get(var) else {
        return Verdict::not_comparable("the reference's file does not have it");
    };
    let Some(ours) = pair.ours.get(var) else {
        return Verdict::not_comparable(format!("NULL here: {}", pair.coverage.why_unknown(var)));
    };
    match resolve(reference, pair) {
        Ok(Ok(claim)) => decide(var, ours, theirs, &claim, pair),
        Ok(Err(why)) => Verdict::not_comparable(why),
        Err(missing) => Verdict::not_comparable(needs(missing)),
    }
}

/// The claim whose conditions hold; or why there is none.
fn resolve(reference: &Reference, pair: &Pair<'_>) -> Result<Result<Claim, &'static str>, Missing> {
    Ok(Ok(match *reference {
        Reference::Is(relation) => {
            let class =
                if relation::same_unit(&relation) { Class::Exact } else { Class::UnitRounded };
            Claim { relation, class, why: "", fault: None }
        }
        Reference::Bounded { relation, why } => {
            Claim { relation, class: Class::Bounded, why, fault: None }
        }
        Reference::Fault { name, relation } => {
            Claim { relation, class: Class::KnownFault, why: name, fault: Some(name) }
        }
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
    // Equal is equal: a bound is not used up, and a fault is perhaps mended.
    let equal = relation::same_unit(relation) && ours == theirs;
    let broken = relation::broken_end(relation, var, pair.ours, pair.reference);
    let (inputs, held) = match broken {
        _ if equal => (Vec::new(), Ok(true)),
        Some(inputs) => (inputs, Ok(false)),
        None => (
            relation::inputs(relation).collect(),
            relation::holds(relation, var, pair.ours, pair.reference),
        ),
    };
    let held = match held {
        Ok(held) => held,
        Err(missing) => return Verdict::not_comparable(needs(missing)),
    };
    let vars = || std::iter::once(var).chain(inputs.iter().copied());
    let text = relation_text(var.name(), relation);
    match pair.coverage.doubt(vars()) {
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
    if let Some(moved) = moved(vars(), pair) {
        return Verdict::not_comparable(format!(
            "{} changed while the reference was read",
            moved.name()
        ));
    }
    if let Some(incomplete) = pair.incomplete {
        return Verdict::not_comparable(incomplete);
    }
    Verdict { fault: claim.fault, ..Verdict::new(Class::Differs, format!("expected {text}")) }
}

fn doubt_text(quality: &str, var: Var, of: Var, why: &str) -> String {
    if of == var {
        format!("{quality} here: {why}")
    } else {
        format!("{} is {quality} here: {why}", of.name())
    }
}

/// The first variable that changed around the time at which the reference was read.
fn moved(mut vars: impl Iterator<Item = Var>, pair: &Pair<'_>) -> Option<Var> {
    let (before, after) = pair.around?;
    vars.find(|&var| before.get(var) != after.get(var))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::log::VariableStatus;

    fn coverage(quality: &str) -> Coverage {
        let status = |var: &Var| VariableStatus {
            name: var.name().into(),
            quality: quality.into(),
            reason: Some("because".into()),
        };
        Coverage::of(&Manifest {
            variables: Var::ALL.iter().map(status).collect(),
            ..Manifest::default()
        })
    }

    fn values(values: &[(Var, i128)]) -> Values {
        values.iter().copied().collect()
    }

    fn exact(var: Var, ours: &[(Var, i128)], reference: &[(Var, i128)]) -> Verdict {
        judge_with(var, ours, reference, &coverage("exact"), None)
    }

    fn judge_with(
        var: Var,
        ours: &[(Var, i128)],
        reference: &[(Var, i128)],
        coverage: &Coverage,
        incomplete: Option<&str>,
    ) -> Verdict {
        let (ours, reference) = (values(ours), values(reference));
        let pair = Pair { ours: &ours, reference: &reference, around: None, coverage, incomplete };
        judge(var, &pair)
    }

    #[test]
    fn classes() {
        use Var::*;
        type Side = &'static [(Var, i128)];
        let cases: [(Class, Var, Side, Side); 12] = [
            (Class::Exact, SegsIn, &[(SegsIn, 7)], &[(SegsIn, 7)]),
            (Class::Differs, SegsIn, &[(SegsIn, 7)], &[(SegsIn, 8)]),
            (Class::UnitRounded, MinRTT, &[(MinRTT, 20_500)], &[(MinRTT, 20)]),
            (Class::Exact, CurRTO, &[(CurRTO, 235_000)], &[(CurRTO, 235)]),
            // The number is equal, the value is not.
            (Class::Differs, MinRTT, &[(MinRTT, 20_500)], &[(MinRTT, 20_500)]),
            (Class::Bounded, MaxAppWQueue, &[(MaxAppWQueue, 9)], &[(MaxAppWQueue, 0)]),
            (Class::Differs, MaxAppWQueue, &[(MaxAppWQueue, 9)], &[(MaxAppWQueue, 10)]),
            (Class::KnownFault, LimMSS, &[(LimMSS, 1460)], &[(LimMSS, (5 << 16) + 1460)]),
            (Class::KnownFault, MaxReasmQueue, &[(MaxReasmQueue, 9)], &[(MaxReasmQueue, 1 << 31)]),
            (Class::NotComparable, Limstate, &[(Limstate, 0)], &[]),
            (Class::NotComparable, SegsIn, &[], &[(SegsIn, 0)]),
            (Class::NotComparable, SegsIn, &[(SegsIn, 0)], &[]),
        ];
        for (class, var, ours, reference) in cases {
            let verdict = exact(var, ours, reference);
            assert_eq!(verdict.class, class, "{} {ours:?} {reference:?} {verdict:?}", var.name());
            assert_eq!(verdict.reason.is_empty(), class == Class::Exact, "{verdict:?}");
        }
    }

    #[test]
    fn cases_go_by_our_values() {
        use Var::*;
        let active = exact(MSSRcvd, &[(MSSRcvd, 1460), (ActiveOpen, 1)], &[(MSSRcvd, 0)]);
        assert_eq!(active.class, Class::KnownFault);
        assert!(active.fault.is_some_and(|f| f.contains("active end")));
        let passive = exact(MSSRcvd, &[(MSSRcvd, 1460), (ActiveOpen, 2)], &[(MSSRcvd, 1461)]);
        assert_eq!(passive.class, Class::Differs);
        let unknown = exact(MSSRcvd, &[(MSSRcvd, 1460)], &[(MSSRcvd, 0)]);
        assert_eq!(unknown.class, Class::NotComparable);
        assert!(unknown.reason.contains("ActiveOpen"), "{}", unknown.reason);
    }

    #[test]
    fn what_is_not_exact_here_is_never_silently_equal() {
        use Var::*;
        let judge = |quality, theirs| {
            judge_with(SegsIn, &[(SegsIn, 7)], &[(SegsIn, theirs)], &coverage(quality), None)
        };
        assert_eq!(judge("sampled", 7).class, Class::Bounded);
        assert_eq!(judge("sampled", 8).class, Class::NotComparable);
        assert_eq!(judge("approximate", 7).class, Class::NotComparable);
        assert!(judge("approximate", 7).reason.contains("because"));
        assert_eq!(judge("constant", 7).class, Class::Exact);
        let nothing = judge_with(
            SegsIn,
            &[(SegsIn, 7)],
            &[(SegsIn, 7)],
            &Coverage::of(&Manifest::default()),
            None,
        );
        assert_eq!(nothing.class, Class::Bounded, "nobody says that it is exact");
    }

    #[test]
    fn an_input_that_is_not_exact_counts_where_it_is_used() {
        use Var::*;
        let mut coverage = coverage("exact");
        coverage.0[CERcvd.index()] = (Some(Quality::Approximate), Some("guessed".into()));
        let ours = [(CERcvd, 34), (ECESent, 23)];
        let judge = |r| judge_with(ECESent, &ours, &[(ECESent, r)], &coverage, None);
        assert_eq!(judge(11).class, Class::NotComparable);
        assert!(judge(11).reason.starts_with("CERcvd is approximate"), "{}", judge(11).reason);
        assert_eq!(judge(23).class, Class::Exact, "equal without it");
    }

    #[test]
    fn a_range_is_left_on_one_side_whatever_is_not_known_of_the_other() {
        use Var::*;
        let mut coverage = coverage("exact");
        coverage.0[SendStall.index()] = (Some(Quality::Approximate), Some("guessed".into()));
        let judge = |ours: &[(Var, i128)], r| {
            judge_with(SegsRetrans, ours, &[(SegsRetrans, r)], &coverage, None).class
        };
        // From SegsRetrans - SendStall to SegsRetrans: above, SendStall does not matter.
        let ours = [(SegsRetrans, 7), (ActiveOpen, 1), (SendStall, 0)];
        assert_eq!((judge(&ours, 8), judge(&ours, 6)), (Class::Differs, Class::NotComparable));
        let unknown = &ours[..2];
        assert_eq!((judge(unknown, 8), judge(unknown, 6)), (Class::Differs, Class::NotComparable));
    }

    #[test]
    fn an_incomplete_row_explains_a_difference_but_not_equality() {
        use Var::*;
        let judge = |r| {
            judge_with(SegsIn, &[(SegsIn, 7)], &[(SegsIn, r)], &coverage("exact"), Some("lossy"))
        };
        assert_eq!(judge(7).class, Class::Exact);
        assert_eq!((judge(8).class, judge(8).reason.as_str()), (Class::NotComparable, "lossy"));
    }

    #[test]
    fn what_moves_while_the_reference_is_read_proves_nothing() {
        let (before, at) = (values(&[(Var::SegsIn, 7)]), values(&[(Var::SegsIn, 9)]));
        let reference = values(&[(Var::SegsIn, 10)]);
        let coverage = coverage("exact");
        let pair = |before| Pair {
            ours: &at,
            reference: &reference,
            around: Some((before, &at)),
            coverage: &coverage,
            incomplete: None,
        };
        assert_eq!(judge(Var::SegsIn, &pair(&before)).class, Class::NotComparable);
        assert_eq!(judge(Var::SegsIn, &pair(&at)).class, Class::Differs, "it stood still");
    }
}
