//! What is in a file and where its bytes go.

use std::collections::BTreeMap;
use std::io::{self, Write};

use fewbit::{ContainerReader, TensorEntry, TensorKind};
use serde::Serialize;

use super::grouped;
use crate::failure::harmless;

/// Bytes by part; the parts of a file add up to its length.
#[derive(Serialize)]
struct Parts {
    header: u64,
    table: u64,
    ranges: u64,
    widths: u64,
    frequency_tables: u64,
    codes: u64,
    unquantized: u64,
    unused: u64,
    checksum: u64,
}

#[derive(Serialize)]
struct TensorReport {
    name: String,
    shape: Vec<usize>,
    /// `packed`, `coded`, `float32`, `float16`, `bfloat16`, the type of raw elements such as `int64`, or `alias`
    /// for a second name.
    encoding: &'static str,
    #[serde(skip_serializing_if = "Option::is_none")]
    group_size: Option<String>,
    #[serde(skip_serializing_if = "Option::is_none")]
    levels: Option<LevelsReport>,
    mean_bits: f64,
    /// Groups of each width; widths that no group has are left out.
    width_histogram: BTreeMap<usize, usize>,
    bytes: u64,
    bytes_by_part: BTreeMap<&'static str, u64>,
}

/// What the codes of a tensor mean.
#[derive(Serialize)]
struct LevelsReport {
    grid: &'static str,
    /// What has a range of its own.
    granularity: String,
    /// How a range is stored.
    form: String,
}

/// The whole listing.
#[derive(Serialize)]
pub(crate) struct Inspection {
    bytes: u64,
    float_bytes: u64,
    ratio: f64,
    mean_bits: f64,
    metadata: BTreeMap<String, String>,
    bytes_by_part: Parts,
    tensors: Vec<TensorReport>,
}

impl Inspection {
    pub(crate) fn of<B: AsRef<[u8]>>(reader: &ContainerReader<B>) -> Self {
        let size = reader.size();
        let floats =
            |entry: &&TensorEntry| matches!(entry.kind(), TensorKind::Quantized | TensorKind::Float32);
        let values: u64 = reader.tensors().iter().filter(floats).map(|e| e.len() as u64).sum();
        let metadata = reader.metadata_entries().map(|(k, v)| (k.to_owned(), v.to_owned())).collect();
        Self {
            bytes: size.bytes(),
            float_bytes: 4 * values,
            ratio: 4.0 * values as f64 / size.bytes() as f64,
            mean_bits: reader.mean_bits().unwrap_or(32.0),
            metadata,
            bytes_by_part: Parts {
                header: size.header(),
                table: size.table(),
                ranges: size.ranges(),
                widths: size.widths(),
                frequency_tables: size.frequency_tables(),
                codes: size.codes(),
                unquantized: size.unquantized(),
                unused: size.unused(),
                checksum: size.checksum(),
            },
            tensors: reader.tensors().iter().map(tensor_report).collect(),
        }
    }

    /// Length of the file.
    pub(crate) fn bytes(&self) -> u64 {
        self.bytes
    }

    /// The bytes of each part, by its name.
    pub(crate) fn parts(&self) -> [(&'static str, u64); 9] {
        let p = &self.bytes_by_part;
        [
            ("codes", p.codes),
            ("widths", p.widths),
            ("frequency tables", p.frequency_tables),
            ("ranges", p.ranges),
            ("unquantized", p.unquantized),
            ("table", p.table),
            ("header", p.header),
            ("checksum", p.checksum),
            ("unused", p.unused),
        ]
    }

    /// The mean bits of each quantized tensor, in the order of the file.
    pub(crate) fn bits_by_tensor(&self) -> Vec<(String, f64)> {
        let quantized = self.tensors.iter().filter(|tensor| !tensor.width_histogram.is_empty());
        quantized.map(|tensor| (harmless(&tensor.name), tensor.mean_bits)).collect()
    }

    /// The share in percent of all groups that have each width, from 0 to the largest that there is.
    pub(crate) fn widths(&self) -> Vec<(String, f64)> {
        let mut groups: Vec<usize> = Vec::new();
        for (width, count) in self.tensors.iter().flat_map(|tensor| &tensor.width_histogram) {
            groups.resize(groups.len().max(width + 1), 0);
            groups[*width] += count;
        }
        let all = groups.iter().sum::<usize>().max(1) as f64;
        let shares = groups.into_iter().map(|count| 100.0 * count as f64 / all);
        shares.enumerate().map(|(width, share)| (width.to_string(), share)).collect()
    }

    /// For people.
    pub(crate) fn print(&self) -> io::Result<()> {
        let mut out = io::stdout().lock();
        for (key, value) in &self.metadata {
            for (number, line) in value.lines().enumerate() {
                let key = if number == 0 { key.escape_debug().to_string() } else { String::new() };
                writeln!(out, "{key:<22}{}", harmless(line))?;
            }
        }
        writeln!(
            out,
            "{:<22}{} ({:.1} times smaller than float32)",
            "bytes",
            grouped(self.bytes),
            self.ratio
        )?;
        writeln!(out, "{:<22}{:.3}", "mean bits", self.mean_bits)?;
        writeln!(out, "\nwhere the bytes go")?;
        for (part, bytes) in self.parts() {
            let share = 100.0 * bytes as f64 / self.bytes as f64;
            writeln!(out, "  {part:<18}{:>12}  {share:>5.1} %", grouped(bytes))?;
        }
        let names = self.tensors.iter().map(|tensor| tensor.name.escape_debug().count());
        let width = names.max().unwrap_or(0).max("tensor".len());
        writeln!(
            out,
            "\n{:<width$}  {:<18} {:>9} {:>10}  encoding, groups of each width",
            "tensor", "shape", "mean bits", "bytes"
        )?;
        for tensor in &self.tensors {
            let shape: Vec<_> = tensor.shape.iter().map(ToString::to_string).collect();
            let widths: Vec<_> =
                tensor.width_histogram.iter().map(|(bits, groups)| format!("{bits}:{groups}")).collect();
            let widths = [tensor.encoding.to_owned(), widths.join(" ")].join("  ");
            let widths = widths.trim_end();
            let (name, bytes) = (tensor.name.escape_debug().to_string(), grouped(tensor.bytes));
            let (shape, bits) = (shape.join("×"), tensor.mean_bits);
            writeln!(out, "{name:<width$}  {shape:<18} {bits:>9.3} {bytes:>10}  {widths}")?;
        }
        Ok(())
    }
}

fn levels_report(entry: &TensorEntry) -> Option<LevelsReport> {
    Some(LevelsReport {
        grid: entry.grid_kind()?.name(),
        granularity: entry.range_granularity()?.to_string(),
        form: entry.range_form()?.to_string(),
    })
}

fn tensor_report(entry: &TensorEntry) -> TensorReport {
    let bytes = entry.bytes();
    let encoding = match entry.kind() {
        TensorKind::Alias { .. } => "alias",
        _ => entry.encoding().name(),
    };
    let quantized = entry.kind() == TensorKind::Quantized;
    let histogram = entry.width_histogram().into_iter().enumerate();
    TensorReport {
        name: entry.name().to_owned(),
        shape: entry.shape().to_vec(),
        encoding,
        group_size: entry.group_size().map(|size| size.to_string()),
        levels: levels_report(entry),
        mean_bits: entry.mean_bits(),
        width_histogram: histogram.filter(|&(_, groups)| quantized && groups > 0).collect(),
        bytes: bytes.total(),
        bytes_by_part: BTreeMap::from([
            ("table", bytes.table),
            ("ranges", bytes.ranges),
            ("widths", bytes.widths),
            ("frequency_tables", bytes.frequency_tables),
            ("codes", bytes.codes),
            ("unquantized", bytes.unquantized),
            ("unused", bytes.unused),
        ]),
    }
}
