// SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause
//! The variables that a recording can have, and when each rule runs: computed once, before the first
//! record.

use super::bits::Bits;
use super::impossible;
use super::rules::{self, MakeRow, Operation, RecordEnd, RowContext, Runs};
use super::slot::{Row, Slot};
use crate::engine::limits::Basis;
use crate::schema::{Apply, Gap, Hook, Kind, Needs, Op, Read, Rule, Type, Var};

/// A derived variable with the rule that makes it.
#[derive(Clone, Copy, Debug)]
pub(super) struct Dependent {
    /// The derived variable.
    pub target: Var,
    /// How it follows.
    pub rule: Rule,
    /// Its place in `Slot::marks`, for rules that measure time.
    pub mark: usize,
}

/// Options of the replay that rules depend on.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct RuleOptions {
    /// RTT samples up to this many microseconds are normal, larger ones high; with 0 neither is
    /// counted (NormalRttm, HighRttm).
    pub latency_limit_us: u64,
}

/// Which rule runs when, and how a slot begins.
#[derive(Debug)]
pub struct Plan {
    pub(super) options: RuleOptions,
    covered: Bits,
    initial: [u64; Var::COUNT],
    initial_valid: Bits,
    masks: [u64; Var::COUNT],
    /// Rules that run at each operation on a variable, by the variable.
    on_operation: Vec<Vec<Dependent>>,
    /// Rules that run at the end of a record that has an operation on the variable.
    at_end: Vec<(Var, Dependent)>,
    at_end_sources: Bits,
    /// Rules that run when a row is made, those first that others build on.
    at_row: Vec<Dependent>,
    last_segment: Vec<Var>,
    slow: Bits,
    /// The variables that become unknown with a discarded operation on this one.
    follow: Vec<Bits>,
    /// Variables that are unknown when records are missing.
    unknown: Bits,
    /// Variables that are then lower bounds, and unknown if they are zero.
    at_least: Bits,
    /// Extremes that the recorder follows from ESTABLISHED on.
    followed: Bits,
    /// Hooks that were attached, and the variables that take each.
    attached: Vec<Hook>,
    /// Variables that the recorder's programs did not count as they mean.
    recounted: Bits,
    by_hook: Vec<(Hook, Bits)>,
    marks: usize,
}

impl Plan {
    /// The plan for a recording. `recorded` has the streamed variables that the log can have, and the
    /// derived ones that are not expressly missing.
    pub fn new(recorded: &Bits, options: RuleOptions) -> Self {
        let mut plan = Self {
            options,
            covered: Bits::default(),
            initial: [0; Var::COUNT],
            initial_valid: Bits::default(),
            masks: Var::ALL
                .iter()
                .map(|v| mask(v.def().ty))
                .collect::<Vec<_>>()
                .try_into()
                .unwrap_or([u64::MAX; Var::COUNT]),
            on_operation: vec![Vec::new(); Var::COUNT],
            at_end: Vec::new(),
            at_end_sources: Bits::default(),
            at_row: Vec::new(),
            last_segment: Vec::new(),
            slow: slow(),
            follow: Var::ALL.iter().map(|&var| follow(var)).collect(),
            unknown: Var::ALL.iter().copied().filter(|v| v.gap() == Gap::Unknown).collect(),
            at_least: Var::ALL.iter().copied().filter(|v| v.gap() == Gap::AtLeast).collect(),
            followed: Var::ALL.iter().copied().filter(|v| is_followed(*v)).collect(),
            attached: Vec::new(),
            recounted: Bits::default(),
            by_hook: Vec::new(),
            marks: 0,
        };
        for &var in Var::ALL {
            if !covers(recorded, options, var) {
                continue;
            }
            plan.covered.insert(var);
            if let Some(value) = initial(var) {
                plan.initial[var.index()] = value;
                plan.initial_valid.insert(var);
            }
            if let Apply::Derived(rule) = var.def().apply {
                plan.derive(var, rule);
            }
        }
        plan.at_row.sort_by_key(|d| Runs::of(d.rule).of_row);
        plan
    }

    /// The same for a recording that had these hooks attached: a connection of which one of them was
    /// silent against the evidence lacks the variables that come from it.
    #[must_use]
    pub fn with_hooks(mut self, attached: Vec<Hook>) -> Self {
        let takes = |var: Var, hook| var.source(&attached).is_some_and(|s| s.needs.contains(&hook));
        self.by_hook = attached
            .iter()
            .map(|&hook| (hook, Var::ALL.iter().copied().filter(|v| takes(*v, hook)).collect()))
            .collect();
        self.attached = attached;
        self
    }

    /// The same for a recording whose programs did not count these variables as they mean.
    #[must_use]
    pub fn with_recounted(mut self, vars: impl Iterator<Item = Var>) -> Self {
        self.recounted = vars.collect();
        self
    }

    /// The hooks that were attached; none if the recording does not state them, or has packets only.
    pub fn attached(&self) -> &[Hook] {
        &self.attached
    }

    fn derive(&mut self, target: Var, rule: Rule) {
        let dependent = Dependent { target, rule, mark: self.marks };
        let runs = Runs::of(rule);
        if runs.takes_mark {
            self.marks += 1;
        }
        if runs.at_segment {
            self.last_segment.push(target);
        }
        for source in runs.at_operation.into_iter().flatten() {
            self.on_operation[source.index()].push(dependent);
        }
        if let Some(source) = runs.at_record_end {
            self.at_end.push((source, dependent));
            self.at_end_sources.insert(source);
        }
        if runs.at_row {
            self.at_row.push(dependent);
        }
    }

    /// Whether the recording can give the variable at all; if not it is NULL in every row.
    pub fn covers(&self, var: Var) -> bool {
        self.covered.has(var)
    }

    /// Where the times of what limits a sender come from.
    pub fn basis(&self) -> Basis {
        if !self.covers(Var::Limstate) {
            Basis::Gauges
        } else if self.attached.contains(&Hook::WriteXmit) {
            Basis::Loop
        } else {
            Basis::Segment
        }
    }

    /// Whether the record with operations on these had the slow values read.
    pub(super) fn reads_slow(&self, touched: &Bits) -> bool {
        touched.meets(&self.slow)
    }

    pub(super) fn initial_values(&self) -> &[u64; Var::COUNT] {
        &self.initial
    }

    pub(super) fn initial_valid(&self) -> &Bits {
        &self.initial_valid
    }

    pub(super) fn marks(&self) -> usize {
        self.marks
    }

    /// Cuts a value to the width of the variable's type.
    pub(super) fn mask(&self, var: Var) -> u64 {
        self.masks[var.index()]
    }

    /// Applies one operation of the stream and the rules that follow it at once.
    pub(super) fn operation(&self, slot: &mut Slot, var: Var, op: Op, value: u64, ts_ns: u64) {
        let mask = self.mask(var);
        let before = slot.get(var);
        let held = before.unwrap_or(0);
        let takes_operand = match op {
            Op::Set | Op::Add | Op::Max | Op::Min => true,
            Op::Inc | Op::Dec | Op::Missed | Op::Void => false,
        };
        // The kernel's placeholder for a missing value is a value in the log.
        if takes_operand && !var.can_be(value) && var.def().unset != Some(value) {
            slot.discard(var, &self.follow[var.index()]);
            return;
        }
        let after = match var.def().apply {
            Apply::Stream(_) => match op {
                Op::Set => value & mask,
                Op::Add => held.wrapping_add(value) & mask,
                Op::Inc => held.wrapping_add(1) & mask,
                Op::Dec => held.wrapping_sub(1),
                Op::Max => before.map_or(value, |old| old.max(value)),
                Op::Min => before.map_or(value, |old| old.min(value)),
                // A loss of the connection, not a value: the engine counts it.
                Op::Missed => return,
                // The engine leaves it out of every row.
                Op::Void => return slot.forget(var),
            },
            // The stream is thinned, and has the exact time of the last segment once, at the end.
            Apply::Derived(Rule::LastSegment) => held.max(value),
            // If a log has a derived value, replay computes it better.
            Apply::Derived(_) => return,
        };
        // Fewer than nothing, or more than the column holds.
        if !var.can_be(after) && var.def().unset != Some(after) {
            slot.discard(var, &self.follow[var.index()]);
            return;
        }
        if var == Var::State && rules::SYNCHRONISED.contains(&after) {
            slot.established = true;
        }
        slot.put(var, after);
        self.follow(slot, var, before, after, ts_ns);
    }

    /// Runs the rules that follow an operation on `var`.
    fn follow(&self, slot: &mut Slot, var: Var, before: Option<u64>, after: u64, ts_ns: u64) {
        for dependent in &self.on_operation[var.index()] {
            let Dependent { target, rule, mark } = *dependent;
            Operation { plan: self, slot, target, mark, source: var, before, after, ts_ns }
                .run(rule);
        }
    }

    /// Runs the rules that need the values at the end of a record; `touched` are the variables the
    /// record had operations on.
    pub(super) fn record_end(&self, slot: &mut Slot, touched: &Bits) {
        if !touched.meets(&self.at_end_sources) {
            return;
        }
        for (source, dependent) in &self.at_end {
            if touched.has(*source) {
                RecordEnd { slot, target: dependent.target }.run(dependent.rule);
            }
        }
    }

    /// A segment of the connection was sent or received.
    pub(super) fn segment(&self, slot: &mut Slot, ts_ns: u64) {
        for &target in &self.last_segment {
            slot.raise(target, ts_ns);
        }
    }

    /// A lifecycle record reports that the connection is established.
    pub(super) fn established(&self, slot: &mut Slot, ts_ns: u64) {
        slot.established = true;
        self.follow(slot, Var::State, slot.get(Var::State), rules::ESTABLISHED, ts_ns);
    }

    /// The first record of a connection that was open before has been applied: what the kernel
    /// counted until then is added to what is counted from now on.
    pub(super) fn baseline(&self, slot: &mut Slot) {
        for &var in Var::ALL {
            let Some(of) = var.before() else { continue };
            // The kernel does not have the number of octets in the reassembly queue: its span has holes.
            let before = slot.get(of).filter(|_| slot.get(Var::CurReasmQueue) == Some(0));
            let Some(before) = before else {
                slot.lose(var);
                continue;
            };
            // The peer's FIN is an octet there.
            let fin = slot.get(Var::State).is_some_and(|s| rules::PEER_FINISHED.contains(&s));
            slot.add(var, before.saturating_sub(u64::from(fin)), self.mask(var));
        }
    }

    /// The extremes that the recorder follows begin in the middle of the connection. The recorder
    /// sends one when it passes all that came before: until then it is not known.
    pub(super) fn begin_extremes(&self, slot: &mut Slot) {
        self.followed.iter().for_each(|var| slot.forget(var));
    }

    /// The values as they stand in the tables at `context.now_ns`.
    pub fn row(&self, slot: &Slot, context: &RowContext<'_>) -> Row {
        let mut row = slot.snapshot();
        for dependent in &self.at_row {
            let Dependent { target, rule, mark } = *dependent;
            let value = MakeRow { slot, row: &row, context, target, mark }.value(rule);
            row.put(target, value.map(|v| v & self.mask(target)));
        }
        row.valid = row.valid.and(&self.covered);
        self.find_unset(&mut row, slot.established);
        if context.lossy {
            row.valid = row.valid.without(&self.unknown);
            row.unset = row.unset.without(&self.unknown).without(&self.at_least);
            for var in self.at_least.and(&row.valid).iter() {
                // That nothing was seen proves nothing.
                if row.get(var) == Some(0) {
                    row.forget(var);
                }
            }
        }
        // Something may have been before, or have been missed: that none was seen proves nothing.
        if (context.lossy || context.begun_before) && row.get(Var::SoftErrorReason) == Some(0) {
            row.forget(Var::SoftErrorReason);
        }
        for hook in context.silent.hooks() {
            for (_, vars) in self.by_hook.iter().filter(|(of, _)| *of == hook) {
                row.valid = row.valid.without(vars);
                row.unset = row.unset.without(vars);
            }
        }
        for &var in Var::ALL {
            if row.get(var).is_some_and(|value| !var.can_be(value)) {
                row.discard(var);
            }
        }
        row
    }

    /// The same at the end of a connection: what the values are compared with each other. If they
    /// contradict each other, records were missed, and more may be missing.
    pub(super) fn final_row(&self, slot: &Slot, context: &mut RowContext<'_>) -> Row {
        let mut row = self.row(slot, context);
        let life_us = context.now_ns.saturating_sub(context.begin_ns).div_ceil(1_000);
        let samples: Vec<Var> = self.follow[Var::SampleRTT.index()].iter().collect();
        impossible::discard(&mut row, context.begun_before, life_us, &samples, &self.recounted);
        if context.lossy || row.discarded.is_empty() {
            return row;
        }
        context.lossy = true;
        let found = row.discarded;
        row = self.row(slot, context);
        found.iter().for_each(|var| row.discard(var));
        row
    }

    /// Finds the values of which there is none yet.
    fn find_unset(&self, row: &mut Row, established: bool) {
        for &var in Var::ALL {
            let followed = self.followed.has(var) && !established;
            let Some(raw) = var.def().unset.or(followed.then_some(0)) else { continue };
            let is_unset = match (row.get(var), var.def().apply) {
                (Some(value), Apply::Stream(_)) => value == raw || followed,
                (None, Apply::Derived(_)) => !row.lost.has(var),
                (Some(_), Apply::Derived(_)) | (None, Apply::Stream(_)) => false,
            };
            if is_unset && self.covered.has(var) {
                row.unset(var, raw);
            }
        }
        // The kernel begins with a deviation that no sample made, where the SYN was repeated.
        if row.unset.has(Var::SmoothedRTT)
            && let Some(raw) = row.get(Var::RTTVar)
        {
            row.unset(Var::RTTVar, raw);
        }
    }
}

/// The variables that become unknown if an operation on this one is impossible: those that it counts,
/// and those computed from them.
fn follow(var: Var) -> Bits {
    let mut all = Bits::default();
    if var.gap() == Gap::AtLeast || var.gap() == Gap::Unknown {
        all.insert(var);
    }
    let mut sources = vec![var];
    while let Some(source) = sources.pop() {
        for &target in Var::ALL {
            let Apply::Derived(rule) = target.def().apply else { continue };
            let of = rule.def().needs.vars().any(|v| v == source);
            // A view of another value comes and goes with it.
            if of && Runs::of(rule).keeps() && !all.has(target) {
                all.insert(target);
                sources.push(target);
            }
        }
    }
    all
}

/// Extremes of the stream: see follow_extremes() in bpf/conn.bpf.h.
fn is_followed(var: Var) -> bool {
    matches!(var.def().apply, Apply::Stream(_)) && matches!(var.def().kind, Kind::Max | Kind::Min)
}

/// Variables that are read at most once per resolution interval.
fn slow() -> Bits {
    Var::ALL.iter().copied().filter(|v| matches!(v.def().read, Read::Slow(_))).collect()
}

/// A variable is covered if the log can have it; a derived one if all that it follows from is.
fn covers(recorded: &Bits, options: RuleOptions, var: Var) -> bool {
    let Apply::Derived(rule) = var.def().apply else { return recorded.has(var) };
    let needs = rule.def().needs;
    match needs {
        // Known from the lifecycle records, whatever the hooks gave.
        Needs::Lifecycle => return true,
        // Without a limit, no sample is normal or high.
        Needs::Limit(_) if options.latency_limit_us == 0 => return false,
        Needs::Nothing | Needs::One(_) | Needs::Both(..) | Needs::Limit(_) => {}
    }
    recorded.has(var) && needs.vars().all(|v| covers(recorded, options, v))
}

/// The value before the first operation, if there is one: counters of events count from 0, and what
/// the last event was is none; extremes of the stream begin with their neutral element; gauges and
/// counters that the kernel keeps are not known.
fn initial(var: Var) -> Option<u64> {
    let def = var.def();
    match def.apply {
        Apply::Derived(rule) => rule.def().initial,
        Apply::Stream(ops) => match def.kind {
            Kind::Counter => ops.iter().any(|op| matches!(op, Op::Inc | Op::Add)).then_some(0),
            Kind::Max => Some(0),
            Kind::Min => def.unset,
            // None: its events set it.
            Kind::Gauge if var == Var::SoftErrorReason => Some(0),
            Kind::Gauge | Kind::Identity | Kind::Derived => None,
        },
    }
}

const fn mask(ty: Type) -> u64 {
    match ty {
        Type::U8 => 0xff,
        Type::U16 => 0xffff,
        Type::U32 => 0xffff_ffff,
        Type::U64 | Type::I32 | Type::Truth | Type::Enum(_) | Type::Address => u64::MAX,
        Type::MonotonicNs | Type::WallUs => u64::MAX,
    }
}
