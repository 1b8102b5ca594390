//! `fewbit eval`.

use std::io::Write;

use fewbit_burn::train::Metric;
use serde::Serialize;

use super::{device, use_threads};
use crate::Verdict;
use crate::args::{EvalArgs, Format};
use crate::failure::Failure;
use crate::report::{grouped, print_json};

/// The names are those of the last record of `metrics.jsonl`.
#[derive(Serialize)]
struct EvalReport {
    #[serde(flatten)]
    metric: Metric,
    value: f64,
    bytes: u64,
    float_bytes: u64,
    mean_bits: f64,
    data: String,
    model: String,
    records: usize,
}

pub(crate) fn run(args: EvalArgs) -> Result<Verdict, Failure> {
    use_threads(args.machine.threads)?;
    let device = device(args.machine.device)?;
    let reader = fewbit::read_file(&args.file)?;
    let data = match args.download {
        true => {
            let set =
                fewbit_zoo::data_set_of(&reader).map_err(|error| Failure::from(error).about(&args.file))?;
            crate::download::data_set(set)?
        }
        false => args.data,
    };
    let evaluation = fewbit_zoo::evaluate_file(&reader, data.as_deref(), &device)
        .map_err(|error| Failure::from(error).about(&args.file))?;
    let report = EvalReport {
        metric: evaluation.metric,
        value: evaluation.value,
        bytes: reader.size().bytes(),
        float_bytes: evaluation.float_bytes,
        mean_bits: evaluation.mean_bits,
        data: evaluation.data,
        model: evaluation.model,
        records: evaluation.records,
    };
    match args.format {
        Format::Json => print_json(&report)?,
        Format::Text => {
            let mut out = std::io::stdout().lock();
            let ratio = report.float_bytes as f64 / report.bytes as f64;
            writeln!(out, "{:<12}{}", report.metric.name, report.value)?;
            writeln!(
                out,
                "{:<12}{} ({ratio:.1} times smaller than float32)",
                "bytes",
                grouped(report.bytes)
            )?;
            writeln!(out, "{:<12}{:.3}", "mean bits", report.mean_bits)?;
            writeln!(out, "{:<12}{}, {} test records", "data", report.data, report.records)?;
        }
    }
    Ok(Verdict::Done)
}
