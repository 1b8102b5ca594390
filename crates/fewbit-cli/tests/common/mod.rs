//! Runs the command in a folder of its own.
#![allow(dead_code, reason = "each test file uses a part of it")]

use std::path::{Path, PathBuf};
use std::process::{Command, Output, Stdio};
use std::sync::LazyLock;

use tempfile::TempDir;

/// A folder that goes away with the test.
pub(crate) struct Scratch(TempDir);

impl Scratch {
    pub(crate) fn new() -> Self {
        Self(tempfile::tempdir().unwrap())
    }

    pub(crate) fn path(&self, name: &str) -> PathBuf {
        self.0.path().join(name)
    }

    pub(crate) fn write(&self, name: &str, bytes: &[u8]) -> PathBuf {
        let path = self.path(name);
        std::fs::create_dir_all(path.parent().unwrap()).unwrap();
        std::fs::write(&path, bytes).unwrap();
        path
    }

    pub(crate) fn command(&self, args: &[&str]) -> Command {
        let mut command = Command::new(env!("CARGO_BIN_EXE_fewbit"));
        command.args(args).current_dir(self.0.path()).stdin(Stdio::null());
        command
    }

    pub(crate) fn run(&self, args: &[&str]) -> Finished {
        Finished::of(self.command(args).output().unwrap())
    }
}

/// What a command left.
pub(crate) struct Finished {
    pub(crate) code: Option<i32>,
    pub(crate) stdout: String,
    pub(crate) stderr: String,
}

impl Finished {
    pub(crate) fn of(output: Output) -> Self {
        Self {
            code: output.status.code(),
            stdout: String::from_utf8_lossy(&output.stdout).into_owned(),
            stderr: String::from_utf8_lossy(&output.stderr).into_owned(),
        }
    }

    /// Checks that the command ran.
    #[track_caller]
    pub(crate) fn ok(self) -> Self {
        assert_eq!(self.code, Some(0), "{}\n{}", self.stdout, self.stderr);
        self
    }

    /// Checks that the command could not run, said so on stderr alone in all of `words`, and did not panic.
    #[track_caller]
    pub(crate) fn refused(self, words: &[&str]) -> Self {
        assert_eq!(self.code, Some(2), "{}\n{}", self.stdout, self.stderr);
        assert!(self.stdout.is_empty(), "{}", self.stdout);
        assert!(!self.stderr.contains("panicked"), "{}", self.stderr);
        for word in words {
            assert!(self.stderr.contains(word), "no `{word}` in: {}", self.stderr);
        }
        self
    }
}

/// Settings of a run of a few seconds.
pub(crate) const SHORT: [&str; 16] = [
    "--set",
    "training.float_steps=8",
    "--set",
    "training.quantized_steps=8",
    "--set",
    "training.warmup_steps=2",
    "--set",
    "training.batch_size=16",
    "--set",
    "training.evaluate_every=8",
    "--set",
    "training.checkpoint_every=4",
    "--set",
    "data.validation=100",
    "--set",
    "training.evaluation_batch_size=250",
];

/// `train` with the quick-start recipe cut to a few seconds.
pub(crate) fn short_train<'a>(more: &[&'a str]) -> Vec<&'a str> {
    [&["train"], &SHORT[..], more].concat()
}

/// A finished short run, made once for all tests of a file.
pub(crate) fn finished_run() -> &'static Path {
    static RUN: LazyLock<(Scratch, PathBuf)> = LazyLock::new(|| {
        let scratch = Scratch::new();
        scratch.run(&short_train(&["--out", "run"])).ok();
        let run = scratch.path("run");
        (scratch, run)
    });
    &RUN.1
}

/// The same as text.
pub(crate) fn finished_file() -> String {
    finished_run().join("model.fewbit").display().to_string()
}
