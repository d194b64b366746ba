// SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause
//! `rtt`: passive RTT in ePPing's formats, and RTT three ways.

use std::io::{BufWriter, Write as _};
use std::num::NonZeroU64;
use std::path::PathBuf;
use std::process::ExitCode;

use clap::builder::{PossibleValuesParser, TypedValueParser};
use clap::{Args, ValueEnum};
use estats::engine::rtt::sampling::{Policy, RttType, SampleSpacing};
use estats::engine::rtt::{Method, aggregate};
use estats::replay::ReplayOptions;
use estats::views::export::epping::{self, Selection};
use estats::views::three_ways;

use super::choice::{Choice, by_name, names};
use super::pipe::Pipe;
use super::{print_json, replay};

/// Formats of ePPing and pping.
#[derive(Clone, Copy, Debug, ValueEnum)]
enum RttFormat {
    /// A line per event for people
    Standard,
    /// ePPing's events as one array
    Json,
    /// ePPing's events, one per line
    Jsonl,
    /// ppviz's four fields
    Ppviz,
    /// pping's seven fields (`pping -m`), which ppviz reads too
    Pping,
}

#[derive(Clone, Copy, Debug, ValueEnum)]
enum Type {
    Min,
    Smoothed,
}

#[derive(Debug, Args)]
#[command(
    after_help = "Without --tcp, --icmp or --method: TCP by timestamps, as ePPing. Options that ePPing has \
                  mean the same here; docs/rtt.md has the table.\n\n\
                  Example: estats-analyze rtt run1 -T -C --format ppviz > run1.pping"
)]
pub struct Arguments {
    /// Directory of a recording
    run: PathBuf,
    /// The format
    #[arg(short = 'F', long, value_enum, default_value = "standard")]
    format: RttFormat,
    /// TCP by timestamps
    #[arg(short = 'T', long)]
    tcp: bool,
    /// ICMP and ICMPv6 echo
    #[arg(short = 'C', long)]
    icmp: bool,
    /// A method by its name in rtt.parquet; may be repeated
    #[arg(long, value_name = "NAME", value_parser = method())]
    method: Vec<Method>,
    /// Minimum time between two samples of a flow; 0 keeps all
    #[arg(short, long, value_name = "MS", default_value_t = 0.0)]
    rate_limit: f64,
    /// Minimum time between two samples of a flow, in RTTs
    #[arg(short = 'R', long, value_name = "FACTOR", conflicts_with = "rate_limit")]
    rtt_rate: Option<f64>,
    /// The RTT that is the unit of --rtt-rate
    #[arg(short = 't', long, value_enum, default_value = "min", requires = "rtt_rate")]
    rtt_type: Type,
    /// Samples of a flow that may exceed the rate limit in a row
    #[arg(long, value_name = "N", default_value_t = 0)]
    burst: u32,
    /// Include the time that the recorded end itself took to answer
    #[arg(short = 'l', long)]
    include_local: bool,
    /// Use SYN and SYN-ACK for TCP by timestamps too
    #[arg(short = 's', long, alias = "include-SYN")]
    include_syn: bool,
    /// RTTs by prefix every S seconds, instead of one by one
    #[arg(short, long, value_name = "S", value_parser = clap::value_parser!(u64).range(1..=604_800))]
    aggregate: Option<u64>,
    /// Length of IPv4 prefixes
    #[arg(short = '4', long, value_name = "LEN", default_value_t = 24, value_parser = clap::value_parser!(u8).range(0..=32))]
    aggregate_subnets_v4: u8,
    /// Length of IPv6 prefixes
    #[arg(short = '6', long, value_name = "LEN", default_value_t = 48, value_parser = clap::value_parser!(u8).range(0..=128))]
    aggregate_subnets_v6: u8,
    /// Aggregate by the destination of the answers, not by their source
    #[arg(long)]
    aggregate_reverse: bool,
    /// RTT three ways per connection: timestamps, sequence numbers, the kernel's own samples
    #[arg(long, conflicts_with_all = ["format", "aggregate", "method", "tcp", "icmp", "rate_limit"])]
    compare: bool,
    /// The comparison as JSON
    #[arg(long, requires = "compare")]
    json: bool,
}

fn method() -> impl TypedValueParser<Value = Method> {
    PossibleValuesParser::new(names::<Method>().collect::<Vec<_>>())
        .map(|name| by_name(&name).expect("clap lets only these names pass"))
}

impl Choice for Method {
    const ALL: &'static [Self] = Method::ALL;

    fn name(self) -> &'static str {
        Method::name(self)
    }
}

impl Arguments {
    fn selection(&self) -> Selection {
        let mut methods = self.method.clone();
        if self.tcp || (methods.is_empty() && !self.icmp) {
            methods.push(Method::TcpTimestamps);
        }
        if self.icmp {
            methods.push(Method::IcmpEcho);
        }
        let rtt_type = match self.rtt_type {
            Type::Min => RttType::Min,
            Type::Smoothed => RttType::Smoothed,
        };
        let limit = match self.rtt_rate {
            Some(factor) => Some(SampleSpacing::Rtt(factor, rtt_type)),
            None => (self.rate_limit > 0.0)
                .then_some(SampleSpacing::Time((self.rate_limit * 1e6) as u64)),
        };
        let seconds = |s: u64| NonZeroU64::new(s.saturating_mul(1_000_000_000));
        Selection {
            methods,
            format: match self.format {
                RttFormat::Standard => epping::EppingFormat::Standard,
                RttFormat::Json => epping::EppingFormat::Json,
                RttFormat::Jsonl => epping::EppingFormat::Jsonl,
                RttFormat::Ppviz => epping::EppingFormat::Ppviz,
                RttFormat::Pping => epping::EppingFormat::Pping,
            },
            include_local: self.include_local,
            policy: limit.map(|limit| Policy { limit, burst: self.burst }),
            aggregate: self.aggregate.and_then(seconds).map(|interval_ns| {
                aggregate::AggregateOptions {
                    interval_ns,
                    prefix_v4: self.aggregate_subnets_v4,
                    prefix_v6: self.aggregate_subnets_v6,
                    reverse: self.aggregate_reverse,
                    include_syn: self.include_syn,
                }
            }),
        }
    }
}

pub fn run(arguments: &Arguments) -> anyhow::Result<ExitCode> {
    let recording = super::open(&arguments.run)?;
    let mut options = ReplayOptions { threads: replay::cpus(), ..ReplayOptions::default() };
    options.rtt.include_syn = arguments.include_syn;
    if arguments.compare {
        let compared = three_ways::compare(&recording, options)?;
        if arguments.json {
            print_json(&compared)?;
        } else {
            super::screen().write_all(three_ways::render(&compared).as_bytes())?;
        }
        return Ok(ExitCode::SUCCESS);
    }
    let pipe = Pipe::default();
    let mut out = BufWriter::new(pipe.clone());
    let written = epping::write(&recording, &options, &arguments.selection(), &mut out);
    let written = written.and_then(|written| Ok(out.flush().map(|()| written)?));
    if let Ok((0, _)) = written {
        // An empty answer looks like a failure.
        eprintln!(
            "estats-analyze: there is no RTT sample of this method that this format shows; \
             try -T -C, --method tcp_sequence, or --include-local"
        );
    }
    pipe.exit_code(written.map(|(_, findings)| replay::missing(&findings)))
}
