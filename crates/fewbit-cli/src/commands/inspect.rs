//! `fewbit inspect`.

use fewbit::{ContainerReader, Limits};

use crate::Verdict;
use crate::args::{Format, InspectArgs};
use crate::failure::Failure;
use crate::report::inspection::Inspection;
use crate::report::print_json;

pub(crate) fn run(args: InspectArgs) -> Result<Verdict, Failure> {
    // Every check sum is compared here.
    let bytes = fewbit::read_file(&args.file)?;
    let inspection = Inspection::of(&ContainerReader::open(&bytes, &Limits::default())?);
    match args.format {
        Format::Text => inspection.print()?,
        Format::Json => print_json(&inspection)?,
    }
    Ok(Verdict::Done)
}
