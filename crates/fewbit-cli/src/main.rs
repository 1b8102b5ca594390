//! The command `fewbit`: data to stdout, words and progress to stderr, the verdict in the exit code.

mod args;
mod commands;
mod download;
mod failure;
mod page;
mod progress;
mod report;
mod runs;

use std::process::ExitCode;

use clap::Parser;

use args::{Cli, Command};
use failure::Failure;

/// Chosen by measurement: docs/decisions/0004.
#[global_allocator]
static ALLOCATOR: mimalloc::MiMalloc = mimalloc::MiMalloc;

/// How a command ended that could run.
pub(crate) enum Verdict {
    /// All is well: exit code 0.
    Done,
    /// A check failed: exit code 1.
    CheckFailed,
    /// Stopped by a signal with everything saved: exit code 130, so that what follows does not run.
    Interrupted,
}

impl Verdict {
    /// The exit code of a run that was stopped and can go on.
    pub(crate) const INTERRUPTED: u8 = 130;
}

fn main() -> ExitCode {
    let cli = Cli::parse();
    match run(cli.command) {
        Ok(Verdict::Done) => ExitCode::SUCCESS,
        Ok(Verdict::CheckFailed) => ExitCode::from(1),
        Ok(Verdict::Interrupted) => ExitCode::from(Verdict::INTERRUPTED),
        // The reader of a pipe has gone, as `head` does: nothing is wrong.
        Err(failure) if failure.is_broken_pipe() => ExitCode::SUCCESS,
        Err(failure) => {
            failure.print();
            ExitCode::from(2)
        }
    }
}

fn run(command: Command) -> Result<Verdict, Failure> {
    match command {
        Command::Train(args) => commands::train::run(args),
        Command::Plan(args) => commands::plan::run(args),
        Command::Smoke(args) => commands::smoke::run(args),
        Command::Sweep(args) => commands::sweep::run(args),
        Command::Table(args) => commands::table::run(&args),
        Command::Report(args) => commands::report::run(&args),
        Command::Compress(args) => commands::compress::run(args),
        Command::Eval(args) => commands::eval::run(args),
        Command::Inspect(args) => commands::inspect::run(args),
        Command::Verify(args) => commands::verify::run(args),
        Command::Unpack(args) => commands::unpack::run(args),
        Command::Bench(args) => commands::bench::run(args),
    }
}
