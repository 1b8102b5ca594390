//! What makes a run the run that it is: a checkpoint is gone on with only where all of it is the same.

use std::collections::BTreeMap;
use std::fmt;

use serde::{Deserialize, Serialize};

/// The facts that decide every byte of a run, by name: settings of the recipe, checksums of the data and of
/// the weights that it starts from, the version of the code.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(transparent)]
pub struct Identity(BTreeMap<String, String>);

/// A fact in which a checkpoint and the run that would go on with it differ.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Difference {
    /// Its name, as in `training.learning_rate` or `data`.
    pub fact: String,
    /// What it was when the checkpoint was made; none where there was no such fact.
    pub then: Option<String>,
    /// What it is now.
    pub now: Option<String>,
}

impl Identity {
    /// Adds a fact.
    pub fn insert(&mut self, fact: impl Into<String>, value: impl Into<String>) {
        self.0.insert(fact.into(), value.into());
    }

    /// Every fact in which `now` differs.
    pub fn differences(&self, now: &Self) -> Vec<Difference> {
        let mut facts: Vec<&String> = self.0.keys().chain(now.0.keys()).collect();
        facts.sort();
        facts.dedup();
        let difference = |fact: &String| {
            let (then, now) = (self.0.get(fact).cloned(), now.0.get(fact).cloned());
            (then != now).then(|| Difference { fact: fact.clone(), then, now })
        };
        facts.into_iter().filter_map(difference).collect()
    }
}

impl fmt::Display for Difference {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let none = || "not there".to_owned();
        let [then, now] = [&self.then, &self.now].map(|value| value.clone().unwrap_or_else(none));
        write!(f, "{} was {then} and is {now}", self.fact)
    }
}

/// All of them in one line.
pub(super) fn in_words(differences: &[Difference]) -> String {
    differences.iter().map(ToString::to_string).collect::<Vec<_>>().join("; ")
}

#[cfg(test)]
mod tests {
    use super::*;

    fn identity(facts: &[(&str, &str)]) -> Identity {
        let mut identity = Identity::default();
        facts.iter().for_each(|(fact, value)| identity.insert(*fact, *value));
        identity
    }

    #[test]
    fn every_difference_is_named_with_both_values() {
        let then = identity(&[("data", "1a"), ("seed", "3"), ("training.momentum", "0.9")]);
        let now = identity(&[("data", "2b"), ("seed", "3"), ("initial", "7c")]);
        assert!(then.differences(&then).is_empty());
        let words = in_words(&then.differences(&now));
        let expected = "data was 1a and is 2b; initial was not there and is 7c; \
                        training.momentum was 0.9 and is not there";
        assert_eq!(words, expected);
    }
}
