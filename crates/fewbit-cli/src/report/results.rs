//! The table at the end of a run.

use std::io::{self, Write};

use fewbit_burn::train::ResultRow;
use serde::Serialize;

use super::{grouped, metric};

/// The rows of a run with where its files are.
#[derive(Serialize)]
pub(crate) struct RunReport<'a> {
    pub(crate) run: String,
    pub(crate) file: String,
    pub(crate) results: &'a [ResultRow],
}

/// For people: one line per method.
pub(crate) fn print(rows: &[ResultRow]) -> io::Result<()> {
    let mut out = io::stdout().lock();
    let title = rows.first().map_or("value".to_owned(), |row| metric::title(&row.metric));
    writeln!(out, "{:<24}{title:>10}{:>12}{:>11}{:>8}   p", "method", "bytes", "mean bits", "ratio")?;
    for row in rows {
        let value = metric::value(&row.metric, row.value);
        let ratio = row.float_bytes as f64 / row.bytes as f64;
        let p = row.p_value.map_or("—".to_owned(), probability);
        writeln!(
            out,
            "{:<24}{value:>10}{:>12}{:>11.2}{ratio:>8.1}   {p}",
            row.method.title(),
            grouped(row.bytes),
            row.mean_bits,
        )?;
    }
    Ok(())
}

fn probability(p: f64) -> String {
    if p < 1e-4 { "< 0.0001".to_owned() } else { format!("{p:.4}") }
}
