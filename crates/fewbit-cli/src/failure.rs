//! What is printed when a command could not run.

use std::error::Error;
use std::fmt;
use std::io::{self, Write};
use std::path::Path;

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

    /// The same, naming the file that was being worked on.
    pub(crate) fn about(self, path: &Path) -> Self {
        Self { error: format!("{}: {self}", path.display()).into(), hint: self.hint }
    }

    /// The same with something to try.
    pub(crate) fn hint(mut self, hint: impl Into<String>) -> Self {
        self.hint = Some(hint.into());
        self
    }

    /// The same with something to try, where there is something.
    pub(crate) fn maybe_hint(self, hint: Option<impl Into<String>>) -> Self {
        match hint {
            Some(hint) => self.hint(hint),
            None => self,
        }
    }

    pub(crate) fn is_broken_pipe(&self) -> bool {
        self.error.downcast_ref::<io::Error>().is_some_and(|e| e.kind() == io::ErrorKind::BrokenPipe)
    }

    /// The error and its causes on stderr, each once.
    pub(crate) fn print(&self) {
        say(format_args!("error: {}", harmless(&self.to_string())));
        if let Some(hint) = &self.hint {
            say(format_args!("\nhint: {}", harmless(hint)));
        }
    }
}

/// A line on stderr. Nobody may be reading it, which is no reason to stop a training.
pub(crate) fn say(line: fmt::Arguments<'_>) {
    let _ = writeln!(io::stderr(), "{line}");
}

/// Text that may quote a stranger's file: shortened, and without characters that a terminal obeys.
pub(crate) fn harmless(text: &str) -> String {
    const LONGEST: usize = 2000;
    /// What would be escaped, too, and does no harm.
    const PLAIN: [char; 4] = ['\n', '\'', '"', '\\'];
    let mut out = String::new();
    let shown: String = text.chars().take(LONGEST).collect();
    for piece in shown.split_inclusive(PLAIN) {
        let body = piece.trim_end_matches(PLAIN);
        out.extend(body.escape_debug());
        out.push_str(&piece[body.len()..]);
    }
    if text.chars().nth(LONGEST).is_some() {
        out.push('…');
    }
    out
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

#[cfg(test)]
mod tests {
    use super::harmless;

    #[test]
    fn control_characters_are_shown_not_obeyed() {
        assert_eq!(harmless("a\u{1b}[31mb\nc"), "a\\u{1b}[31mb\nc");
        // What turns the writing's direction around, and what only looks like an escape.
        assert_eq!(harmless("a\u{202e}b: it's `\\n`"), "a\\u{202e}b: it's `\\n`");
        assert_eq!(harmless(&"x".repeat(3000)).chars().count(), 2001);
    }
}
