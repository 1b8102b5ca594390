//! The settings of a recipe as a flat list, to name, compare and group runs by.

use std::cmp::Ordering;
use std::collections::BTreeMap;

use fewbit_zoo::recipe::{self, Recipe};
use toml::Value;

use crate::failure::harmless;

/// The key that tells repetitions of one run apart.
pub(crate) const SEED: &str = "seed";

/// The values of a recipe under their dotted keys.
#[derive(Clone, Debug, PartialEq)]
pub(crate) struct Settings(BTreeMap<String, Value>);

impl Settings {
    /// Every setting of `recipe`, defaults included.
    pub(crate) fn of(recipe: &Recipe) -> Self {
        Self(recipe.settings())
    }

    /// The settings in the text of a `recipe.toml`. One that this version does not know is taken as it is.
    pub(crate) fn parse(text: &str) -> Result<Self, toml::de::Error> {
        match Recipe::parse(text) {
            Ok(recipe) => Ok(Self::of(&recipe)),
            Err(_) => Ok(Self(recipe::flatten(&toml::from_str(text)?))),
        }
    }

    /// The value of `key`, where it has one.
    pub(crate) fn get(&self, key: &str) -> Option<&Value> {
        self.0.get(key)
    }

    /// Every key that has a value, in alphabetical order.
    pub(crate) fn keys(&self) -> impl Iterator<Item = &str> {
        self.0.keys().map(String::as_str)
    }

    /// Every setting but the seed.
    pub(crate) fn without_seed(&self) -> Self {
        let mut settings = self.clone();
        settings.0.remove(SEED);
        settings
    }

    /// Only the settings whose key `kept` says yes to.
    pub(crate) fn only(&self, kept: impl Fn(&str) -> bool) -> Self {
        let kept = self.0.iter().filter(|(key, _)| kept(key));
        Self(kept.map(|(key, value)| (key.clone(), value.clone())).collect())
    }

    /// What differs from `needed`, in words; `None` where nothing does.
    pub(crate) fn differences(&self, needed: &Self) -> Option<String> {
        let mut keys: Vec<_> = self.keys().chain(needed.keys()).collect();
        keys.sort_unstable();
        keys.dedup();
        let word = |value: Option<&Value>| value.map_or_else(|| "not set".to_owned(), plain);
        let different = keys.into_iter().filter(|key| self.get(key) != needed.get(key));
        let words: Vec<_> = different
            .map(|key| format!("`{key}` is {}, {} needed", word(self.get(key)), word(needed.get(key))))
            .collect();
        (!words.is_empty()).then(|| words.join("; "))
    }
}

/// A value as people write it: texts without quotes, numbers as short as they can be.
pub(crate) fn plain(value: &Value) -> String {
    let text = match value {
        Value::String(text) => text.clone(),
        Value::Float(number) => number.to_string(),
        other => other.to_string(),
    };
    harmless(&text).replace('\n', "\\n")
}

/// Numbers by their size, everything else by what is printed; a value that is missing comes first.
pub(crate) fn compare_values(a: Option<&Value>, b: Option<&Value>) -> Ordering {
    fn number(value: &Value) -> Option<f64> {
        value.as_float().or_else(|| value.as_integer().map(|whole| whole as f64))
    }
    match (a, b) {
        (Some(a), Some(b)) => match (number(a), number(b)) {
            (Some(a), Some(b)) => a.total_cmp(&b),
            (Some(_), None) => Ordering::Less,
            (None, Some(_)) => Ordering::Greater,
            (None, None) => plain(a).cmp(&plain(b)),
        },
        (a, b) => a.is_some().cmp(&b.is_some()),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const RECIPE: &str = "name = 'mine'\n[data]\nset = 'mnist'\n[model]\nkind = 'mnist-cnn'\n";

    #[test]
    fn defaults_are_settings_like_others() {
        let short = Settings::parse(RECIPE).unwrap();
        let long = Settings::parse(&format!("{RECIPE}[training]\nbatch_size = 128\n")).unwrap();
        assert_eq!(short, long);
        assert_eq!(short.get("training.batch_size").map(plain).as_deref(), Some("128"));
    }

    #[test]
    fn a_recipe_of_another_version_is_read_as_it_is() {
        let settings = Settings::parse("name = 'old'\n[training]\nforgotten = 2.50\n").unwrap();
        assert_eq!(settings.keys().collect::<Vec<_>>(), ["name", "training.forgotten"]);
        assert_eq!(settings.get("training.forgotten").map(plain).as_deref(), Some("2.5"));
        assert!(Settings::parse("name = ").is_err());
    }

    #[test]
    fn differences_name_key_found_and_needed() {
        let found = Settings::parse(&format!("seed = 1\n{RECIPE}")).unwrap();
        let needed = Settings::parse(&format!("seed = 2\n{RECIPE}")).unwrap();
        assert_eq!(found.differences(&needed).as_deref(), Some("`seed` is 1, 2 needed"));
        assert_eq!(found.without_seed().differences(&needed.without_seed()), None);
        let without = found.without_seed();
        assert_eq!(without.differences(&found).as_deref(), Some("`seed` is not set, 1 needed"));
    }

    #[test]
    fn values_are_compared_as_what_they_are() {
        let mut values = [
            Some(Value::from("b")),
            Some(Value::from(10)),
            Some(Value::from("a")),
            None,
            Some(Value::from(9.5)),
        ];
        values.sort_by(|a, b| compare_values(a.as_ref(), b.as_ref()));
        let words = values.map(|value| value.as_ref().map_or_else(|| "-".to_owned(), plain));
        assert_eq!(words, ["-", "9.5", "10", "a", "b"]);
    }
}
