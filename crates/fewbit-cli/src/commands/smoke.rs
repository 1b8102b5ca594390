//! `fewbit smoke`: a few steps of recipes on noise.

use std::collections::BTreeSet;
use std::sync::atomic::AtomicBool;
use std::time::Instant;

use fewbit_burn::train::{Outcome, RunFolder, Start};
use fewbit_zoo::recipe::{Recipe, builtin_names, resolve};
use fewbit_zoo::{Experiment, shortened};

use super::{device, use_threads};
use crate::Verdict;
use crate::args::SmokeArgs;
use crate::failure::{Failure, say};
use crate::report::grouped;

pub(crate) fn run(args: SmokeArgs) -> Result<Verdict, Failure> {
    use_threads(args.machine.threads)?;
    let device = device(args.machine.device)?;
    let names = match args.recipes.is_empty() {
        true => builtin_names().into_iter().map(str::to_owned).collect(),
        false => args.recipes,
    };
    let mut done = BTreeSet::new();
    for name in names {
        let recipe = resolve(&name, &[])?;
        let small = recipe.twin.clone().unwrap_or(name);
        if !done.insert(small.clone()) {
            continue;
        }
        let recipe = resolve(&small, &[])?;
        let short = shortened(&recipe, args.steps as usize);
        let began = Instant::now();
        let bytes = finish(&short, &device)?;
        say(format_args!(
            "{}: {} steps, a file of {} bytes, {:.1} s",
            recipe.name,
            args.steps,
            grouped(bytes),
            began.elapsed().as_secs_f64()
        ));
    }
    Ok(Verdict::Done)
}

/// Bytes of the file at the end of all steps.
fn finish(recipe: &Recipe, device: &fewbit_zoo::Device) -> Result<u64, Failure> {
    let about = |error: Failure| error.about(std::path::Path::new(&recipe.name));
    let scratch = tempfile::tempdir()?;
    let mut folder = RunFolder::create(&scratch.path().join("run"), &recipe.to_toml())?;
    let stop = AtomicBool::new(false);
    let experiment = Experiment::on_noise(recipe).map_err(|error| about(error.into()))?;
    let outcome = experiment.train(device, &mut folder, Start::New, &stop, |_| {});
    match outcome.map_err(|error| about(error.into()))? {
        Outcome::Finished(rows) => Ok(rows.last().map_or(0, |row| row.bytes)),
        _ => Err(Failure::new("stopped")),
    }
}
