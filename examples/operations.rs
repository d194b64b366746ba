// SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause
//! Counts the rows of a recording for bench/throughput.py: hook records, and operations in them.

use std::{num::NonZeroUsize, path::Path, process::ExitCode};

use estats::log::{LogError, Recording};

fn count(dir: &Path) -> Result<(u64, u64), LogError> {
    let (mut records, mut operations) = (0, 0);
    for batch in Recording::open(dir)?.hooks(NonZeroUsize::MIN) {
        let batch = batch?;
        records += batch.len() as u64;
        operations += (0..batch.len()).map(|i| batch.ops(i).count() as u64).sum::<u64>();
    }
    Ok((records, operations))
}

fn main() -> ExitCode {
    let Some(dir) = std::env::args_os().nth(1) else {
        eprintln!("usage: operations RUN\nprints the records and the operations of a recording");
        return ExitCode::from(2);
    };
    match count(Path::new(&dir)) {
        Ok((records, operations)) => {
            println!("{records} {operations}");
            ExitCode::SUCCESS
        }
        Err(e) => {
            eprintln!("operations: {e}");
            ExitCode::FAILURE
        }
    }
}
