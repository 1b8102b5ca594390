//! All combinations of the values of `--over`.

use crate::failure::Failure;

/// More runs than anybody means to start.
const MOST_RUNS: usize = 10_000;

/// A key of the recipe with its value, as text.
pub(super) type Setting = (String, String);

/// One `--over`: a key and the values that it takes in turn.
#[derive(Debug, PartialEq)]
pub(super) struct Axis {
    pub(super) key: String,
    values: Vec<String>,
}

impl Axis {
    /// From `key=a,b,c`. Commas in quotes and brackets part nothing.
    pub(super) fn parse(text: &str) -> Result<Self, Failure> {
        let (key, values) = setting("--over", "KEY=VALUE,VALUE", text)?;
        let values = split(&values);
        if values.iter().any(String::is_empty) {
            let message = format!("--over {text}: a value is empty, KEY=VALUE,VALUE needed");
            return Err(Failure::new(message));
        }
        Ok(Self { key, values })
    }
}

/// A key and a value from `KEY=VALUE`; errors name the `option` and the `form` that it needs.
pub(super) fn setting(option: &str, form: &str, text: &str) -> Result<Setting, Failure> {
    match text.split_once('=') {
        Some((key, value)) => Ok((key.trim().to_owned(), value.trim().to_owned())),
        None => Err(Failure::new(format!("{option} {text}: no `=` found, {form} needed"))),
    }
}

fn split(text: &str) -> Vec<String> {
    let mut parts = vec![String::new()];
    let (mut quote, mut depth, mut escaped) = (None, 0usize, false);
    for c in text.chars() {
        match (quote, c) {
            _ if escaped => escaped = false,
            (Some('"'), '\\') => escaped = true,
            (Some(open), _) => quote = quote.filter(|_| c != open),
            (None, '"' | '\'') => quote = Some(c),
            (None, '[' | '{') => depth += 1,
            (None, ']' | '}') => depth = depth.saturating_sub(1),
            (None, ',') if depth == 0 => {
                parts.push(String::new());
                continue;
            }
            (None, _) => {}
        }
        if let Some(part) = parts.last_mut() {
            part.push(c);
        }
    }
    parts.iter().map(|part| part.trim().to_owned()).collect()
}

/// Every combination of one value per axis; the last axis changes fastest.
pub(super) fn combinations(axes: &[Axis]) -> Result<Vec<Vec<Setting>>, Failure> {
    for (i, axis) in axes.iter().enumerate() {
        if axes[..i].iter().any(|before| before.key == axis.key) {
            let message = format!("--over {}: given twice, one list of values needed", axis.key);
            return Err(Failure::new(message));
        }
    }
    let count = axes.iter().try_fold(1usize, |count, axis| count.checked_mul(axis.values.len()));
    if count.is_none_or(|count| count > MOST_RUNS) {
        let found = count.map_or_else(|| "more runs than can be counted".to_owned(), |n| format!("{n} runs"));
        return Err(Failure::new(format!("--over: {found}, at most {MOST_RUNS} can be made at once")));
    }
    let mut all = vec![Vec::new()];
    for axis in axes {
        let with = |before: Vec<Setting>| {
            axis.values.iter().map(move |value| {
                let mut combination = before.clone();
                combination.push((axis.key.clone(), value.clone()));
                combination
            })
        };
        all = all.into_iter().flat_map(with).collect();
    }
    Ok(all)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_last_axis_changes_fastest() {
        let axes = ["a=1,2", "b=x, y ,z"].map(|text| Axis::parse(text).unwrap());
        let all = combinations(&axes).unwrap();
        let words: Vec<String> = all
            .iter()
            .map(|settings| settings.iter().map(|(key, value)| format!("{key}{value}")).collect())
            .collect();
        assert_eq!(words, ["a1bx", "a1by", "a1bz", "a2bx", "a2by", "a2bz"]);
    }

    #[test]
    fn commas_in_quotes_and_brackets_part_nothing() {
        let values = |text| Axis::parse(text).unwrap().values;
        assert_eq!(values(r#"k=["a","b"],["c"]"#), [r#"["a","b"]"#, r#"["c"]"#]);
        assert_eq!(values(r#"k="a,\",b",c"#), [r#""a,\",b""#, "c"]);
        assert_eq!(values("k='a,b',c=d"), ["'a,b'", "c=d"]);
    }

    #[test]
    fn what_makes_no_grid_is_refused() {
        let refused = |text: &str| Axis::parse(text).unwrap_err().to_string();
        assert!(refused("training").contains("no `=` found"));
        assert!(refused("seed=1,,2").contains("empty"));
        assert!(refused("seed=").contains("empty"));
        let twice = ["a=1", "a=2"].map(|text| Axis::parse(text).unwrap());
        assert!(combinations(&twice).unwrap_err().to_string().contains("given twice"));
        let hundred = (0..100).map(|n| n.to_string()).collect::<Vec<_>>().join(",");
        let many = ["a", "b", "c"].map(|key| Axis::parse(&format!("{key}={hundred}")).unwrap());
        assert!(combinations(&many).unwrap_err().to_string().contains("1000000 runs"));
        assert_eq!(combinations(&many[..2]).unwrap().len(), 10_000);
    }
}
