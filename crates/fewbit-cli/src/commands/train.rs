//! `fewbit train`.

use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};

use fewbit::StoredModel;
use fewbit_burn::train::{
    CheckpointError, Event, INITIAL_FILE, MODEL_FILE, Outcome, RECIPE_FILE, RunFolder, RunFolderError, Start,
    TEACHER_FILE, TrainError, peak_memory,
};
use fewbit_zoo::recipe::{OnNonFinite, Recipe};
use fewbit_zoo::{Beginning, Experiment, ExperimentError};

use super::{device, does_not_fit, initial_weights, recipe_with, teacher, use_threads};
use crate::Verdict;
use crate::args::{DeviceKind, Format, TrainArgs};
use crate::failure::{Failure, say};
use crate::progress::Progress;
use crate::report::results::{self, RunReport};
use crate::report::{duration, grouped, mebibytes, print_json};
use crate::runs::{Settings, has_checkpoint};

/// Where runs go unless `--out` says otherwise.
const RUNS: &str = "runs";

pub(crate) fn run(args: TrainArgs) -> Result<Verdict, Failure> {
    use_threads(args.machine.threads)?;
    let device = device(args.machine.device)?;
    let recipe = recipe(&args)?;
    if let Some(out) = args.out.as_deref().filter(|out| out.symlink_metadata().is_ok()) {
        return Err(exists(out));
    }
    let data = match (&args.data, &args.resume) {
        _ if args.download => crate::download::data_set(recipe.data.set)?,
        (Some(data), _) => Some(std::path::absolute(data)?),
        (None, Some(run)) => RunFolder::open(run)?.data_path()?,
        (None, None) => None,
    };
    // Whether weights and budget fit, before data are read and a folder is made.
    let initial = args.from.as_deref().map(|path| initial_weights(path, &recipe)).transpose()?;
    let teacher = args.teacher.as_deref().map(|path| teacher(path, &recipe)).transpose()?;
    let (teacher_file, teacher) = teacher.unzip();
    let is_new = args.resume.as_ref().is_none_or(|run| !has_checkpoint(run));
    let beginning = match &args.resume {
        // As a sweep leaves it to its runs.
        Some(run) if is_new => Beginning::in_folder(run, &recipe)?,
        _ => Beginning { initial, teacher },
    };
    let mut memory = None;
    if is_new && args.machine.device == DeviceKind::Cpu {
        memory = fewbit_zoo::expected_memory(&recipe, beginning.clone(), &device)?;
    }
    if args.resume.is_none() {
        let plan = fewbit_zoo::plan(&recipe, beginning.clone(), 0, &device)?;
        if let Some(budget) = plan.budget {
            let [smallest, largest, budget] = [plan.run.smallest, plan.run.largest, budget].map(grouped);
            say(format_args!("a file of at most {budget} bytes; {smallest} to {largest} are possible"));
        }
    }
    let experiment = Experiment::prepare(&recipe, data.as_deref())?;
    tell_skipped(experiment.skipped());
    if let Some(of_steps) = memory {
        let memory = of_steps + experiment.data_bytes();
        if let Some(failure) = does_not_fit(memory) {
            return Err(failure);
        }
        say(format_args!("about {} of memory will be taken", mebibytes(memory)));
    }
    let mut folder = match &args.resume {
        Some(path) => RunFolder::open(path)?,
        None => create(&args, &recipe, beginning.initial, teacher_file)?,
    };
    drop(beginning.teacher);
    folder.lock()?;
    if args.resume.is_none() {
        folder.set_data_path(data.as_deref())?;
    }
    say(format_args!("run folder {}", folder.path().display()));
    let stop = stop_on_signal()?;
    let mut progress = Progress::new(experiment.total_steps());
    let start = match (&args.resume, args.force) {
        (None, _) => Start::New,
        (Some(_), false) => Start::Resume,
        (Some(_), true) => Start::ResumeAnyway,
    };
    let kept = RunFolder::open(folder.path())?;
    let keep = || -> Result<(), Failure> {
        kept.set_recipe(&recipe.to_toml())?;
        Ok(kept.set_data_path(data.as_deref())?)
    };
    let mut keeping = Ok(());
    let outcome = experiment.train(&device, &mut folder, start, &stop, |event| {
        if let Event::Resumed { .. } = event {
            // Not before: a run that is refused stays as it was.
            keeping = keep();
        }
        progress.show(&event);
    });
    progress.finish();
    keeping?;
    let rolls_back = recipe.training.on_non_finite == OnNonFinite::RollBack;
    match outcome.map_err(|error| failure(error, rolls_back))? {
        Outcome::Finished(rows) => {
            let file = folder.path().join(MODEL_FILE);
            match args.format {
                Format::Text => results::print(&rows)?,
                Format::Json => print_json(&RunReport {
                    run: folder.path().display().to_string(),
                    file: file.display().to_string(),
                    results: &rows,
                })?,
            }
            let bytes = rows.last().map_or(0, |row| row.bytes);
            let memory =
                peak_memory().map_or(String::new(), |peak| format!(", {} of memory", mebibytes(peak)));
            let took = duration(rows.last().map_or(0.0, |row| row.seconds));
            if args.report {
                super::report::of_run(folder.path())?;
            }
            say(format_args!("wrote {}, {} bytes, in {took}{memory}", file.display(), grouped(bytes)));
            Ok(Verdict::Done)
        }
        Outcome::Interrupted { step } => {
            let device = match args.machine.device {
                DeviceKind::Cpu => "",
                DeviceKind::Cuda => " --device cuda",
                DeviceKind::Wgpu => " --device wgpu",
            };
            let run = folder.path().display();
            say(format_args!(
                "stopped after step {step}, all is saved; go on with:\n  fewbit train --resume '{run}'{device}"
            ));
            Ok(Verdict::Interrupted)
        }
        other => Err(Failure::new(format!("the run ended in an unknown way: {other:?}"))),
    }
}

/// The recipe of the run: that of the folder to go on with, or the named one with its overrides.
fn recipe(args: &TrainArgs) -> Result<Recipe, Failure> {
    let Some(run) = &args.resume else {
        return recipe_with(&args.recipe, &args.overrides, &args.budget, args.seed);
    };
    let kept = Recipe::parse(&RunFolder::open(run)?.recipe()?)?;
    let file = run.join(RECIPE_FILE).display().to_string();
    let asked = recipe_with(&file, &args.overrides, &args.budget, args.seed)?;
    match Settings::of(&kept).differences(&Settings::of(&asked)) {
        Some(differences) if !args.force => {
            let message = format!("`{}` was begun with another recipe: {differences}", run.display());
            Err(Failure::new(message).hint(FORCE))
        }
        _ => Ok(asked),
    }
}

/// What helps where a run is not the one that was begun.
const FORCE: &str = "`--force` goes on all the same; what comes of it is neither run's";

/// An error of training, with what helps.
fn failure(error: ExperimentError, rolls_back: bool) -> Failure {
    let ExperimentError::Train(train) = &error else { return error.into() };
    let hint = match train {
        TrainError::Checkpoint(CheckpointError::OtherRun { .. }) => Some(FORCE),
        TrainError::NonFinite { .. } if rolls_back => {
            Some("rolling back with lower and lower rates did not help; a lower `training.learning_rate` may")
        }
        TrainError::NonFinite { checkpoint: Some(_), .. } => Some(
            "`--resume RUN --force --set training.on_non_finite=roll-back` goes on from the checkpoint with lower \
             learning rates where that happens",
        ),
        TrainError::NonFinite { checkpoint: None, .. } => {
            Some("a lower `training.learning_rate`, or `--set training.on_non_finite=roll-back`, may help")
        }
        TrainError::Record(_) => Some(
            "mend the file and `--resume`; a new run with `--set data.on_corrupt=skip` looks at every file first and leaves \
             damaged ones out",
        ),
        _ => None,
    };
    Failure::from(error).maybe_hint(hint)
}

/// The run folder, with the weights that the run starts from and the file of its teacher.
fn create(
    args: &TrainArgs,
    recipe: &Recipe,
    initial: Option<StoredModel>,
    teacher: Option<Vec<u8>>,
) -> Result<RunFolder, Failure> {
    let text = recipe.to_toml();
    let initial = initial.map(|weights| weights.to_bytes()).transpose()?;
    let more = [(INITIAL_FILE, &initial), (TEACHER_FILE, &teacher)];
    let more = more.into_iter().filter_map(|(name, bytes)| Some((name, bytes.as_deref()?)));
    let more: Vec<(&str, &[u8])> = more.collect();
    match &args.out {
        Some(path) => match RunFolder::create_with(path, &text, &more) {
            Err(RunFolderError::Exists(path)) => Err(exists(&path)),
            made => Ok(made?),
        },
        // Without a name of its own a run takes the first that is free.
        None => {
            let mut number = 1;
            loop {
                match RunFolder::create_with(&default_folder(&recipe.name, number), &text, &more) {
                    Err(RunFolderError::Exists(_)) => number += 1,
                    made => return Ok(made?),
                }
            }
        }
    }
}

fn default_folder(name: &str, number: u32) -> PathBuf {
    let runs = Path::new(RUNS);
    if number == 1 { runs.join(name) } else { runs.join(format!("{name}-{number}")) }
}

fn exists(path: &Path) -> Failure {
    Failure::new(format!("`{}` already exists", path.display()))
        .hint(format!("go on with that run by `--resume {}`, or name another folder", path.display()))
}

/// Set by the first Ctrl-C or SIGTERM; the second ends the process at once.
fn stop_on_signal() -> Result<Arc<AtomicBool>, Failure> {
    let stop = Arc::new(AtomicBool::new(false));
    let shared = stop.clone();
    ctrlc::set_handler(move || {
        if shared.swap(true, Ordering::Relaxed) {
            std::process::exit(130);
        }
        say(format_args!("\nstopping after this step; once more stops at once"));
    })?;
    Ok(stop)
}

/// Names the damaged items that are left out, the first few of many.
fn tell_skipped(skipped: &[String]) {
    const NAMED: usize = 5;
    for reason in skipped.iter().take(NAMED) {
        say(format_args!("left out: {reason}"));
    }
    if skipped.len() > NAMED {
        say(format_args!("left out: {} more, {} in all", skipped.len() - NAMED, skipped.len()));
    }
}
