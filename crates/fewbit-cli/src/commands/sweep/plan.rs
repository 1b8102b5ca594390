//! The runs of a sweep, each checked before the first begins, and how far each is.

use std::path::{Path, PathBuf};

use fewbit_burn::train::RunFolder;
use fewbit_zoo::Experiment;
use fewbit_zoo::recipe::{self, Recipe};

use super::grid::{self, Axis, Setting};
use super::name::run_name;
use super::start::Start;
use crate::args::SweepArgs;
use crate::failure::Failure;
use crate::runs::{Metrics, Run, Settings};

/// One run: what it is to be, where, and how far it is.
pub(super) struct Planned {
    /// Of its folder, which says what the run is.
    pub(super) name: String,
    pub(super) path: PathBuf,
    pub(super) recipe: Recipe,
    pub(super) state: State,
}

/// How far a run is.
pub(super) enum State {
    /// Nothing is there.
    New,
    /// It can go on from its newest checkpoint.
    Begun(Metrics),
    /// The file and its results are there.
    Finished,
}

impl Planned {
    /// The file beside the run's folder that takes what the run prints.
    pub(super) fn log(&self) -> PathBuf {
        self.path.with_file_name(format!("{}.log", self.name))
    }

    pub(super) fn is_finished(&self) -> bool {
        matches!(self.state, State::Finished)
    }

    /// How far the run is now, and whether its folder is that of the planned run.
    pub(super) fn look(&self, start: &Start) -> Result<State, Failure> {
        let path = &self.path;
        if path.symlink_metadata().is_err() {
            return Ok(State::New);
        }
        let run = Run::read(path)?;
        if let Some(differences) = run.settings.differences(&Settings::of(&self.recipe)) {
            let message = format!("`{}` is of another recipe: {differences}", path.display());
            let hint = "a key whose values are given by `--over` is part of the folder's name; \
                        or name another folder by `--out`";
            return Err(Failure::new(message).hint(hint));
        }
        start.check_same(path)?;
        Ok(if run.outcome().is_some() { State::Finished } else { State::Begun(run.metrics) })
    }

    /// Makes the folder of a run that has none.
    pub(super) fn make_folder(&self, path: &Path, start: &Start) -> Result<(), Failure> {
        if path.symlink_metadata().is_err() {
            RunFolder::create(path, &self.recipe.to_toml())?;
        }
        // Of a run that is under way these are the bytes that are there.
        start.put_in(path)
    }
}

/// The runs that the arguments ask for, in the order of the grid. Nothing is written.
pub(super) fn plan(args: &SweepArgs, start: &Start) -> Result<Vec<Planned>, Failure> {
    let fixed = args.overrides.iter().map(|text| grid::setting("--set", "KEY=VALUE", text));
    let fixed: Vec<Setting> = fixed.collect::<Result<_, _>>()?;
    let axes: Vec<Axis> = args.over.iter().map(|text| Axis::parse(text)).collect::<Result<_, _>>()?;
    let keys: Vec<&str> = axes.iter().map(|axis| axis.key.as_str()).collect();
    if let Some((key, value)) = fixed.iter().find(|(key, _)| keys.contains(&key.as_str())) {
        let message = format!("--set {key}={value}: the sweep is over this key, one of the two needed");
        return Err(Failure::new(message));
    }
    let mut runs: Vec<Planned> = Vec::new();
    for combination in grid::combinations(&axes)? {
        let run = planned(args, &fixed, &combination, &keys)?;
        if runs.iter().any(|other| other.name == run.name) {
            let message =
                format!("--over: two combinations are the run `{}`, each value once needed", run.name);
            return Err(Failure::new(message));
        }
        start.check_fits(&run.recipe)?;
        runs.push(run);
    }
    for run in &mut runs {
        run.state = run.look(start)?;
    }
    check_data(args, &runs)?;
    Ok(runs)
}

fn planned(
    args: &SweepArgs,
    fixed: &[Setting],
    combination: &[Setting],
    keys: &[&str],
) -> Result<Planned, Failure> {
    let overrides = [fixed, combination].concat();
    let recipe = recipe::resolve(&args.recipe, &overrides).map_err(|error| {
        let words: Vec<_> = combination.iter().map(|(key, value)| format!("{key}={value}")).collect();
        Failure::new(format!("{}: {}", words.join(" "), Failure::from(error)))
    })?;
    let name = run_name(&Settings::of(&recipe), keys);
    Ok(Planned { path: args.out.join(&name), name, recipe, state: State::New })
}

/// Whether data are given where a recipe reads some: one word before all runs fail of it.
fn check_data(args: &SweepArgs, runs: &[Planned]) -> Result<(), Failure> {
    if let Some(data) = args.data.as_deref().filter(|data| !data.exists()) {
        return Err(Failure::new(format!("--data `{}` does not exist", data.display())));
    }
    let new = runs.iter().filter(|run| matches!(run.state, State::New));
    for run in new {
        if run.recipe.data.set.needs_path() != args.data.is_some() {
            // Nothing is read, as it says at once what is missing or too much.
            Experiment::prepare(&run.recipe, args.data.as_deref())?;
        }
    }
    Ok(())
}
