//! What a key of a recipe or of a model's description may hold, and the error when it holds something else.
//!
//! Each key is listed once, with its kind and its range; the same list finds unknown keys, suggests the nearest known one,
//! and checks values that come from TOML, from JSON and from the command line.

use thiserror::Error;
use toml::Value;

/// A key that is not known, is missing, or holds a value that it cannot hold.
#[derive(Clone, Debug, PartialEq, Error)]
pub enum SettingError {
    /// No such key.
    #[error("unknown key `{key}`{}; known here: {}", did_you_mean(nearest), known.join(", "))]
    UnknownKey {
        /// The key as written, with its section.
        key: String,
        /// The known key that is closest in spelling, where one is close.
        nearest: Option<String>,
        /// The keys of the same section.
        known: Vec<String>,
    },
    /// A key without a default was left out.
    #[error("key `{key}` is missing: it needs {needed}")]
    MissingKey {
        /// The key, with its section.
        key: String,
        /// What it may hold.
        needed: String,
    },
    /// The value has the wrong type or is out of range.
    #[error("`{key}` is {found}, but needs {needed}{}", did_you_mean(nearest))]
    InvalidValue {
        /// The key, with its section.
        key: String,
        /// The value found, as TOML.
        found: String,
        /// What it may hold.
        needed: String,
        /// The known word that is closest in spelling, where one of a list is needed and one is close.
        nearest: Option<String>,
    },
}

impl SettingError {
    /// An [`InvalidValue`](Self::InvalidValue) without a suggestion.
    pub(crate) fn invalid(key: impl Into<String>, found: impl ToString, needed: impl Into<String>) -> Self {
        Self::InvalidValue { key: key.into(), found: found.to_string(), needed: needed.into(), nearest: None }
    }
}

fn did_you_mean(nearest: &Option<String>) -> String {
    match nearest {
        Some(word) => format!("; did you mean `{word}`?"),
        None => String::new(),
    }
}

/// What one key may hold. Ranges include both ends.
#[derive(Clone, Copy, Debug, PartialEq)]
pub(crate) enum Kind {
    /// Text of at least one character.
    Text,
    /// One of these words.
    Choice(&'static [&'static str]),
    /// A whole number.
    Count { least: i64, most: i64 },
    /// As many whole numbers as the first field says.
    Counts { len: usize, least: i64, most: i64 },
    /// At most so many whole numbers.
    CountList { most_len: usize, least: i64, most: i64 },
    /// A finite number; `least` of [`ABOVE_ZERO`] excludes zero.
    Number { least: f64, most: f64 },
    /// `true` or `false`.
    Flag,
    /// A list of texts.
    Texts,
    /// A whole number of weights above zero, or the word `tensor`.
    GroupSize,
}

/// The smallest positive number: as the lower end of [`Kind::Number`] it means "above 0".
pub(crate) const ABOVE_ZERO: f64 = f64::MIN_POSITIVE;

impl Kind {
    /// What is needed, to be read after "but needs".
    fn needed(self) -> String {
        match self {
            Self::Text => "a text in quotes that is not empty".into(),
            Self::Choice(words) => format!("one of {}", words.join(", ")),
            Self::Count { least, most } => format!("a whole number from {least} to {most}"),
            Self::Counts { len, least, most } => {
                format!("a list of {len} whole numbers from {least} to {most}")
            }
            Self::CountList { most_len, least, most } => {
                format!("a list of at most {most_len} whole numbers from {least} to {most}")
            }
            Self::Number { least, most } if least == ABOVE_ZERO => {
                format!("a number above 0 and at most {most}")
            }
            Self::Number { least, most } => format!("a number from {least} to {most}"),
            Self::Flag => "true or false".into(),
            Self::Texts => "a list of texts in quotes".into(),
            Self::GroupSize => {
                "a whole number from 1 to 4294967295, or \"tensor\" for one group per tensor".into()
            }
        }
    }

    fn accepts(self, value: &Value) -> bool {
        let whole =
            |value: &Value, least, most| value.as_integer().is_some_and(|n| (least..=most).contains(&n));
        match self {
            Self::Text => value.as_str().is_some_and(|text| !text.is_empty()),
            Self::Choice(words) => value.as_str().is_some_and(|word| words.contains(&word)),
            Self::Count { least, most } => whole(value, least, most),
            Self::Counts { len, least, most } => value
                .as_array()
                .is_some_and(|list| list.len() == len && list.iter().all(|item| whole(item, least, most))),
            Self::CountList { most_len, least, most } => value.as_array().is_some_and(|list| {
                list.len() <= most_len && list.iter().all(|item| whole(item, least, most))
            }),
            // `contains` is false for NaN.
            Self::Number { least, most } => value
                .as_float()
                .or(value.as_integer().map(|n| n as f64))
                .is_some_and(|n| (least..=most).contains(&n)),
            Self::Flag => value.is_bool(),
            Self::Texts => value.as_array().is_some_and(|list| list.iter().all(Value::is_str)),
            Self::GroupSize => value.as_str() == Some("tensor") || whole(value, 1, u32::MAX.into()),
        }
    }

    fn check(self, key: &str, value: &Value) -> Result<(), SettingError> {
        if self.accepts(value) {
            return Ok(());
        }
        let nearest = match (self, value.as_str()) {
            (Self::Choice(words), Some(found)) => nearest(found, words.iter().copied()),
            _ => None,
        };
        Err(SettingError::InvalidValue {
            key: key.into(),
            found: shortened(value),
            needed: self.needed(),
            nearest,
        })
    }
}

/// How many classes a network tells apart.
pub(crate) const CLASSES: (&str, Kind) = ("classes", Kind::Count { least: 2, most: 65_536 });
/// Burn needs less than 1; nobody needs more than this.
pub(crate) const DROPOUT: (&str, Kind) = ("dropout", Kind::Number { least: 0.0, most: 0.9 });
/// A number of features.
pub(crate) const WIDTH: Kind = Kind::Count { least: 1, most: 65_536 };
/// A number of layers.
pub(crate) const LAYERS: Kind = Kind::Count { least: 1, most: 256 };
/// The keys of a network of three convolutions and two linear layers.
pub(crate) const IMAGE_CNN: &[(&str, Kind)] =
    &[("channels", Kind::Counts { len: 3, least: 1, most: 4096 }), ("hidden", WIDTH), CLASSES];

/// That the first of two settings divides the second.
///
/// # Errors
/// [`SettingError::InvalidValue`] naming both.
pub(crate) fn divides(
    section: &str,
    (part, divisor): (&str, usize),
    (whole, number): (&str, usize),
) -> Result<(), SettingError> {
    if number % divisor == 0 {
        return Ok(());
    }
    let needed = format!("a divisor of `{}`, {number}", dotted(section, whole));
    Err(SettingError::invalid(dotted(section, part), divisor, needed))
}

/// One known key.
#[derive(Clone, Debug, PartialEq)]
pub(crate) struct Setting {
    /// With its section: `training.batch_size`.
    pub(crate) key: String,
    pub(crate) kind: Kind,
    /// Whether it has no default.
    pub(crate) required: bool,
}

impl Setting {
    /// The settings of `section` (empty: the top), each with a default, from pairs of name and kind.
    pub(crate) fn optional(section: &str, names: &[(&str, Kind)]) -> Vec<Self> {
        names.iter().map(|&(name, kind)| Self { key: dotted(section, name), kind, required: false }).collect()
    }

    /// One setting without a default.
    pub(crate) fn required(section: &str, name: &str, kind: Kind) -> Self {
        Self { key: dotted(section, name), kind, required: true }
    }
}

/// `section.name`, or the name alone at the top.
pub(crate) fn dotted(section: &str, name: &str) -> String {
    if section.is_empty() { name.into() } else { format!("{section}.{name}") }
}

/// Checks every value against the setting of its key, and that no required key is left out.
///
/// # Errors
/// [`SettingError`] for the first key that is wrong.
pub(crate) fn check_all<'a>(
    values: impl IntoIterator<Item = (String, &'a Value)>,
    settings: &[Setting],
) -> Result<(), SettingError> {
    let mut seen = Vec::new();
    for (key, value) in values {
        find(&key, settings)?.kind.check(&key, value)?;
        seen.push(key);
    }
    match settings.iter().find(|setting| setting.required && !seen.contains(&setting.key)) {
        Some(missing) => {
            Err(SettingError::MissingKey { key: missing.key.clone(), needed: missing.kind.needed() })
        }
        None => Ok(()),
    }
}

/// The setting of this key.
///
/// # Errors
/// [`SettingError::UnknownKey`] with the nearest known key; a key without its section (`batch_size`) suggests the full one.
pub(crate) fn find<'a>(key: &str, settings: &'a [Setting]) -> Result<&'a Setting, SettingError> {
    if let Some(setting) = settings.iter().find(|setting| setting.key == key) {
        return Ok(setting);
    }
    let section = |key: &str| key.rsplit_once('.').map(|(head, _)| head.to_owned());
    let last = |key: &str| key.rsplit('.').next().unwrap_or_default().to_owned();
    let keys = || settings.iter().map(|setting| setting.key.as_str());
    let misplaced = keys().find(|known| last(known) == last(key)).map(str::to_owned);
    let mut known: Vec<String> =
        keys().filter(|known| section(known) == section(key)).map(str::to_owned).collect();
    if known.is_empty() {
        known = keys().map(str::to_owned).collect();
    }
    Err(SettingError::UnknownKey {
        key: key.into(),
        nearest: misplaced.or_else(|| nearest(key, keys())),
        known,
    })
}

/// The word closest in spelling to `found`, unless all are farther than a third of its letters (at least two).
pub(crate) fn nearest<'a>(found: &str, words: impl IntoIterator<Item = &'a str>) -> Option<String> {
    // A stranger's key may be very long; nothing known is close to it.
    if found.len() > 64 {
        return None;
    }
    words
        .into_iter()
        .map(|word| (edit_distance(found, word), word))
        .min()
        .filter(|&(distance, _)| distance <= (found.chars().count() / 3).max(2))
        .map(|(_, word)| word.to_owned())
}

/// Letters to insert, delete or replace to turn one word into the other (Levenshtein).
fn edit_distance(from: &str, to: &str) -> usize {
    let to: Vec<char> = to.chars().collect();
    let mut row: Vec<usize> = (0..=to.len()).collect();
    for (i, letter) in from.chars().enumerate() {
        let mut diagonal = row[0];
        row[0] = i + 1;
        for (j, &other) in to.iter().enumerate() {
            let replaced = diagonal + usize::from(letter != other);
            diagonal = row[j + 1];
            row[j + 1] = replaced.min(row[j] + 1).min(diagonal + 1);
        }
    }
    row[to.len()]
}

/// The value as TOML, cut after sixty characters so that an error stays one line.
pub(crate) fn shortened(value: &Value) -> String {
    let text = value.to_string().replace('\n', " ");
    match text.char_indices().nth(60) {
        Some((end, _)) => format!("{}…", &text[..end]),
        None => text,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn edit_distances_worked_by_hand() {
        for (from, to, distance) in [
            ("", "", 0),
            ("", "abc", 3),
            ("abc", "", 3),
            ("sed", "seed", 1),
            ("kitten", "sitting", 3),
            ("batchsize", "batch_size", 1),
        ] {
            assert_eq!(edit_distance(from, to), distance, "{from} to {to}");
            assert_eq!(edit_distance(to, from), distance, "{to} to {from}");
        }
    }

    #[test]
    fn a_far_word_is_not_suggested() {
        assert_eq!(nearest("resnett", ["resnet", "lstm-lm"]), Some("resnet".into()));
        assert_eq!(nearest("banana", ["resnet", "lstm-lm"]), None);
        assert_eq!(nearest(&"x".repeat(1 << 20), ["resnet"]), None);
    }

    #[test]
    fn numbers_that_are_not_finite_are_refused() {
        let kind = Kind::Number { least: 0.0, most: f64::MAX };
        for bad in [f64::NAN, f64::INFINITY, f64::NEG_INFINITY, -1.0] {
            assert!(!kind.accepts(&Value::Float(bad)), "{bad}");
        }
        assert!(kind.accepts(&Value::Integer(3)));
    }

    #[test]
    fn a_key_without_its_section_suggests_the_full_key() {
        let settings = Setting::optional("training", &[("batch_size", Kind::Flag)]);
        let error = find("batch_size", &settings).unwrap_err();
        assert!(error.to_string().contains("did you mean `training.batch_size`?"));
    }
}
