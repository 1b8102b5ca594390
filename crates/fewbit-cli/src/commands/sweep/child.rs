//! One run in a process of its own, so that what ends it ends nothing else.

use std::fs::{File, OpenOptions};
use std::io::{self, Read, Seek, SeekFrom};
use std::path::{Path, PathBuf};
use std::process::{Command, ExitStatus, Stdio};

use crate::Verdict;
use crate::args::{DeviceKind, SweepArgs};
use crate::failure::Failure;

/// Most of a log that is searched for why its run failed.
const TAIL: u64 = 64 * 1024;

/// What is the same for every run of a sweep.
pub(super) struct Launch {
    program: PathBuf,
    pub(super) threads: u16,
    device: DeviceKind,
    data: Option<PathBuf>,
}

impl Launch {
    pub(super) fn new(args: &SweepArgs) -> Result<Self, Failure> {
        // The program that runs now, even when another has been built in its place meanwhile.
        let itself = Path::new("/proc/self/exe");
        let program = if itself.exists() { itself.to_owned() } else { std::env::current_exe()? };
        let cores = std::thread::available_parallelism().map_or(1, usize::from);
        let share = u16::try_from(cores / usize::from(args.jobs)).unwrap_or(u16::MAX).max(1);
        let data = args.data.as_deref().map(std::path::absolute).transpose()?;
        Ok(Self { program, threads: args.threads.unwrap_or(share), device: args.device, data })
    }

    /// `fewbit train` on the run folder `run`, from its newest checkpoint or its start; what it prints goes to `log`.
    pub(super) fn start(&self, run: &Path, log: Log) -> io::Result<Child> {
        let mut command = Command::new(&self.program);
        command.arg("train").arg("--resume").arg(run);
        if let Some(data) = &self.data {
            command.arg("--data").arg(data);
        }
        command.args(["--threads", &self.threads.to_string(), "--device", self.device.word()]);
        command.stdin(Stdio::null()).stdout(log.file.try_clone()?).stderr(log.file);
        own_group(&mut command);
        let process = command.spawn()?;
        Ok(Child { process, log: log.path, log_from: log.from, passed_on: 0 })
    }
}

/// An open log that belongs to one run of one process.
pub(super) struct Log {
    file: File,
    path: PathBuf,
    /// Where this start's part begins.
    from: u64,
}

impl Log {
    /// The log at `path`, to append to; `None` while another process works at its run.
    ///
    /// The lock is the file's own, so that it goes to the run's process and lasts as long as that, whatever becomes of
    /// this one.
    pub(super) fn take(path: &Path) -> Result<Option<Self>, Failure> {
        let about = |error: io::Error| Failure::from(error).about(path);
        let file = OpenOptions::new().create(true).append(true).open(path).map_err(about)?;
        match file.try_lock() {
            Ok(()) => {}
            Err(std::fs::TryLockError::WouldBlock) => return Ok(None),
            Err(std::fs::TryLockError::Error(error)) => return Err(about(error)),
        }
        let from = file.metadata().map_err(about)?.len();
        Ok(Some(Self { file, path: path.to_owned(), from }))
    }
}

/// A run's process.
pub(super) struct Child {
    process: std::process::Child,
    log: PathBuf,
    log_from: u64,
    passed_on: u32,
}

/// How a run's process ended.
#[derive(Debug, PartialEq)]
pub(super) enum End {
    /// Well, by its own account.
    Finished,
    /// Stopped by a signal, with everything saved.
    Interrupted,
    /// Otherwise, and why.
    Failed(String),
}

impl Child {
    /// How the process ended, if it has.
    pub(super) fn end(&mut self) -> Result<Option<End>, Failure> {
        let Some(status) = self.process.try_wait()? else { return Ok(None) };
        Ok(Some(match status.code() {
            Some(0) => End::Finished,
            Some(code) if code == i32::from(Verdict::INTERRUPTED) => End::Interrupted,
            // What stops it before it can save stops it, too.
            None if self.passed_on > 0 => End::Interrupted,
            _ => End::Failed(self.reason(status)),
        }))
    }

    /// Passes on as many signals as there have been; one asks the process to save and end, two end it.
    pub(super) fn pass_on(&mut self, signals: u32) {
        while self.passed_on < signals {
            ask_to_stop(&mut self.process);
            self.passed_on += 1;
        }
    }

    /// Ends the process at once.
    pub(super) fn kill(mut self) {
        // It may have ended by itself.
        let _ = self.process.kill();
        let _ = self.process.wait();
    }

    /// What the log says last, else how the process ended.
    fn reason(&self, status: ExitStatus) -> String {
        let said = tail(&self.log, self.log_from).unwrap_or_default();
        let lines = || said.lines().rev().map(str::trim).filter(|line| !line.is_empty());
        let error = lines().find_map(|line| line.strip_prefix("error: "));
        match error.or_else(|| lines().find(|line| line.contains("panicked"))) {
            Some(line) => line.to_owned(),
            None => status.to_string(),
        }
    }
}

fn tail(log: &Path, from: u64) -> io::Result<String> {
    let mut file = File::open(log)?;
    let from = from.max(file.metadata()?.len().saturating_sub(TAIL));
    file.seek(SeekFrom::Start(from))?;
    let mut bytes = Vec::new();
    file.take(TAIL).read_to_end(&mut bytes)?;
    Ok(String::from_utf8_lossy(&bytes).into_owned())
}

/// Away from the terminal's Ctrl-C, which would reach the process beside what is passed on: two signals end it at once.
fn own_group(command: &mut Command) {
    #[cfg(unix)]
    std::os::unix::process::CommandExt::process_group(command, 0);
    #[cfg(not(unix))]
    let _ = command;
}

#[cfg(unix)]
fn ask_to_stop(process: &mut std::process::Child) {
    use nix::sys::signal::{Signal, kill};
    use nix::unistd::Pid;
    // Not waited for yet, so that the number is still this process's.
    if let Ok(id) = i32::try_from(process.id()) {
        let _ = kill(Pid::from_raw(id), Signal::SIGTERM);
    }
}

/// Where there are no signals the newest checkpoint is what is left.
#[cfg(not(unix))]
fn ask_to_stop(process: &mut std::process::Child) {
    let _ = process.kill();
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_log_belongs_to_one() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("run.log");
        let log = Log::take(&path).unwrap().unwrap();
        assert!(Log::take(&path).unwrap().is_none());
        // What the run's process inherits keeps the log its own.
        let inherited = log.file.try_clone().unwrap();
        drop(log);
        assert!(Log::take(&path).unwrap().is_none());
        drop(inherited);
        assert!(Log::take(&path).unwrap().is_some());
    }
}
