//! `fewbit report`.

use std::path::{Path, PathBuf};

use fewbit::atomic::write_atomically;

use super::table;
use crate::Verdict;
use crate::args::ReportArgs;
use crate::failure::{Failure, say};
use crate::page::{page, plots};
use crate::runs::{self, Run};

/// The page's name in a run's folder.
const PAGE: &str = "report.html";

pub(crate) fn run(args: &ReportArgs) -> Result<Verdict, Failure> {
    let out = match (&args.out, args.runs.as_slice()) {
        (Some(out), _) => out.clone(),
        (None, [one]) => one.join(PAGE),
        (None, _) => PathBuf::from(PAGE),
    };
    write(&runs::find(&args.runs)?, &out, args.figures.as_deref())?;
    Ok(Verdict::Done)
}

/// Writes the page of the run in `folder` into it.
pub(super) fn of_run(folder: &Path) -> Result<(), Failure> {
    write(&[folder.to_owned()], &folder.join(PAGE), None)
}

fn write(folders: &[PathBuf], out: &Path, figures: Option<&Path>) -> Result<(), Failure> {
    let runs = folders.iter().map(|folder| Run::read(folder)).collect::<Result<Vec<_>, _>>()?;
    let marks = table::marks_of(&runs);
    write_atomically(out, page(&runs, &table::cells_of(&runs), &marks)?.as_bytes())?;
    say(format_args!("wrote {}", out.display()));
    let Some(folder) = figures else { return Ok(()) };
    std::fs::create_dir_all(folder).map_err(|error| Failure::from(error).about(folder))?;
    let mut taken = Vec::new();
    for (name, svg) in plots(&marks) {
        let mut name = file_name(name);
        while taken.contains(&name) {
            name.insert(0, '_');
        }
        let file = folder.join(&name);
        taken.push(name);
        write_atomically(&file, svg.as_bytes())?;
        say(format_args!("wrote {}", file.display()));
    }
    Ok(())
}

/// The file of a recipe's plot. The name is that of a run folder that anyone may have made, so that it must not lead
/// anywhere else.
fn file_name(recipe: &str) -> String {
    let plain = |c: char| if c.is_ascii_alphanumeric() || matches!(c, '-' | '_' | '.') { c } else { '_' };
    let name: String = recipe.chars().take(100).map(plain).collect();
    format!("{}.svg", name.trim_start_matches('.'))
}

#[cfg(test)]
mod tests {
    use super::file_name;

    #[test]
    fn a_plot_lies_in_its_folder_whatever_its_recipe_is_called() {
        assert_eq!(file_name("quick-start"), "quick-start.svg");
        assert_eq!(file_name("../../a b"), "_.._a_b.svg");
        assert_eq!(file_name(".."), ".svg");
    }
}
