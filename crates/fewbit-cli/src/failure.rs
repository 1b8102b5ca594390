//! What is printed when a command could not run.

use std::error::Error;
use std::fmt;
use std::io;

/// An error with its causes, and a hint where a person can act on one.
#[derive(Debug)]
pub(crate) struct Failure {
    error: Box<dyn Error + Send + Sync>,
    hint: Option<String>,
}

impl Failure {
    /// A failure in words.
    pub(crate) fn new(message: impl Into<String>) -> Self {
        Self { error: message.into().into(), hint: None }
    }

    /// The same with something to try.
    pub(crate) fn hint(mut self, hint: impl Into<String>) -> Self {
        self.hint = Some(hint.into());
        self
    }

    pub(crate) fn is_broken_pipe(&self) -> bool {
        self.error.downcast_ref::<io::Error>().is_some_and(|e| e.kind() == io::ErrorKind::BrokenPipe)
    }

    /// The error and its causes on stderr, each once.
    pub(crate) fn print(&self) {
        eprintln!("error: {self}");
        if let Some(hint) = &self.hint {
            eprintln!("\nhint: {hint}");
        }
    }
}

impl fmt::Display for Failure {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let mut printed = self.error.to_string();
        f.write_str(&printed)?;
        let mut cause = self.error.source();
        while let Some(error) = cause {
            let message = error.to_string();
            // Some libraries repeat the cause in the message.
            if !printed.ends_with(&message) {
                write!(f, ": {message}")?;
            }
            printed = message;
            cause = error.source();
        }
        Ok(())
    }
}

impl<E: Error + Send + Sync + 'static> From<E> for Failure {
    fn from(error: E) -> Self {
        Self { error: Box::new(error), hint: None }
    }
}
