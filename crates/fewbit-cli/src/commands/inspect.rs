//! `fewbit inspect`.

use crate::Verdict;
use crate::args::{Format, InspectArgs};
use crate::failure::Failure;
use crate::report::inspection::Inspection;
use crate::report::print_json;

pub(crate) fn run(args: InspectArgs) -> Result<Verdict, Failure> {
    let inspection = Inspection::of(&fewbit::read_file(&args.file)?);
    match args.format {
        Format::Text => inspection.print()?,
        Format::Json => print_json(&inspection)?,
    }
    Ok(Verdict::Done)
}
