//! `fewbit plan`: how small a file can be and what a run will take, before any training.

use std::io::{self, Write};

use fewbit_burn::train::memory_limit;
use fewbit_zoo::{Beginning, Plan};
use serde::Serialize;

use super::{device, does_not_fit, initial_weights, recipe_with, teacher, use_threads};
use crate::Verdict;
use crate::args::{DeviceKind, Format, PlanArgs};
use crate::failure::Failure;
use crate::report::{duration, grouped, mebibytes, print_json};

/// Tensors that are listed for people.
const LISTED: usize = 12;

#[derive(Serialize)]
struct Report {
    recipe: String,
    values: u64,
    quantized_values: u64,
    float_bytes: u64,
    smallest_bytes: u64,
    largest_bytes: u64,
    #[serde(skip_serializing_if = "Option::is_none")]
    budget_bytes: Option<u64>,
    float_steps: u64,
    quantized_steps: u64,
    float_step_seconds: Option<f64>,
    quantized_step_seconds: Option<f64>,
    total_seconds: Option<f64>,
    peak_memory_bytes: Option<u64>,
    tensors: Vec<Tensor>,
}

#[derive(Serialize)]
struct Tensor {
    path: String,
    shape: Vec<usize>,
    values: u64,
    quantized: bool,
    /// Of all values.
    share: f64,
}

impl Report {
    fn of(recipe: String, plan: &Plan) -> Self {
        let values = plan.values();
        Self {
            recipe,
            values,
            quantized_values: plan.quantized(),
            float_bytes: 4 * values,
            smallest_bytes: plan.run.smallest,
            largest_bytes: plan.run.largest,
            budget_bytes: plan.budget,
            float_steps: plan.float_steps,
            quantized_steps: plan.quantized_steps,
            float_step_seconds: plan.run.float_step_seconds,
            quantized_step_seconds: plan.run.quantized_step_seconds,
            total_seconds: plan.seconds(),
            peak_memory_bytes: plan.run.peak_memory,
            tensors: plan
                .tensors
                .iter()
                .map(|tensor| Tensor {
                    path: tensor.path.clone(),
                    shape: tensor.shape.clone(),
                    values: tensor.values,
                    quantized: tensor.quantized,
                    share: tensor.values as f64 / values.max(1) as f64,
                })
                .collect(),
        }
    }

    /// For people.
    fn print(&self) -> io::Result<()> {
        let mut out = io::stdout().lock();
        let ratio = |bytes: u64| self.float_bytes as f64 / bytes.max(1) as f64;
        let bytes = |bytes: u64| format!("{:>12} bytes, ratio {:.1}", grouped(bytes), ratio(bytes));
        writeln!(out, "recipe          {}", self.recipe)?;
        let quantized = grouped(self.quantized_values);
        writeln!(out, "values          {:>12}, of which {quantized} are quantized", grouped(self.values))?;
        writeln!(out, "as float32      {:>12} bytes", grouped(self.float_bytes))?;
        if self.smallest_bytes == self.largest_bytes {
            writeln!(out, "file           about {}", bytes(self.largest_bytes))?;
        } else {
            writeln!(out, "smallest file   {} (no weight has a bit)", bytes(self.smallest_bytes))?;
            writeln!(out, "largest file    {} (widths of 8 bits)", bytes(self.largest_bytes))?;
        }
        if let Some(budget) = self.budget_bytes {
            let of_weights = budget.saturating_sub(self.smallest_bytes) as f64 * 8.0;
            let bits = of_weights / self.quantized_values.max(1) as f64;
            writeln!(out, "budget          {}, {bits:.2} bits for each quantized weight", bytes(budget))?;
            if budget > self.largest_bytes {
                writeln!(out, "                more than the largest file: the rest will not be used")?;
            }
        }
        let step = |seconds: Option<f64>| {
            seconds.map_or("not timed".to_owned(), |seconds| format!("{:.0} ms each", 1000.0 * seconds))
        };
        let (float, quantized) = (step(self.float_step_seconds), step(self.quantized_step_seconds));
        writeln!(out, "float steps     {:>12}, {float}", grouped(self.float_steps))?;
        writeln!(out, "quantized steps {:>12}, {quantized}", grouped(self.quantized_steps))?;
        if let Some(seconds) = self.total_seconds {
            writeln!(out, "time            {:>12}, evaluations not among them", duration(seconds))?;
        }
        if let Some(memory) = self.peak_memory_bytes {
            writeln!(out, "memory          {:>12}, the data set not among it", mebibytes(memory))?;
            if let Some(limit) = memory_limit().filter(|limit| memory > *limit) {
                writeln!(out, "                more than the {} that this machine has", mebibytes(limit))?;
            }
        }
        writeln!(out, "\n{:<40}{:>12}{:>8}", "tensor", "values", "share")?;
        for tensor in self.tensors.iter().take(LISTED) {
            let (share, kind) = (100.0 * tensor.share, if tensor.quantized { "" } else { "  float" });
            let values = grouped(tensor.values);
            writeln!(out, "{:<40}{values:>12}{share:>6.1} %{kind}", tensor.path)?;
        }
        let rest = self.tensors.iter().skip(LISTED);
        let (count, values) = (rest.clone().count(), rest.map(|tensor| tensor.values).sum());
        if count > 0 {
            let share = 100.0 * values as f64 / self.values.max(1) as f64;
            writeln!(out, "{:<40}{:>12}{share:>6.1} %", format!("{count} more"), grouped(values))?;
        }
        Ok(())
    }
}

pub(crate) fn run(args: PlanArgs) -> Result<Verdict, Failure> {
    use_threads(args.machine.threads)?;
    let device = device(args.machine.device)?;
    let recipe = recipe_with(&args.recipe, &args.overrides, &args.budget, None)?;
    let initial = args.from.as_deref().map(|path| initial_weights(path, &recipe)).transpose()?;
    let teacher = args.teacher.as_deref().map(|path| teacher(path, &recipe)).transpose()?;
    let beginning = Beginning { initial, teacher: teacher.map(|(_, network)| network) };
    let mut memory = None;
    if args.machine.device == DeviceKind::Cpu {
        memory = fewbit_zoo::expected_memory(&recipe, beginning.clone(), &device)?;
    }
    // Steps that would not fit are not tried.
    let steps = if memory.and_then(does_not_fit).is_some() { 0 } else { args.steps };
    let mut plan = fewbit_zoo::plan(&recipe, beginning, steps, &device)?;
    plan.run.peak_memory = plan.run.peak_memory.filter(|_| steps > 0).or(memory);
    let report = Report::of(recipe.name.clone(), &plan);
    match args.format {
        Format::Json => print_json(&report)?,
        Format::Text => report.print()?,
    }
    Ok(Verdict::Done)
}
