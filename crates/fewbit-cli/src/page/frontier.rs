//! Metric against bytes: the results of a recipe's runs, and the best that is to be had for so many bytes.

use fewbit_burn::train::{Direction, Method, Metric};
use maud::{Markup, PreEscaped, html};

use super::axis::Axis;
use super::figures::{Series, colour, scatter, standalone};
use super::history::Curve;
use crate::report::metric;

/// How many times as far from the best as the median file a file may be, to be drawn.
const FARTHEST: f64 = 5.0;

/// A result as the plot has it: that of a run, or the mean of runs that differ only by their seed.
#[derive(Clone, Debug, PartialEq)]
pub(crate) struct Mark {
    pub(crate) method: Method,
    pub(crate) metric: Metric,
    pub(crate) bytes: f64,
    pub(crate) value: f64,
    /// The standard deviation over the seeds.
    pub(crate) deviation: Option<f64>,
}

/// The plot of a recipe's results.
pub(super) struct Frontier {
    series: Vec<Series>,
    axis: String,
    /// The metric of the float network that all files came from: a line across, as its bytes are far away.
    float: Option<f64>,
    /// Results that are far worse than the others, so that the others can be told apart without them.
    left_out: usize,
}

impl Frontier {
    /// The plot of these; `None` where there are none.
    pub(super) fn of(marks: &[Mark]) -> Option<Self> {
        let metric = &marks.first()?.metric;
        let is_lower_better = metric.direction == Direction::SmallerIsBetter;
        let scale = metric::scale(metric);
        let marks = marks.iter().filter(|mark| mark.metric == *metric);
        let mut points: Vec<(Method, [f64; 3])> = marks
            .map(|mark| {
                let (value, deviation) = (scale * mark.value, scale * mark.deviation.unwrap_or(0.0));
                (mark.method, [mark.bytes, value, deviation])
            })
            .collect();
        // One order everywhere.
        points.sort_by(|(a, [a_bytes, ..]), (b, [b_bytes, ..])| a.cmp(b).then(a_bytes.total_cmp(b_bytes)));
        // Each run has the rows of the float network that all came from.
        points.dedup();
        // Several float networks are points like all others.
        let (floats, files): (Vec<_>, Vec<_>) =
            points.iter().copied().partition(|(method, _)| *method == Method::Float);
        let mut float = None;
        if let ([(_, [_, value, _])], false) = (floats.as_slice(), files.is_empty()) {
            (float, points) = (Some(*value), files);
        }
        let is_drawn = within_reach(points.iter().map(|(_, point)| point[1]).collect(), is_lower_better);
        let (drawn, left_out): (Vec<_>, Vec<_>) =
            points.into_iter().partition(|(_, point)| is_drawn(point[1]));
        let mut methods: Vec<Method> = drawn.iter().map(|(method, _)| *method).collect();
        methods.dedup();
        let of =
            |method: Method| drawn.iter().filter(move |(own, _)| *own == method).map(|(_, point)| *point);
        let mut series: Vec<Series> = methods
            .into_iter()
            .map(|method| Series {
                name: method.title().to_owned(),
                colour: colour_of(method),
                points: of(method).map(|[bytes, value, _]| (bytes, value)).collect(),
                deviations: of(method).map(|[_, _, deviation]| deviation).collect(),
                is_line: false,
            })
            .collect();
        let all = drawn.iter().map(|(_, [bytes, value, _])| (*bytes, *value)).collect();
        series.push(Series::line("frontier", FRONTIER, best(all, is_lower_better)));
        Some(Self { series, axis: metric::axis(metric), float, left_out: left_out.len() })
    }

    fn svg(&self) -> String {
        let (x, y) = (Axis::logarithmic("bytes of the file"), Axis::linear(&self.axis));
        scatter(&self.series, &x, &y, self.float.map(|value| ("float", value)))
    }

    /// With its legend, for the page.
    pub(super) fn figure(&self, name: &str) -> Markup {
        let has_spread = self.series.iter().flat_map(|series| &series.deviations).any(|one| *one > 0.0);
        html! {
            figure.wide {
                figcaption {
                    b { (name) } " each file by its method; the line joins those that no smaller file reaches"
                    @if has_spread { "; of several seeds the mean, with a bar of one standard deviation either way" }
                    @if self.left_out > 0 { "; far worse, and only in the table: " (self.left_out) }
                }
                (PreEscaped(self.svg()))
                div.legend {
                    @for series in &self.series {
                        span { i style={ "background:" (colour(series.colour)) } {} (series.name) }
                    }
                }
            }
        }
    }

    /// With its legend, as a file of its own.
    pub(super) fn file(&self) -> String {
        standalone(&self.svg(), self.series.iter().map(|series| (series.name.as_str(), series.colour)))
    }
}

/// The number of the frontier's colour.
const FRONTIER: usize = 8;

/// The number of a method's colour, the same in every plot.
fn colour_of(method: Method) -> usize {
    match method {
        Method::Fewbit => 0,
        Method::Lsq => 1,
        Method::Diffq => 2,
        Method::Qat => 3,
        Method::QuantNoise => 4,
        Method::RoundedAfterTraining => 5,
        Method::NearestAfterTraining => 6,
        _ => 7,
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

    fn mark(method: Method, bytes: f64, value: f64, deviation: Option<f64>) -> Mark {
        Mark { method, metric: Metric::accuracy(), bytes, value, deviation }
    }

    #[test]
    fn a_plot_has_a_series_for_each_method_and_what_all_came_from_once() {
        let marks = [
            mark(Method::Float, 4000.0, 0.9, None),
            mark(Method::Lsq, 200.0, 0.8, Some(0.01)),
            mark(Method::Float, 4000.0, 0.9, None),
            mark(Method::Fewbit, 100.0, 0.85, Some(0.02)),
        ];
        let plot = Frontier::of(&marks).unwrap();
        let found: Vec<_> =
            plot.series.iter().map(|series| (series.name.as_str(), series.points.len())).collect();
        assert_eq!(found, [("fewbit", 1), ("LSQ", 1), ("frontier", 1)]);
        assert_eq!((plot.float, plot.series[0].deviations.as_slice()), (Some(90.0), [2.0].as_slice()));
        let file = plot.file();
        assert!(file.starts_with("<svg ") && file.trim_end().ends_with("</svg>"), "{file}");
        assert!(
            file.contains("--series-3:") && file.contains(">LSQ<") && file.contains(">frontier<"),
            "{file}"
        );
        assert!(Frontier::of(&[]).is_none());
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
