//! The table as lines: aligned, as Markdown, as CSV.

use toml::Value;

use super::group::{Group, Table};
use super::spread::Spread;
use crate::report::{grouped, metric};
use crate::runs::plain;

/// In place of a setting that runs do not have.
const NOTHING: &str = "—";
/// The columns behind those of keys and method, all of numbers.
const NUMBERS: usize = 6;

/// Aligned columns, words to the left and numbers to the right.
pub(super) fn text(table: &Table) -> String {
    let lines = cells(table);
    let widths: Vec<usize> = (0..lines[0].len())
        .map(|column| lines.iter().map(|line| line[column].chars().count()).max().unwrap_or_default())
        .collect();
    let words = widths.len() - NUMBERS;
    let mut text = String::new();
    for line in &lines {
        let mut padded = String::new();
        for (column, (cell, width)) in line.iter().zip(&widths).enumerate() {
            let space = " ".repeat(width - cell.chars().count());
            let cell = if column < words { format!("{cell}{space}") } else { format!("{space}{cell}") };
            padded.push_str(if column > 0 { "  " } else { "" });
            padded.push_str(&cell);
        }
        text.push_str(padded.trim_end());
        text.push('\n');
    }
    text
}

/// A table of GitHub's Markdown.
pub(super) fn markdown(table: &Table) -> String {
    let lines = cells(table);
    let words = lines[0].len() - NUMBERS;
    let line = |cells: &[String]| {
        let cells: Vec<_> = cells.iter().map(|cell| cell.replace('|', "\\|")).collect();
        format!("| {} |\n", cells.join(" | "))
    };
    let rule = format!("|{}{}\n", "---|".repeat(words), "---:|".repeat(NUMBERS));
    let rest: String = lines[1..].iter().map(|cells| line(cells)).collect();
    format!("{}{rule}{rest}", line(&lines[0]))
}

/// Comma separated values, numbers in full and a cell left empty where there is nothing.
pub(super) fn csv(table: &Table) -> String {
    let head = [
        "method",
        "metric",
        "mean",
        "standard_deviation",
        "n",
        "bytes",
        "bytes_least",
        "bytes_most",
        "ratio",
        "mean_bits",
        "minutes",
    ];
    let mut lines: Vec<Vec<String>> = vec![table.keys.clone()];
    lines[0].extend(head.map(str::to_owned));
    for group in &table.groups {
        let mut line = settings(group, "");
        let Spread { mean, standard_deviation, n, .. } = group.value;
        line.extend([
            group.method.title().to_owned(),
            group.metric.name.to_string(),
            mean.to_string(),
            standard_deviation.map(|deviation| deviation.to_string()).unwrap_or_default(),
            n.to_string(),
            group.bytes.mean.to_string(),
            group.bytes.least.to_string(),
            group.bytes.most.to_string(),
            group.ratio.to_string(),
            group.mean_bits.to_string(),
            group.minutes.to_string(),
        ]);
        lines.push(line);
    }
    lines
        .iter()
        .map(|line| format!("{}\n", line.iter().map(|cell| quoted(cell)).collect::<Vec<_>>().join(",")))
        .collect()
}

/// A cell as RFC 4180 has it.
fn quoted(cell: &str) -> String {
    if cell.contains([',', '"', '\n', '\r']) {
        format!("\"{}\"", cell.replace('"', "\"\""))
    } else {
        cell.to_owned()
    }
}

/// The head and one line per group, for people.
pub(super) fn cells(table: &Table) -> Vec<Vec<String>> {
    let common = table.metric();
    let title = common.map_or("value".to_owned(), metric::title);
    let mut head = table.keys.clone();
    head.extend(["method", &title, "n", "bytes", "ratio", "mean bits", "minutes"].map(str::to_owned));
    let mut lines = vec![head];
    for group in &table.groups {
        let mut line = settings(group, NOTHING);
        let Spread { mean, standard_deviation, n, .. } = group.value;
        let mut value = metric::spread(&group.metric, mean, standard_deviation);
        if common.is_none() {
            value = format!("{value} ({})", metric::title(&group.metric));
        }
        line.extend([
            group.method.title().to_owned(),
            value,
            n.to_string(),
            bytes(&group.bytes),
            format!("{:.1}", group.ratio),
            format!("{:.2}", group.mean_bits),
            format!("{:.1}", group.minutes),
        ]);
        lines.push(line);
    }
    lines
}

fn settings(group: &Group, nothing: &str) -> Vec<String> {
    let word = |value: &Option<Value>| value.as_ref().map_or_else(|| nothing.to_owned(), plain);
    group.values.iter().map(word).collect()
}

/// The mean, and from which to which where files differ.
fn bytes(bytes: &Spread) -> String {
    let whole = |bytes: f64| grouped(bytes.round() as u64);
    if bytes.least == bytes.most {
        return whole(bytes.mean);
    }
    format!("{} ({}–{})", whole(bytes.mean), whole(bytes.least), whole(bytes.most))
}

#[cfg(test)]
mod tests {
    use super::super::group::tests::run;
    use super::*;

    fn table() -> Table {
        Table::of(
            &[
                run("seed = 0\nq.exclude = ['a', 'b|c']", 0.90, 1000),
                run("seed = 1\nq.exclude = ['a', 'b|c']", 0.94, 1200),
                run("seed = 0", 0.5, 100),
            ],
            None,
        )
    }

    #[test]
    fn text_is_aligned() {
        let expected = "\
q.exclude     method        accuracy  n                bytes  ratio  mean bits  minutes
—             float          99.00 %  1                4,100    1.0      32.00      1.5
—             DiffQ          50.00 %  1                  100   40.0       3.50      1.5
[\"a\", \"b|c\"]  float   99.00 ± 0.00 %  2                4,100    1.0      32.00      1.5
[\"a\", \"b|c\"]  DiffQ   92.00 ± 2.83 %  2  1,100 (1,000–1,200)    3.6       3.50      1.5
";
        assert_eq!(text(&table()), expected);
    }

    #[test]
    fn markdown_keeps_its_bars() {
        let found = markdown(&table());
        let lines: Vec<_> = found.lines().collect();
        assert_eq!(lines[0], "| q.exclude | method | accuracy | n | bytes | ratio | mean bits | minutes |");
        assert_eq!(lines[1], "|---|---|---:|---:|---:|---:|---:|---:|");
        let last =
            r#"| ["a", "b\|c"] | DiffQ | 92.00 ± 2.83 % | 2 | 1,100 (1,000–1,200) | 3.6 | 3.50 | 1.5 |"#;
        assert_eq!(lines[5], last);
    }

    #[test]
    fn csv_has_numbers_in_full_and_quotes_what_needs_it() {
        let found = csv(&table());
        let lines: Vec<_> = found.lines().collect();
        assert!(lines[0].starts_with("q.exclude,method,metric,mean,standard_deviation,n,bytes,"));
        assert_eq!(lines[2], ",DiffQ,accuracy,0.5,,1,100,100,100,40,3.5,1.5");
        assert!(lines[4].starts_with(r#""[""a"", ""b|c""]",DiffQ,accuracy,0.9"#), "{}", lines[4]);
        assert!(lines[4].ends_with(",2,1100,1000,1200,3.6363636363636362,3.5,1.5"), "{}", lines[4]);
    }

    #[test]
    fn an_empty_table_has_its_head() {
        let empty = Table::of(&[], None);
        assert_eq!(text(&empty), "method  value  n  bytes  ratio  mean bits  minutes\n");
        assert_eq!(markdown(&empty).lines().count(), 2);
        assert_eq!(csv(&empty).lines().count(), 1);
    }
}
