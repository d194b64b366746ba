// SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause
//! The output tables: rows in, Arrow batches out. Pure: where the batches go is the sink's matter.
//!
//! Every table begins with `conn_id` and `recording`. Rows of final tables come in the order in which
//! connections end (ties by `conn_id`), those of the series by time (ties by `conn_id`): both are the
//! order in which replay knows them, so no table is ever held in memory.

mod audit;
mod columns;
mod connections;
mod drops;
pub(crate) mod figures;
mod flows;
mod ledger;
mod listeners;
pub(crate) mod operations;
mod rtt;
mod rtt_aggregate;
mod schema;
mod series;
mod sockets;
mod states;
mod variables;

use std::collections::BTreeMap;

use arrow::array::RecordBatch;
use arrow::datatypes::SchemaRef;
use sha2::{Digest as _, Sha256};

use crate::engine::audit::Comparison;
use crate::engine::estats::{ConnectionRows, Ended, Polled, Sample};
use crate::engine::rows::{FlowRow, Output, RttSample};
use crate::engine::rtt::aggregate::AggregateInterval;
use crate::engine::time::timeline::Timeline;
use crate::log::{CaptureStat, Manifest, VariableStatus};
use crate::schema::{Apply, Table, Var};
use crate::wire::Snapshot;

pub use columns::{Bounds, ColumnKind, ColumnSpec};
pub use figures::{FigureSource, Figures, Shares, holders, percent};

use columns::TableBuilder;

/// Rows of a batch: a multiple of 1024, since the bytes of Parquet depend on the sizes of the writes.
pub const BATCH_ROWS: usize = 8192;

/// Raised when the same log gives other values, or other bytes, in the same columns, and nothing in the schema
/// shows it: what a rule does was corrected (`src/engine/estats/rules.rs`), or the files are written otherwise.
const RULES: u32 = 10;

/// Version of the tables: of their columns with all that is stated of them, of the facts of the rules by which
/// they are filled, and of [`RULES`]. Tables with another are made again.
pub fn tables_version() -> u32 {
    let mut hash = Sha256::new();
    hash.update(RULES.to_le_bytes());
    hash.update(BATCH_ROWS.to_le_bytes());
    for var in Var::ALL {
        hash.update(format!("{:?}\n", var.def().apply));
        if let Apply::Derived(rule) = var.def().apply {
            hash.update(format!("{:?}\n", rule.def()));
        }
    }
    for spec in specs(&Qualities::default()) {
        hash.update(format!("{} {}\n", spec.name, spec.doc));
        for field in spec.schema().fields() {
            // Sorted: Arrow keeps it in a hash map.
            let metadata: BTreeMap<_, _> = field.metadata().iter().collect();
            hash.update(format!("{} {} {metadata:?}\n", field.name(), field.data_type()));
        }
    }
    let digest = hash.finalize();
    u32::from_le_bytes([digest[0], digest[1], digest[2], digest[3]])
}

/// An output table: name of its file, what a row is, and its columns.
#[derive(Clone, Debug)]
pub struct TableSpec {
    /// Name, and stem of the file.
    pub name: &'static str,
    /// Its contents, for documents and metadata.
    pub doc: &'static str,
    /// Its columns in order.
    pub columns: Vec<ColumnSpec>,
}

impl TableSpec {
    /// The Arrow schema, with unit, RFC object, meaning and quality as field metadata.
    pub fn schema(&self) -> SchemaRef {
        columns::schema(&self.columns)
    }
}

/// How well a recording covers the variables, for the columns' metadata.
#[derive(Clone, Debug, Default)]
pub struct Qualities(Vec<VariableStatus>);

impl Qualities {
    /// As the manifest of a recording has it.
    pub fn of(manifest: &Manifest) -> Self {
        Self(manifest.variables.clone())
    }

    fn get(&self, var: Var) -> Option<&VariableStatus> {
        self.0.iter().find(|status| status.name == var.name())
    }
}

/// The tables in the order of their numbers: who fills them, how many they are, and their specs.
macro_rules! tables {
    ($($id:ident, $count:expr, $specs:expr;)*) => {
        /// Tables that are filled together.
        #[derive(Clone, Copy, Debug, PartialEq, Eq)]
        enum Id {
            $($id,)*
        }

        impl Id {
            const COUNTS: &[usize] = &[$($count,)*];
            #[cfg(test)]
            const ALL: &[Self] = &[$(Self::$id,)*];
        }

        /// All output tables, in the order in which [`Tables`] numbers them.
        pub fn specs(qualities: &Qualities) -> Vec<TableSpec> {
            let groups: &[fn(&Qualities) -> Vec<TableSpec>] = &[$($specs,)*];
            groups.iter().flat_map(|specs| specs(qualities)).collect()
        }
    };
}

tables! {
    Connections, 1, |_| vec![connections::spec()];
    Variables, 1 + Table::ALL.len(), variables::specs;
    Series, 1, |qualities| vec![series::spec(qualities)];
    Ledger, 1, |_| vec![ledger::spec()];
    Sockets, 1, |_| vec![sockets::spec()];
    Audit, 1, |_| vec![audit::spec()];
    Flows, 1, |_| vec![flows::spec()];
    Rtt, 1, |_| vec![rtt::spec()];
    RttAggregate, 1, |_| vec![rtt_aggregate::spec()];
    Listeners, listeners::COUNT, |_| listeners::specs();
    Drops, 1, |_| vec![drops::spec()];
    Schema, 1, |_| vec![schema::spec()];
}

impl Id {
    /// The number of its first table.
    const fn first(self) -> usize {
        let (mut sum, mut i) = (0, 0);
        while i < self as usize {
            sum += Self::COUNTS[i];
            i += 1;
        }
        sum
    }

    /// The numbers of its tables.
    const fn numbers(self) -> std::ops::Range<usize> {
        let first = self.first();
        first..first + Self::COUNTS[self as usize]
    }
}

/// Takes finished batches, by the number of the table in [`specs`].
pub trait Batches {
    /// The error of the consumer.
    type Error;
    /// A batch of [`BATCH_ROWS`] rows, or the last of its table.
    fn batch(&mut self, table: usize, batch: RecordBatch) -> Result<(), Self::Error>;
}

/// Makes the rows of all tables.
#[derive(Debug)]
pub struct Tables<'a, B> {
    recording: String,
    /// Connections come from packets: their cookies are numbers of replay, owners unknown.
    from_packets: bool,
    figures: FigureSource,
    timeline: &'a Timeline,
    /// By the number of the table.
    builders: Vec<TableBuilder>,
    listeners: listeners::Listeners,
    drops: drops::Drops,
    /// Connections of which a value of the variable was discarded.
    discarded: BTreeMap<Var, u64>,
    batches: B,
}

impl<'a, B: Batches> Tables<'a, B> {
    /// Empty tables of a recording.
    pub fn new(manifest: &Manifest, timeline: &'a Timeline, batches: B) -> Self {
        let specs = specs(&Qualities::of(manifest));
        let mut builders: Vec<_> = specs.iter().map(TableBuilder::new).collect();
        schema::rows(&mut builders[Id::Schema.first()], &manifest.recording, &specs);
        Self {
            recording: manifest.recording.clone(),
            from_packets: manifest.is_of_packets(),
            figures: FigureSource::of(manifest),
            timeline,
            builders,
            listeners: listeners::Listeners::default(),
            drops: drops::Drops::new(manifest),
            discarded: BTreeMap::new(),
            batches,
        }
    }

    /// Values that cannot be, by table and column: they stand nowhere else.
    pub fn outside(&self) -> impl Iterator<Item = (String, u64)> {
        // Discarded values of the other tables become rows of the ledger.
        let others = self.builders.iter().enumerate().filter(|(n, _)| *n != Id::Ledger.first());
        others.flat_map(|(_, builder)| {
            let columns = builder.discarded();
            columns.map(move |(column, n)| (format!("{}.{column}", builder.name()), n))
        })
    }

    /// Adds the ledger table and gives out what is left of the others.
    ///
    /// # Errors
    /// Those of the ledger's rows and of the batches' taker.
    pub fn finish<E>(mut self, rows: impl Iterator<Item = Result<CaptureStat, E>>) -> Result<B, E>
    where
        E: From<B::Error>,
    {
        let table = &mut self.builders[Id::Listeners.first()];
        self.listeners.rows(table, &self.recording, self.timeline);
        let table = &mut self.builders[Id::Drops.first()];
        self.drops.rest(table, &self.recording, self.timeline);
        for row in rows {
            let table = &mut self.builders[Id::Ledger.first()];
            ledger::push(table, &self.recording, self.timeline, &row?);
            self.full(Id::Ledger)?;
        }
        let variables = self.discarded.iter().map(|(var, n)| (var.name().to_owned(), *n));
        let discarded: Vec<_> = variables.chain(self.outside()).collect();
        for (name, n) in discarded {
            let table = &mut self.builders[Id::Ledger.first()];
            ledger::push_discarded(table, &self.recording, &name, n);
        }
        for (n, builder) in self.builders.iter_mut().enumerate() {
            give(&mut self.batches, n, builder, 1)?;
        }
        Ok(self.batches)
    }
}

impl<B: Batches> Tables<'_, B> {
    /// Gives out what is a batch by now.
    fn full(&mut self, id: Id) -> Result<(), B::Error> {
        for n in id.numbers() {
            give(&mut self.batches, n, &mut self.builders[n], BATCH_ROWS)?;
        }
        Ok(())
    }
}

/// Gives out a batch once it has `at` rows.
fn give<B: Batches>(
    batches: &mut B,
    table: usize,
    builder: &mut TableBuilder,
    at: usize,
) -> Result<(), B::Error> {
    if builder.rows() >= at { batches.batch(table, builder.take()) } else { Ok(()) }
}

impl<B: Batches> ConnectionRows for Tables<'_, B> {
    type Error = B::Error;

    fn ended(&mut self, ended: &Ended<'_>) -> Result<(), B::Error> {
        for var in ended.row.discarded().iter() {
            *self.discarded.entry(var).or_default() += 1;
        }
        let kernel = !self.from_packets;
        let figures = self.figures.of_ended(ended);
        let table = &mut self.builders[Id::Connections.first()];
        connections::push(table, &self.recording, self.timeline, ended, kernel, &figures);
        self.full(Id::Connections)?;
        for table in &mut self.builders[Id::Variables.numbers()] {
            variables::push(table, &self.recording, ended);
        }
        self.full(Id::Variables)?;
        let table = &mut self.builders[Id::Drops.first()];
        self.drops.ended(table, &self.recording, self.timeline, ended);
        self.full(Id::Drops)
    }

    fn sampled(&mut self, sample: &Sample<'_>) -> Result<(), B::Error> {
        let table = &mut self.builders[Id::Series.first()];
        series::push(table, &self.recording, self.timeline, sample);
        self.full(Id::Series)
    }

    fn polled(&mut self, polled: &Polled<'_>) -> Result<(), B::Error> {
        let table = &mut self.builders[Id::Sockets.first()];
        sockets::push(table, &self.recording, self.timeline, polled);
        self.full(Id::Sockets)
    }
}

impl<B: Batches> Output for Tables<'_, B> {
    fn flow(&mut self, row: &FlowRow<'_>) -> Result<(), B::Error> {
        let kernel = !self.from_packets;
        let table = &mut self.builders[Id::Flows.first()];
        flows::push(table, &self.recording, self.timeline, row, kernel);
        self.full(Id::Flows)
    }

    fn compared(&mut self, ended: &Ended<'_>, comparisons: &[Comparison]) -> Result<(), B::Error> {
        for comparison in comparisons {
            let table = &mut self.builders[Id::Audit.first()];
            audit::push(table, &self.recording, ended.conn_id, comparison);
            self.full(Id::Audit)?;
        }
        Ok(())
    }

    fn interval(&mut self, interval: &AggregateInterval) -> Result<(), B::Error> {
        let n = Id::RttAggregate.first();
        let (batches, table) = (&mut self.batches, &mut self.builders[n]);
        rtt_aggregate::rows(interval, &self.recording, self.timeline, table, |table| {
            give(batches, n, table, BATCH_ROWS)
        })
    }

    fn listener(&mut self, snapshot: &Snapshot) -> Result<(), B::Error> {
        self.listeners.polled(snapshot);
        let table = &mut self.builders[Id::Listeners.first() + 1];
        listeners::push(table, &self.recording, self.timeline, snapshot);
        self.full(Id::Listeners)
    }

    fn dropped(&mut self, snapshot: &Snapshot, conn_id: Option<u64>) -> Result<(), B::Error> {
        self.drops.dropped(snapshot, conn_id);
        Ok(())
    }

    fn rtt(&mut self, sample: &RttSample) -> Result<(), B::Error> {
        let table = &mut self.builders[Id::Rtt.first()];
        rtt::push(table, &self.recording, self.timeline, sample);
        self.full(Id::Rtt)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn each_entry_of_the_list_has_as_many_tables_as_it_states() {
        let specs = specs(&Qualities::default());
        let named = |id: Id| specs[id.numbers()].iter().map(|s| s.name).collect::<Vec<_>>();
        assert_eq!(specs.len(), Id::ALL.iter().map(|id| id.numbers().len()).sum::<usize>());
        assert_eq!(named(Id::Connections), ["connections"]);
        assert_eq!(named(Id::Variables)[0], "estats");
        let of_rfc = Table::ALL.iter().map(|table| table.name());
        assert_eq!(named(Id::Variables)[1..], of_rfc.collect::<Vec<_>>());
        assert_eq!(named(Id::Listeners), ["listeners", "listener_series"]);
        assert_eq!(named(Id::Schema), ["schema"], "the last");
    }

    #[test]
    fn the_version_is_the_same_every_time() {
        assert_eq!(tables_version(), tables_version());
    }

    #[test]
    fn every_table_begins_with_its_keys_and_no_name_comes_twice() {
        for spec in specs(&Qualities::default()) {
            let names: Vec<_> = spec.columns.iter().map(|c| c.name).collect();
            // These belong to no connection.
            let none = ["ledger", "rtt_aggregate", "listeners", "listener_series", "schema"]
                .contains(&spec.name);
            let keys = if none { &names[..1] } else { &names[..2] };
            assert_eq!(keys.last(), Some(&"recording"), "{}", spec.name);
            // Some readers (DuckDB, Spark) do not distinguish upper and lower case.
            let mut lower: Vec<_> = names.iter().map(|n| n.to_lowercase()).collect();
            lower.sort_unstable();
            lower.dedup();
            assert_eq!(lower.len(), names.len(), "{}", spec.name);
        }
    }

    /// RFC 4898 counts octets. The kernel, captures and everything else count bytes.
    #[test]
    fn a_table_counts_octets_or_bytes_but_not_both() {
        let has = |text: &str, word: &str| {
            text.split(|c: char| !c.is_alphanumeric() && c != '_').any(|found| found == word)
        };
        for spec in specs(&Qualities::default()) {
            let of = |word: &str| -> Vec<_> {
                let speaks = |c: &&ColumnSpec| has(c.unit, word) || has(c.doc, word);
                spec.columns.iter().filter(speaks).map(|c| c.name).collect()
            };
            let (octets, bytes) = (of("octets"), of("bytes"));
            assert!(
                octets.is_empty() || bytes.is_empty(),
                "{}: octets in {octets:?}, bytes in {bytes:?}",
                spec.name
            );
            assert!(
                !spec.columns.iter().any(|c| c.unit == "byte"),
                "{}: units are plural",
                spec.name
            );
        }
    }

    #[test]
    fn every_variable_stands_in_estats_and_in_its_own_table() {
        let specs = specs(&Qualities::default());
        for &var in Var::ALL {
            for name in ["estats", var.def().table.name()] {
                let spec = specs.iter().find(|s| s.name == name).unwrap();
                assert!(spec.columns.iter().any(|c| c.name == var.name()), "{}", var.name());
            }
        }
        assert_eq!(specs[Id::Variables.first()].columns.len(), 5 + Var::COUNT);
    }
}
