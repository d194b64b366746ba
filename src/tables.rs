//! The output tables: rows in, Arrow batches out. Pure: where the batches go is the sink's matter.
//!
//! Every table begins with `conn_id` and `recording`. Rows of final tables come in the order in which
//! connections end (ties by `conn_id`), those of the series by time (ties by `conn_id`): both are the
//! order in which replay knows them, so no table is ever held in memory.

mod audit;
mod columns;
mod connections;
pub mod figures;
mod flows;
mod ledger;
pub mod operations;
mod rtt;
mod rtt_aggregate;
mod series;
mod sockets;
mod variables;

use std::collections::BTreeMap;

use arrow::array::RecordBatch;
use arrow::datatypes::SchemaRef;

use crate::accounting::Account;
use crate::audit::{Auditor, Counts};
use crate::estats::{Ended, FlowRow, Output, PacketSeen, Polled, RttSample, Sample};
use crate::log::{LedgerRow, Manifest};
use crate::replay::PACKETS;
use crate::replay::ledger::Ledger;
use crate::rtt::aggregate::{self, Aggregator};
use crate::schema::{Table, Var};

pub use columns::{Bounds, ColumnKind, ColumnSpec};
pub use figures::{FigureSource, Figures, Shares, percent};

use columns::TableBuilder;
use variables::VariableTable;

/// Rows of a batch: a multiple of 1024, since the bytes of Parquet depend on the sizes of the writes.
pub const BATCH_ROWS: usize = 8192;

/// Version of the tables' columns and encoding; replayed again if it is another.
pub const TABLES_VERSION: u32 = 8;

/// An output table: name of its file, what a row is, and its columns.
#[derive(Clone, Debug)]
pub struct TableSpec {
    /// Name, and stem of the file.
    pub name: &'static str,
    /// What it holds.
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
pub struct Qualities(Vec<(String, String)>);

impl Qualities {
    /// As the manifest of a recording has it.
    pub fn of(manifest: &Manifest) -> Self {
        Self(manifest.variables.iter().map(|v| (v.name.clone(), v.quality.clone())).collect())
    }

    fn get(&self, var: Var) -> Option<&str> {
        self.0.iter().find(|(name, _)| name == var.name()).map(|(_, quality)| quality.as_str())
    }
}

const CONNECTIONS: usize = 0;
const FIRST_VARIABLES: usize = 1;
const SERIES: usize = FIRST_VARIABLES + 1 + Table::ALL.len();
const LEDGER: usize = SERIES + 1;
const SOCKETS: usize = LEDGER + 1;
const AUDIT: usize = SOCKETS + 1;
const FLOWS: usize = AUDIT + 1;
const RTT: usize = FLOWS + 1;
const RTT_AGGREGATE: usize = RTT + 1;

/// All output tables, in the order in which [`Tables`] numbers them.
pub fn specs(qualities: &Qualities) -> Vec<TableSpec> {
    let mut specs = vec![connections::spec(), variables::all(qualities)];
    specs.extend(Table::ALL.iter().map(|&table| variables::one(table, qualities)));
    specs.push(series::spec(qualities));
    specs.push(ledger::spec());
    specs.push(sockets::spec());
    specs.push(audit::spec());
    specs.push(flows::spec());
    specs.push(rtt::spec());
    specs.push(rtt_aggregate::spec());
    specs
}

/// Takes finished batches, by the number of the table in [`specs`].
pub trait Batches {
    /// What can go wrong.
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
    ledger_clock: &'a Ledger,
    connections: TableBuilder,
    variables: Vec<VariableTable>,
    series: VariableTable,
    sockets: TableBuilder,
    audit: TableBuilder,
    flows: TableBuilder,
    auditor: Auditor,
    rtt: TableBuilder,
    rtt_aggregate: TableBuilder,
    aggregator: Aggregator,
    /// Connections of which a value of the variable was discarded.
    discarded: BTreeMap<Var, u64>,
    batches: B,
}

impl<'a, B: Batches> Tables<'a, B> {
    /// Empty tables of a recording.
    pub fn new(
        manifest: &Manifest,
        ledger: &'a Ledger,
        aggregate: aggregate::Options,
        batches: B,
    ) -> Self {
        let qualities = Qualities::of(manifest);
        let mut variables = vec![VariableTable::new(&variables::all(&qualities))];
        variables.extend(
            Table::ALL.iter().map(|&table| VariableTable::new(&variables::one(table, &qualities))),
        );
        Self {
            recording: manifest.recording.clone(),
            from_packets: manifest.hook_set == PACKETS,
            figures: FigureSource::of(manifest),
            ledger_clock: ledger,
            connections: TableBuilder::new(&connections::spec().columns),
            variables,
            series: VariableTable::new(&series::spec(&qualities)),
            sockets: TableBuilder::new(&sockets::spec().columns),
            audit: TableBuilder::new(&audit::spec().columns),
            flows: TableBuilder::new(&flows::spec().columns),
            auditor: Auditor::new(manifest),
            rtt: TableBuilder::new(&rtt::spec().columns),
            rtt_aggregate: TableBuilder::new(&rtt_aggregate::spec().columns),
            aggregator: Aggregator::new(aggregate),
            discarded: BTreeMap::new(),
            batches,
        }
    }

    /// What the audit has found so far.
    pub const fn audited(&self) -> Counts {
        self.auditor.counts()
    }

    /// Values that cannot be, by table and column: they stand nowhere else.
    pub fn outside(&self) -> impl Iterator<Item = (String, u64)> {
        let variables = self.variables.iter().map(|table| &table.builder);
        let builders = [&self.connections]
            .into_iter()
            .chain(variables)
            .chain([&self.series.builder, &self.sockets, &self.audit])
            .chain([&self.flows, &self.rtt, &self.rtt_aggregate]);
        let names = specs(&Qualities::default()).into_iter().map(|spec| spec.name);
        // The ledger comes last.
        let names = names.filter(|&name| name != "ledger");
        names.zip(builders).flat_map(|(table, builder)| {
            builder.discarded().map(move |(column, n)| (format!("{table}.{column}"), n))
        })
    }

    /// Adds the ledger table and gives out what is left of the others.
    ///
    /// # Errors
    /// Those of the ledger's rows and of the batches' taker.
    pub fn finish<E>(mut self, rows: impl Iterator<Item = Result<LedgerRow, E>>) -> Result<B, E>
    where
        E: From<B::Error>,
    {
        let mut ledger = TableBuilder::new(&ledger::spec().columns);
        for row in rows {
            ledger::push(&mut ledger, &self.recording, self.ledger_clock, &row?);
            give(&mut self.batches, LEDGER, &mut ledger, BATCH_ROWS)?;
        }
        let variables = self.discarded.iter().map(|(var, n)| (var.name().to_owned(), *n));
        for (name, n) in variables.chain(self.outside()) {
            ledger::push_discarded(&mut ledger, &self.recording, &name, n);
        }
        give(&mut self.batches, LEDGER, &mut ledger, 1)?;
        give(&mut self.batches, CONNECTIONS, &mut self.connections, 1)?;
        for (i, table) in self.variables.iter_mut().enumerate() {
            give(&mut self.batches, FIRST_VARIABLES + i, &mut table.builder, 1)?;
        }
        give(&mut self.batches, SERIES, &mut self.series.builder, 1)?;
        give(&mut self.batches, SOCKETS, &mut self.sockets, 1)?;
        give(&mut self.batches, AUDIT, &mut self.audit, 1)?;
        give(&mut self.batches, FLOWS, &mut self.flows, 1)?;
        give(&mut self.batches, RTT, &mut self.rtt, 1)?;
        if let Some(interval) = self.aggregator.take() {
            self.interval(&interval)?;
        }
        give(&mut self.batches, RTT_AGGREGATE, &mut self.rtt_aggregate, 1)?;
        Ok(self.batches)
    }
}

impl<B: Batches> Tables<'_, B> {
    /// An interval of RTTs by prefix is over.
    fn interval(&mut self, interval: &aggregate::Interval) -> Result<(), B::Error> {
        let (batches, table) = (&mut self.batches, &mut self.rtt_aggregate);
        rtt_aggregate::rows(interval, &self.recording, self.ledger_clock, table, |table| {
            give(batches, RTT_AGGREGATE, table, BATCH_ROWS)
        })
    }
}

/// Gives out a batch once it has so many rows.
fn give<B: Batches>(
    batches: &mut B,
    table: usize,
    builder: &mut TableBuilder,
    at: usize,
) -> Result<(), B::Error> {
    if builder.rows() >= at { batches.batch(table, builder.take()) } else { Ok(()) }
}

impl<B: Batches> Output for Tables<'_, B> {
    type Error = B::Error;

    fn ended(&mut self, ended: &Ended<'_>) -> Result<(), B::Error> {
        for var in ended.row.discarded().iter() {
            *self.discarded.entry(var).or_default() += 1;
        }
        let kernel = !self.from_packets;
        let figures = self.figures.of_ended(ended, self.auditor.account(ended.conn_id));
        connections::push(
            &mut self.connections,
            &self.recording,
            self.ledger_clock,
            ended,
            kernel,
            &figures,
        );
        give(&mut self.batches, CONNECTIONS, &mut self.connections, BATCH_ROWS)?;
        for (i, table) in self.variables.iter_mut().enumerate() {
            table.push_final(&self.recording, ended);
            give(&mut self.batches, FIRST_VARIABLES + i, &mut table.builder, BATCH_ROWS)?;
        }
        for comparison in self.auditor.ended(ended) {
            audit::push(&mut self.audit, &self.recording, ended.conn_id, &comparison);
            give(&mut self.batches, AUDIT, &mut self.audit, BATCH_ROWS)?;
        }
        Ok(())
    }

    fn sampled(&mut self, sample: &Sample<'_>) -> Result<(), B::Error> {
        series::push(&mut self.series, &self.recording, self.ledger_clock, sample);
        give(&mut self.batches, SERIES, &mut self.series.builder, BATCH_ROWS)
    }

    fn polled(&mut self, polled: &Polled<'_>) -> Result<(), B::Error> {
        self.auditor.polled(polled);
        sockets::push(&mut self.sockets, &self.recording, self.ledger_clock, polled);
        give(&mut self.batches, SOCKETS, &mut self.sockets, BATCH_ROWS)
    }

    fn packets(&mut self, conn_id: u64, account: &Account, lost: u64) -> Result<(), B::Error> {
        self.auditor.packets(conn_id, account, lost);
        Ok(())
    }

    fn flow(&mut self, row: &FlowRow<'_>) -> Result<(), B::Error> {
        let kernel = !self.from_packets;
        flows::push(&mut self.flows, &self.recording, self.ledger_clock, row, kernel);
        give(&mut self.batches, FLOWS, &mut self.flows, BATCH_ROWS)
    }

    fn packet(&mut self, seen: &PacketSeen<'_>) -> Result<(), B::Error> {
        if let Some(interval) = self.aggregator.reached(seen.packet.ts_ns) {
            self.interval(&interval)?;
        }
        self.aggregator.packet(seen.packet);
        for s in seen.answers {
            self.aggregator.rtt(seen.packet, s);
        }
        Ok(())
    }

    fn rtt(&mut self, sample: &RttSample) -> Result<(), B::Error> {
        rtt::push(&mut self.rtt, &self.recording, self.ledger_clock, sample);
        give(&mut self.batches, RTT, &mut self.rtt, BATCH_ROWS)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn tables_are_numbered_as_they_are_listed() {
        let specs = specs(&Qualities::default());
        let names: Vec<_> = specs.iter().map(|s| s.name).collect();
        assert_eq!(names[CONNECTIONS], "connections");
        assert_eq!(names[FIRST_VARIABLES], "estats");
        for (i, table) in Table::ALL.iter().enumerate() {
            assert_eq!(names[FIRST_VARIABLES + 1 + i], table.name());
        }
        assert_eq!((names[SERIES], names[LEDGER]), ("series", "ledger"));
        assert_eq!(names[SOCKETS], "sockets");
        assert_eq!(names[AUDIT], "audit");
        assert_eq!(names[FLOWS], "flows");
        assert_eq!((names[RTT], names[RTT_AGGREGATE]), ("rtt", "rtt_aggregate"));
        assert_eq!(names.len(), RTT_AGGREGATE + 1);
    }

    #[test]
    fn every_table_begins_with_its_keys_and_no_name_comes_twice() {
        for spec in specs(&Qualities::default()) {
            let names: Vec<_> = spec.columns.iter().map(|c| c.name).collect();
            // These belong to no connection.
            let none = ["ledger", "rtt_aggregate"].contains(&spec.name);
            let keys = if none { &names[..1] } else { &names[..2] };
            assert_eq!(keys.last(), Some(&"recording"), "{}", spec.name);
            // Some readers (DuckDB, Spark) do not tell upper from lower case.
            let mut lower: Vec<_> = names.iter().map(|n| n.to_lowercase()).collect();
            lower.sort_unstable();
            lower.dedup();
            assert_eq!(lower.len(), names.len(), "{}", spec.name);
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
        assert_eq!(specs[FIRST_VARIABLES].columns.len(), 5 + Var::COUNT);
    }
}
