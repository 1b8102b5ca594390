//! Metric against bytes: every result of a recipe's runs, and the best that is to be had for so many bytes.

use fewbit_burn::train::Method;
use maud::{Markup, PreEscaped, html};

use super::Details;
use super::figures::{Axis, Series, colour, scatter};
use super::history::Curve;
use crate::report::metric;

/// How many times as far from the best as the median file a file may be, to be drawn.
const FARTHEST: f64 = 10.0;

/// The plot of a recipe's runs, with its legend; empty where no run has a result.
///
/// Files that are far worse than the others are left out and counted, so that the others can be told apart.
pub(super) fn frontier<'a>(name: &str, details: impl Iterator<Item = &'a Details>) -> Markup {
    let rows: Vec<_> = details.flat_map(|one| &one.history.results).collect();
    let Some(first) = rows.first() else { return html! {} };
    let is_lower_better = metric::is_lower_better(&first.metric);
    let scale = if first.metric == "accuracy" { 100.0 } else { 1.0 };
    let points: Vec<(Method, (f64, f64))> = rows
        .iter()
        .filter(|row| row.metric == first.metric)
        .map(|row| (row.method, (row.bytes as f64, scale * row.value)))
        .collect();
    let is_drawn = within_reach(points.iter().map(|(_, point)| point.1).collect(), is_lower_better);
    let (drawn, mut left_out): (Vec<_>, Vec<_>) =
        points.into_iter().partition(|(_, point)| is_drawn(point.1));
    // Each run has the rows of the float network that all came from.
    left_out.sort_by(|(_, a), (_, b)| a.0.total_cmp(&b.0).then(a.1.total_cmp(&b.1)));
    left_out.dedup();
    let mut methods: Vec<Method> = drawn.iter().map(|(method, _)| *method).collect();
    // One order everywhere, so that a method has one colour on the pages of the same methods.
    methods.sort_by_key(|method| *method as usize);
    methods.dedup();
    let of = |method: Method| drawn.iter().filter(move |(own, _)| *own == method).map(|(_, point)| *point);
    let mut series: Vec<Series> = methods
        .into_iter()
        .map(|method| Series {
            name: method.title().to_owned(),
            points: of(method).collect(),
            is_line: false,
        })
        .collect();
    let all = drawn.iter().map(|(_, point)| *point).collect();
    series.push(Series { name: "frontier".to_owned(), points: best(all, is_lower_better), is_line: true });
    let axis = if first.metric == "accuracy" { "accuracy, %" } else { metric::title(&first.metric) };
    let svg = scatter(&series, &Axis::logarithmic("bytes of the file"), &Axis::linear(axis));
    html! {
        figure.wide {
            figcaption {
                b { (name) } " each file by its method; the line joins those that no smaller file reaches"
                @if !left_out.is_empty() { "; far worse, and only in the table: " (left_out.len()) }
            }
            (PreEscaped(svg))
            div.legend {
                @for (number, series) in series.iter().enumerate() {
                    span { i style={ "background:" (colour(number)) } {} (series.name) }
                }
            }
        }
    }
}

/// Whether a value is at most [`FARTHEST`] times as far from the best of `values` as their median, equal ones counted once.
fn within_reach(mut values: Vec<f64>, is_lower_better: bool) -> impl Fn(f64) -> bool {
    values.retain(|value| value.is_finite());
    values.sort_by(f64::total_cmp);
    values.dedup();
    let best = if is_lower_better { values.first() } else { values.last() }.copied();
    let distances = values.iter().map(|value| (value - best.unwrap_or_default()).abs());
    let mut distances: Vec<f64> = distances.collect();
    distances.sort_by(f64::total_cmp);
    let median = distances.get(distances.len() / 2).copied().unwrap_or_default();
    move |value| best.is_none_or(|best| (value - best).abs() <= FARTHEST * median)
}

/// Of points (bytes, metric) those that no smaller file reaches, the smallest first.
fn best(mut points: Curve, is_lower_better: bool) -> Curve {
    points.sort_by(|a, b| a.0.total_cmp(&b.0));
    let mut front: Curve = Vec::new();
    for point in points {
        let is_better = |last: &(f64, f64)| if is_lower_better { point.1 < last.1 } else { point.1 > last.1 };
        if front.last().is_none_or(is_better) {
            front.push(point);
        }
    }
    front
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_frontier_leaves_out_what_a_smaller_file_reaches() {
        let points = vec![(300.0, 0.9), (100.0, 0.8), (200.0, 0.7), (400.0, 0.9)];
        assert_eq!(best(points.clone(), false), [(100.0, 0.8), (300.0, 0.9)]);
        assert_eq!(best(points, true), [(100.0, 0.8), (200.0, 0.7)]);
    }

    #[test]
    fn what_is_far_worse_than_the_others_is_out_of_reach_whichever_way_is_better() {
        let accuracies = vec![88.0, 87.9, 87.5, 87.0, 86.0, 16.0];
        let drawn: Vec<bool> =
            accuracies.iter().copied().map(within_reach(accuracies.clone(), false)).collect();
        assert_eq!(drawn, [true, true, true, true, true, false]);
        let losses = vec![2.5, 2.6, 2.7, 30.0, 30.0];
        let drawn: Vec<bool> = losses.iter().copied().map(within_reach(losses.clone(), true)).collect();
        assert_eq!(drawn, [true, true, true, false, false]);
    }

    #[test]
    fn one_value_and_equal_values_are_in_reach_and_what_is_no_number_is_not() {
        assert!(within_reach(vec![0.5], false)(0.5));
        assert!(within_reach(vec![0.5, 0.5], true)(0.5));
        assert!(!within_reach(vec![0.5, f64::NAN], true)(f64::NAN));
        let two = vec![98.0, 17.0];
        assert!(two.iter().copied().all(within_reach(two.clone(), false)));
    }
}
