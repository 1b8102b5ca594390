//! `fewbit verify`.

use std::error::Error;

use crate::Verdict;
use crate::args::VerifyArgs;
use crate::failure::{Failure, harmless, say};

pub(crate) fn run(args: VerifyArgs) -> Result<Verdict, Failure> {
    let bytes = fewbit::read_bytes(&args.file)?;
    let path = args.file.display();
    let Err(fault) = fewbit::verify(&bytes) else {
        say(format_args!("{path}: sound, {} bytes", bytes.len()));
        return Ok(Verdict::Done);
    };
    let mut line = fault.to_string();
    let mut cause = fault.source();
    while let Some(error) = cause {
        line = format!("{line}: {error}");
        cause = error.source();
    }
    // Names come from the file: none may end the line and begin another.
    say(format_args!("{path}: {}", harmless(&line.replace('\n', "\\n"))));
    Ok(Verdict::CheckFailed)
}
