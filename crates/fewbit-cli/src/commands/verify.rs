//! `fewbit verify`.

use std::error::Error;

use crate::Verdict;
use crate::args::VerifyArgs;
use crate::failure::{Failure, say};

pub(crate) fn run(args: VerifyArgs) -> Result<Verdict, Failure> {
    let bytes = fewbit::read_bytes(&args.file)?;
    match fewbit::container::probe(&bytes) {
        Ok(()) => {
            say(format_args!("{}: sound, {} bytes", args.file.display(), bytes.len()));
            Ok(Verdict::Done)
        }
        Err(fault) => {
            let cause = fault.source().map_or(String::new(), |cause| format!(": {cause}"));
            say(format_args!(
                "{}: {}{}",
                args.file.display(),
                fault.to_string().escape_debug(),
                cause.escape_debug()
            ));
            Ok(Verdict::CheckFailed)
        }
    }
}
