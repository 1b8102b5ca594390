//! Runs one after another, several at once, until all have ended or a signal comes.

use std::sync::Arc;
use std::sync::atomic::{AtomicU32, Ordering};
use std::time::Duration;

use super::child::{Child, End, Launch, Log};
use super::plan::{Planned, State};
use super::start::Start;
use crate::failure::{Failure, say};

/// Seconds between looks at the processes: nothing beside the seconds of a run.
const LOOK_EVERY: Duration = Duration::from_millis(30);

/// How a run of the plan ended.
#[derive(Debug, PartialEq)]
pub(super) enum Ended {
    /// Its file and results are there.
    Finished,
    /// It can go on.
    Interrupted,
    /// Why it failed.
    Failed(String),
    /// Another process works at it.
    Elsewhere,
}

/// The work of a sweep.
pub(super) struct Work<'a> {
    pub(super) launch: &'a Launch,
    pub(super) start: &'a Start,
    pub(super) jobs: usize,
    /// How many signals have come.
    pub(super) signals: &'a AtomicU32,
}

impl Work<'_> {
    /// Works at `runs` in their order and tells `ended` of each that has ended.
    ///
    /// After a signal those that run are asked to save and end, and no other is begun.
    pub(super) fn through(&self, runs: &[&Planned], mut ended: impl FnMut(&Planned, Ended)) {
        let mut left = runs.iter();
        let mut running: Vec<(&Planned, Child)> = Vec::new();
        loop {
            let signals = self.signals.load(Ordering::Relaxed);
            while signals == 0 && running.len() < self.jobs {
                let Some(run) = left.next() else { break };
                match self.begin(run) {
                    Ok(Begun::Child(child)) => running.push((run, child)),
                    Ok(Begun::Ended(end)) => ended(run, end),
                    Err(failure) => ended(run, Ended::Failed(failure.to_string())),
                }
            }
            if running.is_empty() {
                return;
            }
            running.retain_mut(|(run, child)| {
                child.pass_on(signals);
                let end = match child.end() {
                    Ok(None) => return true,
                    Ok(Some(end)) => self.ended(run, end),
                    Err(failure) => Ended::Failed(failure.to_string()),
                };
                ended(run, end);
                false
            });
            std::thread::sleep(LOOK_EVERY);
        }
    }

    fn begin(&self, run: &Planned) -> Result<Begun, Failure> {
        let Some(log) = Log::take(&run.log())? else { return Ok(Begun::Ended(Ended::Elsewhere)) };
        // Another sweep may have come by since the plan was made.
        if matches!(run.look(self.start)?, State::Finished) {
            return Ok(Begun::Ended(Ended::Finished));
        }
        run.make_folder(&run.path, self.start)?;
        Ok(Begun::Child(self.launch.start(&run.path, log)?))
    }

    fn ended(&self, run: &Planned, end: End) -> Ended {
        match end {
            End::Interrupted => Ended::Interrupted,
            End::Failed(reason) => Ended::Failed(reason),
            End::Finished => match run.look(self.start) {
                Ok(State::Finished) => Ended::Finished,
                Ok(_) => Ended::Failed("ended without results".to_owned()),
                Err(failure) => Ended::Failed(failure.to_string()),
            },
        }
    }
}

/// What came of beginning a run.
enum Begun {
    Child(Child),
    Ended(Ended),
}

/// Counts Ctrl-C and SIGTERM from now on.
pub(super) fn count_signals() -> Result<Arc<AtomicU32>, Failure> {
    let signals = Arc::new(AtomicU32::new(0));
    let shared = signals.clone();
    ctrlc::set_handler(move || {
        if shared.fetch_add(1, Ordering::Relaxed) == 0 {
            say(format_args!("\nstopping: each run saves its state; once more stops at once"));
        }
    })?;
    Ok(signals)
}
