//! A page about runs: one file that needs no network, in the reader's theme.

mod axis;
mod figures;
mod frontier;
mod history;

use std::fs;

use fewbit_burn::train::{MODEL_FILE, Method};
use maud::{DOCTYPE, Markup, PreEscaped, html};

use self::axis::Axis;
use self::figures::{Series, bars, colour, over_steps};
use self::frontier::Frontier;
pub(crate) use self::frontier::Mark;
use self::history::History;
use crate::failure::{Failure, harmless};
use crate::report::inspection::Inspection;
use crate::report::{duration, grouped, metric};
use crate::runs::{Run, Settings};

/// Runs that are shown with plots of their own; more would be a long page.
const SHOWN: usize = 8;

/// The results of the runs of each recipe, under its name.
pub(crate) type Marks = Vec<(String, Vec<Mark>)>;

/// The first plot of the page for each recipe, as SVG under the recipe's name.
pub(crate) fn plots(marks: &Marks) -> Vec<(&str, String)> {
    marks.iter().filter_map(|(name, marks)| Some((name.as_str(), Frontier::of(marks)?.file()))).collect()
}

/// The page about `runs`, of which `table` has the results: the head and its lines; `marks` has them for the plots.
pub(crate) fn page(runs: &[Run], table: &[Vec<String>], marks: &Marks) -> Result<String, Failure> {
    let details = runs.iter().map(Details::read).collect::<Result<Vec<_>, _>>()?;
    let title = match runs {
        [run] => run.path.file_name().map_or("run".to_owned(), |name| name.to_string_lossy().into_owned()),
        _ => format!("{} runs", runs.len()),
    };
    let title = harmless(&title);
    let page = html! {
        (DOCTYPE)
        html lang="en" {
            head {
                meta charset="utf-8";
                meta name="viewport" content="width=device-width, initial-scale=1";
                title { (title) " · fewbit" }
                style { (PreEscaped(include_str!("style.css"))) }
            }
            body {
                main {
                    h1 { (title) }
                    @if let [one] = details.as_slice() {
                        p { "recipe " (one.recipe_name()) ", " (grouped(one.history.steps)) " steps" }
                        (one.numbers())
                    }
                    h2 { "Metric against bytes" }
                    @for (name, marks) in marks {
                        @if let Some(plot) = Frontier::of(marks) { (plot.figure(name)) }
                    }
                    h2 { "Results" }
                    (results(table))
                    @for one in details.iter().take(SHOWN) {
                        @if details.len() > 1 { h2 { (one.name) } }
                        (one.figures())
                    }
                    @if details.len() > SHOWN {
                        p { "The other " (details.len() - SHOWN) " runs are in the table and in the first plot." }
                    }
                    @if let [one] = details.as_slice() {
                        h2 { "Recipe" }
                        pre { (one.recipe) }
                    }
                    footer {
                        "Made by fewbit " (env!("CARGO_PKG_VERSION")) ". Bytes are of whole files, everything included; \
                         metrics are of what the file evaluates to."
                    }
                }
            }
        }
    };
    Ok(page.into_string())
}

/// A run with all that the page shows of it.
struct Details {
    name: String,
    recipe: String,
    settings: Settings,
    history: History,
    /// What is in its file, once it has one.
    file: Option<Inspection>,
}

impl Details {
    fn read(run: &Run) -> Result<Self, Failure> {
        let history = History::read(&run.path).map_err(|error| Failure::from(error).about(&run.path))?;
        let path = run.path.join(MODEL_FILE);
        let file = match fs::metadata(&path) {
            Ok(_) => Some(Inspection::of(&fewbit::read_file(&path)?)),
            Err(_) => None,
        };
        let recipe = fewbit_burn::train::RunFolder::open(&run.path)?.recipe()?;
        let name = run.path.file_name().unwrap_or_default().to_string_lossy();
        Ok(Self {
            name: harmless(&name),
            recipe: harmless(&recipe),
            settings: run.settings.clone(),
            history,
            file,
        })
    }

    fn recipe_name(&self) -> String {
        self.settings.get("name").map_or_else(String::new, crate::runs::plain)
    }

    /// The most bytes that the file may have, as the run had it.
    fn budget(&self) -> Option<f64> {
        let number = |key: &str| {
            let value = self.settings.get(key)?;
            value.as_float().or_else(|| value.as_integer().map(|whole| whole as f64))
        };
        let values = self.history.results.first()?.float_bytes as f64 / 4.0;
        number("budget.bytes")
            .or_else(|| Some(4.0 * values / number("budget.ratio")?))
            .or_else(|| Some(values * number("budget.bits")? / 8.0))
    }

    fn numbers(&self) -> Markup {
        let results = &self.history.results;
        let Some(own) = results.last() else { return html! { p { "The run is not finished." } } };
        let float = results.iter().find(|row| row.method == Method::Float);
        html! {
            div.numbers {
                div { b { (metric::with_unit(&own.metric, own.value)) } span { (own.method.title()) } }
                @if let Some(float) = float {
                    div { b { (metric::with_unit(&float.metric, float.value)) } span { "float" } }
                }
                div { b { (grouped(own.bytes)) } span { "bytes" } }
                div { b { (format!("{:.1} ×", own.float_bytes as f64 / own.bytes as f64)) } span { "smaller than float32" } }
                div { b { (format!("{:.2}", own.mean_bits)) } span { "mean bits" } }
                div { b { (duration(own.seconds)) } span { "training and evaluation" } }
            }
        }
    }

    fn figures(&self) -> Markup {
        let history = &self.history;
        let line = |name: &str, points: &[(f64, f64)]| [Series::line(name, 0, points.to_vec())];
        let (phases, steps) = (&history.phases, history.steps.max(1) as f64);
        let measured = history.results.last().map(|row| &row.metric);
        let name = measured.map_or("metric".to_owned(), metric::axis);
        let scale = measured.map_or(1.0, metric::scale);
        let points: Vec<_> = history.validation.iter().map(|(at, value)| (*at, scale * value)).collect();
        let validation = [Series { is_line: false, ..take(line("validation", &points)) }];
        let budget = self.budget().map(|budget| ("budget", budget));
        html! {
            div.figures {
                @if !history.loss.is_empty() {
                    (figure("Loss", "of training batches", &over_steps(&line("loss", &history.loss), phases, steps, &Axis::logarithmic("loss"), None)))
                }
                @if !history.validation.is_empty() {
                    (figure("Validation", "of what the file would be", &over_steps(&validation, phases, steps, &Axis::linear(&name), None)))
                }
                @if !history.bytes.is_empty() {
                    (figure("Size", "estimated, and measured now and then, against the budget", &over_steps(&line("bytes", &history.bytes), phases, steps, &Axis::logarithmic("bytes"), budget)))
                }
                @if !history.penalty.is_empty() {
                    (figure("λ", "the price of a MiB, found while training", &over_steps(&line("λ", &history.penalty), phases, steps, &Axis::logarithmic("λ"), None)))
                }
                @if let Some(file) = &self.file {
                    (figure("Bits by layer", "mean over the weights of each quantized tensor, in the order of the network", &bars(&file.bits_by_tensor(), "bits")))
                    (figure("Widths", "share of the weights' groups at each width", &bars(&file.widths(), "% of groups")))
                }
            }
            @if let Some(file) = &self.file { (parts(file)) }
        }
    }
}

/// The only one.
fn take([series]: [Series; 1]) -> Series {
    series
}

fn figure(title: &str, about: &str, svg: &str) -> Markup {
    html! { figure { figcaption { b { (title) } " " (about) } (PreEscaped(svg)) } }
}

fn results(table: &[Vec<String>]) -> Markup {
    let Some((head, lines)) = table.split_first().filter(|(_, lines)| !lines.is_empty()) else {
        return html! { p { "No run is finished." } };
    };
    let is_word =
        |column: usize| head.iter().position(|name| name == "method").is_some_and(|at| column <= at);
    html! {
        div.scroll.results {
            table {
                tr { @for (column, cell) in head.iter().enumerate() { th.word[is_word(column)] { (cell) } } }
                @for line in lines {
                    tr { @for (column, cell) in line.iter().enumerate() { td.word[is_word(column)] { (cell) } } }
                }
            }
        }
    }
}

/// Where the bytes of a file go.
fn parts(file: &Inspection) -> Markup {
    let parts: Vec<_> = file.parts().into_iter().filter(|(_, bytes)| *bytes > 0).collect();
    let share = |bytes: u64| format!("{:.2}", 100.0 * bytes as f64 / file.bytes().max(1) as f64);
    html! {
        h2 { "Where the bytes go" }
        div.stack {
            @for (number, (name, bytes)) in parts.iter().enumerate() {
                div title=(name) style={ "width:" (share(*bytes)) "%;background:" (colour(number)) } {}
            }
        }
        div.legend {
            @for (number, (name, bytes)) in parts.iter().enumerate() {
                span { i style={ "background:" (colour(number)) } {} (name) " " (grouped(*bytes)) " (" (share(*bytes)) " %)" }
            }
        }
    }
}
