//! `fewbit verify`.

use std::error::Error;

use crate::Verdict;
use crate::args::VerifyArgs;
use crate::failure::Failure;

pub(crate) fn run(args: VerifyArgs) -> Result<Verdict, Failure> {
    let bytes = fewbit::read_bytes(&args.file)?;
    match fewbit::container::probe(&bytes) {
        Ok(()) => {
            eprintln!("{}: sound, {} bytes", args.file.display(), bytes.len());
            Ok(Verdict::Done)
        }
        Err(fault) => {
            eprintln!("{}: {fault}", args.file.display());
            if let Some(cause) = fault.source() {
                eprintln!("  {cause}");
            }
            Ok(Verdict::CheckFailed)
        }
    }
}
