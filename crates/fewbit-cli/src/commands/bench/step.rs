//! `fewbit bench step`: the median seconds of a training step.

use std::io::Write;
use std::sync::Arc;

use fewbit::BitWidth;
use fewbit::method::{DiffQ, Fewbit, FixedWidth, Lsq, Method, Phase, ScaleSpace};
use fewbit_zoo::step_timing::{Network, StepTiming};
use serde::Serialize;

use crate::Verdict;
use crate::args::{Format, StepArgs, StepMethod, StepModel, StepPhase};
use crate::commands::{device, use_threads};
use crate::failure::Failure;
use crate::report::print_json;

#[derive(Serialize)]
struct StepReport {
    model: &'static str,
    method: &'static str,
    forward: bool,
    threads: usize,
    steps: u32,
    median_s: f64,
    fastest_s: f64,
    slowest_s: f64,
}

pub(super) fn run(args: &StepArgs) -> Result<Verdict, Failure> {
    use_threads(args.machine.threads)?;
    let device = device(args.machine.device)?;
    let (model, network) = match args.model {
        StepModel::Resnet => ("resnet", Network::ResNet),
        StepModel::Lm => ("lm", Network::LanguageModel),
    };
    let method: Option<Arc<dyn Method>> = match args.method {
        StepMethod::Float => None,
        StepMethod::Diffq => Some(Arc::new(DiffQ::default())),
        StepMethod::Fewbit => Some(Arc::new(Fewbit::default())),
        StepMethod::Lsq => {
            let fixed = FixedWidth::of_tensor(BitWidth::new(4).expect("at most 16"));
            Some(Arc::new(Lsq { fixed, space: ScaleSpace::Linear }))
        }
    };
    let name = method.as_ref().map_or("float", |method| method.name());
    let phase = match args.phase {
        StepPhase::Noise => Phase::Noise,
        StepPhase::Rounding => Phase::Rounding,
    };
    let timing = StepTiming { network, method, phase, forward: args.forward, steps: args.steps };
    let mut seconds = timing.seconds(&device)?;
    seconds.sort_by(f64::total_cmp);
    let (middle, odd) = (seconds.len() / 2, seconds.len() % 2 == 1);
    let median = if odd { seconds[middle] } else { (seconds[middle - 1] + seconds[middle]) / 2.0 };
    let report = StepReport {
        model,
        method: name,
        forward: args.forward,
        threads: rayon::current_num_threads(),
        steps: args.steps,
        median_s: median,
        fastest_s: seconds[0],
        slowest_s: seconds[seconds.len() - 1],
    };
    match args.format {
        Format::Json => print_json(&report)?,
        Format::Text => writeln!(
            std::io::stdout(),
            "{} {}{} median_s {:.4} ({} threads, {} steps, {:.4} to {:.4})",
            report.model,
            report.method,
            if report.forward { " forward" } else { "" },
            report.median_s,
            report.threads,
            report.steps,
            report.fastest_s,
            report.slowest_s,
        )?,
    }
    Ok(Verdict::Done)
}
