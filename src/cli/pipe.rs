// SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause
//! Standard output of commands that may write for long.

use std::cell::Cell;
use std::io;
use std::process::ExitCode;
use std::rc::Rc;

use estats::views::export::ExportError;

use super::replay::exit_code;

/// Standard output that remembers whether its reader has gone: libraries on the way make texts of
/// errors, and that one is none.
#[derive(Clone, Default)]
pub struct Pipe {
    is_closed: Rc<Cell<bool>>,
}

impl Pipe {
    /// The exit status, no matter what writing to a closed pipe was called. `written` is the number of what is missing
    /// in what was written.
    pub fn exit_code(&self, written: Result<u64, ExportError>) -> anyhow::Result<ExitCode> {
        match written {
            Err(_) if self.is_closed.get() => Ok(ExitCode::SUCCESS),
            Err(e) => Err(e.into()),
            Ok(missing) => Ok(exit_code(missing)),
        }
    }

    fn watched<T>(&self, done: io::Result<T>) -> io::Result<T> {
        let is_closed = |e: &io::Error| e.kind() == io::ErrorKind::BrokenPipe;
        self.is_closed.set(self.is_closed.get() || done.as_ref().is_err_and(is_closed));
        done
    }
}

impl io::Write for Pipe {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        self.watched(io::stdout().write(bytes))
    }

    fn flush(&mut self) -> io::Result<()> {
        self.watched(io::stdout().flush())
    }
}
