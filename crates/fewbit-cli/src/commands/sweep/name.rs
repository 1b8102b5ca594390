//! What the folder of a run is called: the recipe and the values of the keys that the sweep is over.

use crate::runs::{SEED, Settings, plain};

/// Leaves room for what is put before and behind a name while a folder is made.
const LONGEST: usize = 120;
/// The key of the recipe's name, which begins every name.
const NAME: &str = "name";

/// The name of the run with these `settings`: `mnist,quantization.penalty=5,seed=0`.
///
/// It depends on nothing but the values of `keys`, as the recipe has them (`5`, `5.0` and `5e0` are one), and the seed.
/// What file systems or shells mind is replaced and a name that is too long is cut; then a hash of the whole follows.
pub(super) fn run_name(settings: &Settings, keys: &[&str]) -> String {
    let value = |key: &str| settings.get(key).map(plain).unwrap_or_default();
    let mut keys: Vec<&str> = keys.iter().copied().filter(|key| ![SEED, NAME].contains(key)).collect();
    keys.sort_unstable();
    // Last, so that repetitions stand together; always, so that a first seed is not trained again among others.
    keys.push(SEED);
    let whole = keys.iter().fold(value(NAME), |name, key| format!("{name},{key}={}", value(key)));
    let allowed = |c: char| c.is_ascii_alphanumeric() || "-_.,=+".contains(c);
    let safe: String = whole.chars().map(|c| if allowed(c) { c } else { '_' }).collect();
    if safe == whole && safe.len() <= LONGEST {
        return safe;
    }
    let hash = format!("-{:016x}", fnv(whole.as_bytes()));
    format!("{}{hash}", &safe[..safe.len().min(LONGEST - hash.len())])
}

/// FNV-1a of 64 bits, which is the same in every version of every compiler.
fn fnv(bytes: &[u8]) -> u64 {
    bytes.iter().fold(0xcbf2_9ce4_8422_2325, |hash, byte| {
        (hash ^ u64::from(*byte)).wrapping_mul(0x0000_0100_0000_01b3)
    })
}

#[cfg(test)]
mod tests {
    use fewbit_zoo::recipe;

    use super::*;

    fn named(over: &[(&str, &str)]) -> String {
        let overrides: Vec<_> =
            over.iter().map(|(key, value)| ((*key).to_owned(), (*value).to_owned())).collect();
        let keys: Vec<_> = over.iter().map(|(key, _)| *key).collect();
        run_name(&Settings::of(&recipe::resolve("quick-start", &overrides).unwrap()), &keys)
    }

    #[test]
    fn a_name_says_what_the_run_is() {
        assert_eq!(
            named(&[("seed", "3"), ("quantization.penalty", "5")]),
            "quick-start,quantization.penalty=5,seed=3"
        );
        assert_eq!(
            named(&[("training.weight_decay", "1e-3")]),
            "quick-start,training.weight_decay=0.001,seed=0"
        );
    }

    #[test]
    fn one_value_has_one_name_however_it_is_written_and_ordered() {
        let name = named(&[("quantization.penalty", "5"), ("training.batch_size", "64")]);
        assert_eq!(named(&[("training.batch_size", "64"), ("quantization.penalty", "5.0")]), name);
        assert_eq!(
            named(&[("quantization.noise", "uniform")]),
            named(&[("quantization.noise", "'uniform'")])
        );
    }

    #[test]
    fn what_a_file_system_minds_is_replaced_and_told_apart_by_a_hash() {
        let names = ["['a/b']", "['a*b']", "['a_b']"].map(|value| named(&[("quantization.exclude", value)]));
        for name in &names {
            assert!(name.starts_with("quick-start,quantization.exclude=__a_b"), "{name}");
            assert!(!name.contains(['/', '*', '[']), "{name}");
        }
        assert!(names[0] != names[1] && names[1] != names[2]);
    }

    #[test]
    fn a_long_name_is_cut_and_told_apart_by_a_hash() {
        let long = |last: &str| named(&[("quantization.exclude", &format!("['{}{last}']", "x".repeat(300)))]);
        assert_eq!(long("a").len(), LONGEST);
        assert_ne!(long("a"), long("b"));
    }

    #[test] // The published test vectors of FNV-1a.
    fn the_hash_is_fnv() {
        assert_eq!([fnv(b""), fnv(b"a")], [0xcbf2_9ce4_8422_2325, 0xaf63_dc4c_8601_ec8c]);
    }
}
