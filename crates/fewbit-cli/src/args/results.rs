//! The commands that show what runs came to.

use std::path::PathBuf;

use clap::{Args, ValueEnum};

/// How a table of runs is printed.
#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum)]
pub(crate) enum TableFormat {
    /// Aligned columns.
    Text,
    /// For a document.
    Markdown,
    /// For a spreadsheet, numbers in full.
    Csv,
    /// One JSON object with every run and every group, numbers in full.
    Json,
}

#[derive(Args)]
pub(crate) struct ReportArgs {
    /// Run folders, or folders that hold them, as of a sweep.
    #[arg(value_name = "RUN", required = true)]
    pub(crate) runs: Vec<PathBuf>,
    /// The page to write; report.html in the folder by default, or here for several.
    #[arg(short, long, value_name = "FILE", help_heading = "Output")]
    pub(crate) out: Option<PathBuf>,
    /// Writes the plot of metric against bytes of each recipe into this folder, too: RECIPE.svg.
    #[arg(long, value_name = "FOLDER", help_heading = "Output")]
    pub(crate) figures: Option<PathBuf>,
}

#[derive(Args)]
pub(crate) struct TableArgs {
    /// Run folders, or folders that hold them, as of a sweep.
    #[arg(value_name = "RUN", required = true)]
    pub(crate) runs: Vec<PathBuf>,
    /// The fields that runs are told apart by, averaging over all others; by default all but the seed.
    #[arg(long, value_name = "KEY,KEY", value_delimiter = ',')]
    pub(crate) by: Option<Vec<String>>,
    /// How the table is printed.
    #[arg(long, value_enum, default_value = "text", help_heading = "Output")]
    pub(crate) format: TableFormat,
}
