//! The plots of a report, as SVG that takes its colours from the page, so that they follow its theme.

use std::ops::Range;

use maud::html;
use plotters::coord::Shift;
use plotters::prelude::*;

use super::axis::{Axis, Ticked};
use super::history::Curve;

/// Size in units of the page's width; a phone shows all of it.
const SIZE: (u32, u32) = (520, 330);
const FONT: u32 = 15;

/// Colours that no plot has, in the place of the page's: what they become is in `style.css`.
const INK: RGBColor = RGBColor(1, 1, 1);
const FAINT: RGBColor = RGBColor(2, 2, 2);
const BAND: RGBColor = RGBColor(3, 3, 3);
/// One for each method that can have results, and one for the frontier: no two series of a plot look alike.
const SERIES: [RGBColor; 9] = [
    RGBColor(4, 1, 1),
    RGBColor(4, 2, 2),
    RGBColor(4, 3, 3),
    RGBColor(4, 4, 4),
    RGBColor(4, 5, 5),
    RGBColor(4, 6, 6),
    RGBColor(4, 7, 7),
    RGBColor(4, 8, 8),
    RGBColor(4, 9, 9),
];

type Area<'a> = DrawingArea<SVGBackend<'a>, Shift>;
type Chart<'a, 'b> = ChartContext<'a, SVGBackend<'b>, Cartesian2d<Ticked, Ticked>>;
type Drawn<T> = Result<T, DrawingAreaErrorKind<std::io::Error>>;

/// Points or a line with a name.
pub(super) struct Series {
    pub(super) name: String,
    /// The number of its colour.
    pub(super) colour: usize,
    pub(super) points: Curve,
    /// How far a bar goes up and down from each point; none where they are not known.
    pub(super) deviations: Vec<f64>,
    pub(super) is_line: bool,
}

impl Series {
    /// A line through points.
    pub(super) fn line(name: &str, colour: usize, points: Curve) -> Self {
        Self { name: name.to_owned(), colour, points, deviations: Vec::new(), is_line: true }
    }
}

/// Curves over the steps of a run, its phases as bands behind them, and a line across at `level`.
pub(super) fn over_steps(
    series: &[Series],
    phases: &[(f64, String)],
    steps: f64,
    axis: &Axis<'_>,
    level: Option<(&str, f64)>,
) -> String {
    draw(|area| {
        let values = series.iter().flat_map(|series| series.points.iter().map(|point| point.1));
        let range = axis.range(values.chain(level.map(|(_, level)| level)));
        let across = Axis::linear("step");
        let mut chart = chart(area, (0.0..steps, &across), (range.clone(), axis))?;
        let ends = phases.iter().skip(1).map(|(at, _)| *at).chain([steps]);
        for (number, ((begin, _), end)) in phases.iter().zip(ends).enumerate() {
            if number % 2 == 1 {
                let corners = [(*begin, range.start), (end, range.end)];
                chart.draw_series([Rectangle::new(corners, BAND.filled())])?;
            }
        }
        chart
            .configure_mesh()
            .disable_x_mesh()
            .bold_line_style(FAINT)
            .light_line_style(TRANSPARENT)
            .axis_style(INK)
            .label_style(("sans-serif", FONT, &INK))
            .x_desc(across.title)
            .y_desc(axis.title)
            .x_label_formatter(&|place| across.label(*place))
            .y_label_formatter(&|place| axis.label(*place))
            .draw()?;
        let top = range.end - 0.035 * (range.end - range.start);
        for (at, name) in phases {
            let style = ("sans-serif", FONT - 2, &INK).into_text_style(area);
            chart.draw_series([Text::new(phase_name(name), (at + 0.01 * steps, top), style)])?;
        }
        if let Some((name, level)) = level {
            draw_level(area, &mut chart, name, axis.place(level), (0.0..steps, range))?;
        }
        for series in series {
            let colour = SERIES[series.colour % SERIES.len()];
            let points = series.points.iter().map(|(at, value)| (*at, axis.place(*value)));
            if series.is_line {
                chart.draw_series(LineSeries::new(points, colour.stroke_width(2)))?;
            } else {
                chart.draw_series(points.map(|point| Circle::new(point, 4, colour.filled())))?;
            }
        }
        Ok(())
    })
}

/// Points of several kinds, and a line across at `level`.
pub(super) fn scatter(series: &[Series], x: &Axis<'_>, y: &Axis<'_>, level: Option<(&str, f64)>) -> String {
    draw(|area| {
        let points = || series.iter().flat_map(|series| &series.points);
        let ends = series.iter().flat_map(|series| bars_of(series).flat_map(|(_, ends)| ends));
        let across = x.range(points().map(|point| point.0));
        let level_at = level.map(|(_, level)| level);
        let up = y.range(points().map(|point| point.1).chain(ends).chain(level_at));
        let mut chart = chart(area, (across.clone(), x), (up.clone(), y))?;
        chart
            .configure_mesh()
            .bold_line_style(FAINT)
            .light_line_style(TRANSPARENT)
            .axis_style(INK)
            .label_style(("sans-serif", FONT, &INK))
            .x_desc(x.title)
            .y_desc(y.title)
            .x_label_formatter(&|place| x.label(*place))
            .y_label_formatter(&|place| y.label(*place))
            .draw()?;
        if let Some((name, level)) = level {
            draw_level(area, &mut chart, name, y.place(level), (across, up))?;
        }
        for series in series {
            let colour = SERIES[series.colour % SERIES.len()];
            let points: Vec<_> = series.points.iter().map(|at| (x.place(at.0), y.place(at.1))).collect();
            let bars = bars_of(series).map(|(at, ends)| ends.map(|end| (x.place(at), y.place(end))));
            chart.draw_series(bars.map(|bar| PathElement::new(bar, colour.stroke_width(1))))?;
            if series.is_line {
                chart.draw_series(LineSeries::new(points, colour.stroke_width(2)))?;
            } else {
                chart.draw_series(points.iter().map(|point| Circle::new(*point, 5, colour.filled())))?;
            }
        }
        Ok(())
    })
}

/// Where the bars of a series are, and their ends.
fn bars_of(series: &Series) -> impl Iterator<Item = (f64, [f64; 2])> {
    let bars = series.points.iter().zip(&series.deviations).filter(|(_, deviation)| **deviation > 0.0);
    bars.map(|((at, value), deviation)| (*at, [value - deviation, value + deviation]))
}

/// A bar for each name.
pub(super) fn bars(bars: &[(String, f64)], title: &str) -> String {
    draw(|area| {
        let most = bars.iter().map(|bar| bar.1).fold(0.0, f64::max).max(1e-9);
        let count = bars.len().max(1);
        let axis = Axis::linear(title);
        let (across, up) = (0.0..count as f64, 0.0..1.08 * most);
        let ticks = axis.ticks(&up);
        // In the middle of its bar, where there is room for names.
        let names = (0..if count <= 12 { count } else { 0 }).map(|at| at as f64 + 0.5);
        let mut chart =
            layout(area).build_cartesian_2d(Ticked::new(across, names.collect()), Ticked::new(up, ticks))?;
        chart
            .configure_mesh()
            .disable_x_mesh()
            .bold_line_style(FAINT)
            .light_line_style(TRANSPARENT)
            .axis_style(INK)
            .label_style(("sans-serif", FONT, &INK))
            .y_desc(title)
            .x_label_formatter(&|place| bars.get(*place as usize).map_or(String::new(), |bar| bar.0.clone()))
            .y_label_formatter(&|place| axis.label(*place))
            .draw()?;
        chart.draw_series(bars.iter().enumerate().map(|(at, (_, value))| {
            let at = at as f64;
            Rectangle::new([(at + 0.12, 0.0), (at + 0.88, *value)], SERIES[0].filled())
        }))?;
        Ok(())
    })
}

/// The colour of the series of this number, as the page has it.
pub(super) fn colour(number: usize) -> String {
    format!("var(--series-{})", number % SERIES.len())
}

/// A plot as a file of its own: in either theme, with its legend of names and the numbers of their colours below.
pub(super) fn standalone<'a>(svg: &str, names: impl Iterator<Item = (&'a str, usize)>) -> String {
    // As wide as the letters of a legend are about, and how far its lines lie apart.
    const LETTER: f64 = 5.6;
    const LINE: f64 = 16.0;
    const ROOM: f64 = 34.0;
    let (width, height) = (f64::from(SIZE.0), f64::from(SIZE.1));
    let (mut legend, mut x, mut y) = (String::new(), 14.0, height + 5.0);
    for (name, number) in names {
        let needed = LETTER * name.chars().count() as f64 + ROOM;
        if x > 14.0 && x + needed > width {
            (x, y) = (14.0, y + LINE);
        }
        let square = html! { rect x=(x) y=(y) width="9" height="9" rx="2" fill=(colour(number)) {} };
        let text = html! {
            text x=(x + 13.0) y=(y + 8.0) font-family="sans-serif" font-size="11" fill="var(--soft)" { (name) }
        };
        legend += &format!("{}{}\n", square.into_string(), text.into_string());
        x += needed;
    }
    let height = (y + LINE).ceil();
    let style: String = include_str!("style.css")
        .lines()
        .take_while(|line| !line.starts_with('*'))
        .fold(String::new(), |style, line| style + line + "\n");
    let inner = svg.split_once('>').map_or("", |(_, inner)| inner);
    let inner = inner.trim_end().strip_suffix("</svg>").unwrap_or(inner);
    format!(
        "<svg role=\"img\" width=\"760\" viewBox=\"0 0 {width} {height}\" xmlns=\"http://www.w3.org/2000/svg\">\n\
         <style>\n{style}</style>\n<rect width=\"{width}\" height=\"{height}\" rx=\"8\" fill=\"var(--card)\"/>\n\
         {inner}{legend}</svg>\n"
    )
}

/// A dashed line across a chart of these ranges, with its name.
fn draw_level(
    area: &Area<'_>,
    chart: &mut Chart<'_, '_>,
    name: &str,
    place: f64,
    (across, up): (Range<f64>, Range<f64>),
) -> Drawn<()> {
    let line = [(across.start, place), (across.end, place)];
    chart.draw_series(DashedLineSeries::new(line, 6, 4, INK.stroke_width(1)))?;
    let style = ("sans-serif", FONT - 2, &INK).into_text_style(area);
    let left = across.start + 0.01 * (across.end - across.start);
    let below = place - 0.02 * (up.end - up.start);
    chart.draw_series([Text::new(name.to_owned(), (left, below), style)])?;
    Ok(())
}

/// A chart with room for its axes and round numbers along them.
fn chart<'a, 'b>(
    area: &'a Area<'b>,
    (across, x): (Range<f64>, &Axis<'_>),
    (up, y): (Range<f64>, &Axis<'_>),
) -> Drawn<Chart<'a, 'b>> {
    let (x_ticks, y_ticks) = (x.ticks(&across), y.ticks(&up));
    layout(area).build_cartesian_2d(Ticked::new(across, x_ticks), Ticked::new(up, y_ticks))
}

fn layout<'a, 'b>(area: &'a Area<'b>) -> ChartBuilder<'a, 'b, SVGBackend<'b>> {
    let mut builder = ChartBuilder::on(area);
    builder.margin(8).margin_right(14).x_label_area_size(38).y_label_area_size(64);
    builder
}

fn draw(plot: impl FnOnce(&Area<'_>) -> Drawn<()>) -> String {
    let mut svg = String::new();
    {
        let area = SVGBackend::with_string(&mut svg, SIZE).into_drawing_area();
        // A string takes all that is written.
        let drawn = plot(&area).and_then(|()| area.present());
        debug_assert!(drawn.is_ok(), "{drawn:?}");
    }
    let hex = |RGBColor(red, green, blue): RGBColor| format!("\"#{red:02X}{green:02X}{blue:02X}\"");
    for (colour, name) in [(INK, "ink"), (FAINT, "faint"), (BAND, "band")] {
        svg = svg.replace(&hex(colour), &format!("\"var(--{name})\""));
    }
    for (number, colour) in SERIES.into_iter().enumerate() {
        svg = svg.replace(&hex(colour), &format!("\"var(--series-{number})\""));
    }
    let size = format!("width=\"{}\" height=\"{}\" ", SIZE.0, SIZE.1);
    svg.replacen(&size, "role=\"img\" ", 1)
}

fn phase_name(phase: &str) -> String {
    if phase == "straight_through" { "rounding" } else { phase }.to_owned()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn colours_are_the_pages() {
        let series = Series::line("a", 0, vec![(1.0, 2.0), (2.0, 3.0)]);
        let svg = over_steps(&[series], &[(0.0, "float".into())], 2.0, &Axis::linear("loss"), None);
        assert!(svg.contains("var(--series-0)") && svg.contains("var(--ink)"), "{svg}");
        assert!(!svg.contains("\"#0"), "{svg}");
        assert!(svg.starts_with("<svg role=\"img\""), "{svg}");
    }

    #[test]
    fn every_method_and_the_frontier_have_a_colour_in_both_themes() {
        let names: std::collections::BTreeSet<_> = (0..9).map(colour).collect();
        assert_eq!(names.len(), 9);
        let style = include_str!("style.css");
        for number in 0..9 {
            assert_eq!(style.matches(&format!("--series-{number}:")).count(), 2, "series {number}");
        }
    }

    #[test]
    fn nothing_to_draw_is_an_empty_plot() {
        let (x, y) = (Axis::logarithmic("bytes"), Axis::linear("accuracy"));
        assert!(scatter(&[], &x, &y, None).contains("</svg>"));
        assert!(bars(&[], "bits").contains("</svg>"));
        assert!(over_steps(&[], &[], 1.0, &Axis::linear("loss"), None).contains("</svg>"));
    }
}
