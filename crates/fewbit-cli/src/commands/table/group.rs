//! Rows of runs that differ only by their seed, as one.

use std::cmp::Ordering;

use fewbit_burn::train::{Method, Metric, ResultRow};
use toml::Value;

use super::spread::Spread;
use crate::runs::{Run, SEED, Settings, compare_values};

/// The key of the recipe's name.
const NAME: &str = "name";

/// Groups under the keys that they differ by.
#[derive(Debug)]
pub(super) struct Table {
    /// The dotted keys of the first columns.
    pub(super) keys: Vec<String>,
    /// In the order of their values; within the same values as the runs have them.
    pub(super) groups: Vec<Group>,
}

/// One line of the table.
#[derive(Debug)]
pub(super) struct Group {
    /// The values of the table's keys; `None` where the runs have no such setting.
    pub(super) values: Vec<Option<Value>>,
    pub(super) method: Method,
    pub(super) metric: Metric,
    pub(super) value: Spread,
    pub(super) bytes: Spread,
    /// Mean bytes of the float values over mean bytes of the files.
    pub(super) ratio: f64,
    pub(super) mean_bits: f64,
    pub(super) minutes: f64,
}

impl Table {
    /// The results of `runs`, grouped by all settings but the seed, or only `by` these keys.
    pub(super) fn of(runs: &[Run], by: Option<&[String]>) -> Self {
        let mut lots: Vec<Lot<'_>> = Vec::new();
        for run in runs {
            let settings = match by {
                Some(keys) => run.settings.only(|key| keys.iter().any(|by| by == key)),
                None => run.settings.without_seed(),
            };
            for (i, row) in run.metrics.results.iter().enumerate() {
                // A method may have several rows in a run: its first go together, its second, and so on.
                let before = &run.metrics.results[..i];
                let turn = before.iter().filter(|other| other.method == row.method).count();
                let same = |lot: &&mut Lot<'_>| {
                    lot.turn == turn
                        && lot.rows[0].method == row.method
                        && lot.rows[0].metric == row.metric
                        && is_same_width(lot.rows[0], row)
                        && lot.settings == settings
                };
                if let Some(lot) = lots.iter_mut().find(same) {
                    lot.rows.push(row);
                    continue;
                }
                let lot = Lot { settings: settings.clone(), turn, rows: vec![row] };
                // Beside others of the method, where these settings have some.
                let beside =
                    |other: &Lot<'_>| other.rows[0].method == row.method && other.settings == lot.settings;
                let place = lots.iter().rposition(beside).map_or(lots.len(), |last| last + 1);
                lots.insert(place, lot);
            }
        }
        let keys = by.map_or_else(|| columns(&lots), <[String]>::to_vec);
        let mut groups: Vec<Group> = lots.iter().map(|lot| lot.group(&keys)).collect();
        groups.sort_by(|a, b| compare(&a.values, &b.values));
        Self { keys, groups }
    }

    /// The metric of all groups, if they have one in common.
    pub(super) fn metric(&self) -> Option<&Metric> {
        let first = &self.groups.first()?.metric;
        self.groups.iter().all(|group| group.metric == *first).then_some(first)
    }
}

/// Rounding after training is done at the width that a run's file has room for, which may be another with another
/// seed: networks of different widths have no mean.
fn is_same_width(a: &ResultRow, b: &ResultRow) -> bool {
    let is_rounded = matches!(a.method, Method::RoundedAfterTraining | Method::NearestAfterTraining);
    !is_rounded || (a.mean_bits - b.mean_bits).abs() < 0.5
}

/// Rows that are one group, never none.
struct Lot<'a> {
    settings: Settings,
    turn: usize,
    rows: Vec<&'a ResultRow>,
}

impl Lot<'_> {
    fn group(&self, keys: &[String]) -> Group {
        let spread = |of: fn(&ResultRow) -> f64| Spread::of(self.rows.iter().map(|row| of(row)));
        let bytes = spread(|row| row.bytes as f64);
        Group {
            values: keys.iter().map(|key| self.settings.get(key).cloned()).collect(),
            method: self.rows[0].method,
            metric: self.rows[0].metric.clone(),
            value: spread(|row| row.value),
            bytes,
            ratio: spread(|row| row.float_bytes as f64).mean / bytes.mean,
            mean_bits: spread(|row| row.mean_bits).mean,
            minutes: spread(|row| row.seconds).mean / 60.0,
        }
    }
}

/// The keys whose values are not the same everywhere. Recipes of several names differ in much that their names stand
/// for: of them only the name is shown, and what differs under one name.
fn columns(lots: &[Lot<'_>]) -> Vec<String> {
    let mut keys: Vec<&str> = lots.iter().flat_map(|lot| lot.settings.keys()).collect();
    keys.sort_unstable();
    keys.dedup();
    let differs = |key: &str, among: &[&Lot<'_>]| {
        among.windows(2).any(|pair| pair[0].settings.get(key) != pair[1].settings.get(key))
    };
    let all: Vec<&Lot<'_>> = lots.iter().collect();
    let mut columns: Vec<String> = Vec::new();
    if differs(NAME, &all) {
        columns.push(NAME.to_owned());
    }
    let mut names: Vec<Option<&Value>> = Vec::new();
    for lot in lots {
        let name = lot.settings.get(NAME);
        if !names.contains(&name) {
            names.push(name);
        }
    }
    for key in keys.into_iter().filter(|key| ![NAME, SEED].contains(key)) {
        let under_one_name = names.iter().any(|name| {
            let among: Vec<_> = lots.iter().filter(|lot| lot.settings.get(NAME) == *name).collect();
            differs(key, &among)
        });
        if under_one_name {
            columns.push(key.to_owned());
        }
    }
    columns
}

fn compare(a: &[Option<Value>], b: &[Option<Value>]) -> Ordering {
    let orders = a.iter().zip(b).map(|(a, b)| compare_values(a.as_ref(), b.as_ref()));
    orders.fold(Ordering::Equal, Ordering::then)
}

#[cfg(test)]
pub(super) mod tests {
    use std::path::PathBuf;

    use super::*;
    use crate::runs::{Metrics, plain};

    /// A finished run with a float row and one of `bytes` and `value`.
    pub(in crate::commands::table) fn run(settings: &str, value: f64, bytes: u64) -> Run {
        let row = |method: &str, value: f64, bytes: u64, bits: f64| {
            format!(
                r#"{{"event":"result","step":9,"method":"{method}","metric":"accuracy","value":{value},"bytes":{bytes},"float_bytes":4000,"mean_bits":{bits},"seconds":90}}"#
            )
        };
        let lines = [row("float", 0.99, 4100, 32.0), row("diffq", value, bytes, 3.5)].join("\n");
        Run {
            path: PathBuf::from("run"),
            settings: Settings::parse(settings).unwrap(),
            metrics: Metrics::read(lines.as_bytes()).unwrap(),
        }
    }

    fn words(table: &Table) -> Vec<String> {
        let of = |group: &Group| {
            let values: Vec<_> =
                group.values.iter().map(|value| value.as_ref().map_or("—".to_owned(), plain)).collect();
            format!("{} {} {}", values.join(" "), group.method.title(), group.value.n)
        };
        table.groups.iter().map(of).collect()
    }

    #[test]
    fn runs_that_differ_only_by_the_seed_are_one_group() {
        let runs = [
            run("seed = 0\nq.penalty = 10", 0.90, 100),
            run("seed = 0\nq.penalty = 9.5", 0.91, 200),
            run("seed = 1\nq.penalty = 10", 0.94, 300),
        ];
        let table = Table::of(&runs, None);
        assert_eq!(table.keys, ["q.penalty"]);
        assert_eq!(words(&table), ["9.5 float 1", "9.5 DiffQ 1", "10 float 2", "10 DiffQ 2"]);
        let group = &table.groups[3];
        // 0.90 and 0.94: deviations of 0.02, so √(2 × 0.0004 / 1) = 0.02 √2.
        assert!((group.value.mean - 0.92).abs() < 1e-12);
        assert!((group.value.standard_deviation.unwrap() - 0.02 * 2f64.sqrt()).abs() < 1e-12);
        assert_eq!((group.bytes.mean, group.bytes.least, group.bytes.most), (200.0, 100.0, 300.0));
        assert_eq!((group.ratio, group.mean_bits, group.minutes), (20.0, 3.5, 1.5));
    }

    #[test]
    fn by_keys_averages_over_all_others() {
        let runs = [(0, 1), (0, 2), (1, 1), (1, 2)]
            .map(|(seed, penalty)| run(&format!("seed = {seed}\nq.penalty = {penalty}"), 0.9, 100));
        let by = |keys: &[&str]| {
            let keys: Vec<_> = keys.iter().map(|key| (*key).to_owned()).collect();
            words(&Table::of(&runs, Some(&keys)))
        };
        assert_eq!(by(&["seed"]), ["0 float 2", "0 DiffQ 2", "1 float 2", "1 DiffQ 2"]);
        assert_eq!(by(&["seed", "q.penalty"]).len(), 8);
    }

    #[test]
    fn a_key_that_only_some_have_is_a_column() {
        let runs = [run("t.rate = 2", 0.9, 100), run("seed = 1", 0.9, 100)];
        let table = Table::of(&runs, None);
        assert_eq!(table.keys, ["t.rate"]);
        assert_eq!(words(&table), ["— float 1", "— DiffQ 1", "2 float 1", "2 DiffQ 1"]);
    }

    #[test]
    fn what_a_name_stands_for_is_no_column() {
        let runs = [
            run("name = 'a'\nm.size = 1\nq.penalty = 1", 0.9, 100),
            run("name = 'a'\nm.size = 1\nq.penalty = 2", 0.9, 100),
            run("name = 'b'\nm.size = 2\nq.penalty = 1", 0.9, 100),
        ];
        assert_eq!(Table::of(&runs, None).keys, ["name", "q.penalty"]);
    }

    #[test]
    fn rows_of_one_method_in_one_run_stay_apart() {
        let mut twice = run("seed = 0", 0.9, 100);
        twice.metrics.results.push(twice.metrics.results[1].clone());
        let runs = [twice.clone(), twice];
        assert_eq!(words(&Table::of(&runs, None)), [" float 2", " DiffQ 2", " DiffQ 2"]);
    }

    #[test]
    fn networks_rounded_to_different_widths_are_different_groups() {
        let rounded = |seed: u32, bits: f64| {
            let mut run = run(&format!("seed = {seed}"), 0.9, 100);
            let row = ResultRow {
                method: Method::RoundedAfterTraining,
                mean_bits: bits,
                ..run.metrics.results[1].clone()
            };
            run.metrics.results.insert(1, row);
            run
        };
        let runs = [rounded(0, 3.0), rounded(1, 4.0), rounded(2, 3.0)];
        let title = Method::RoundedAfterTraining.title();
        let wanted =
            [" float 3".to_owned(), format!(" {title} 2"), format!(" {title} 1"), " DiffQ 3".to_owned()];
        assert_eq!(words(&Table::of(&runs, None)), wanted);
    }

    #[test]
    fn no_runs_make_an_empty_table() {
        let table = Table::of(&[], None);
        assert!(table.keys.is_empty() && table.groups.is_empty());
    }
}
