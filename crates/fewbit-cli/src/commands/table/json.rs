//! The table as one JSON object.

use std::collections::BTreeMap;

use fewbit_burn::train::{Method, Metric, ResultRow};
use serde::Serialize;
use toml::Value;

use super::group::{Group, Table};
use super::spread::Spread;
use crate::runs::Run;

/// Groups and runs, numbers in full.
#[derive(Serialize)]
pub(super) struct Report<'a> {
    keys: &'a [String],
    groups: Vec<GroupReport<'a>>,
    runs: Vec<RunReport<'a>>,
    unfinished: Vec<String>,
}

#[derive(Serialize)]
struct GroupReport<'a> {
    settings: BTreeMap<&'a str, &'a Value>,
    method: Method,
    #[serde(flatten)]
    metric: &'a Metric,
    value: Spread,
    bytes: Spread,
    ratio: f64,
    mean_bits: f64,
    minutes: f64,
}

#[derive(Serialize)]
struct RunReport<'a> {
    run: String,
    settings: BTreeMap<&'a str, &'a Value>,
    results: &'a [ResultRow],
}

/// The report of a table and of the runs that it is from.
pub(super) fn report<'a>(table: &'a Table, finished: &'a [Run], unfinished: &[Run]) -> Report<'a> {
    let path = |run: &Run| run.path.display().to_string();
    Report {
        keys: &table.keys,
        groups: table.groups.iter().map(|group| group_report(&table.keys, group)).collect(),
        runs: finished
            .iter()
            .map(|run| RunReport {
                run: path(run),
                settings: run.settings.keys().filter_map(|key| Some((key, run.settings.get(key)?))).collect(),
                results: &run.metrics.results,
            })
            .collect(),
        unfinished: unfinished.iter().map(path).collect(),
    }
}

fn group_report<'a>(keys: &'a [String], group: &'a Group) -> GroupReport<'a> {
    let settings = keys.iter().zip(&group.values);
    GroupReport {
        settings: settings.filter_map(|(key, value)| Some((key.as_str(), value.as_ref()?))).collect(),
        method: group.method,
        metric: &group.metric,
        value: group.value,
        bytes: group.bytes,
        ratio: group.ratio,
        mean_bits: group.mean_bits,
        minutes: group.minutes,
    }
}
