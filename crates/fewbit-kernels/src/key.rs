//! Which draw of noise: one key per seed, replica, step, micro-step and parameter.

/// Names one draw of noise for one parameter; with a weight's index it decides that weight's noise.
///
/// The same five ingredients give the same key for ever, on every machine: golden values in the
/// tests hold it to that.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub struct NoiseKey(u64);

impl NoiseKey {
    /// The key of the parameter at `path`, in micro-step `micro_step` of optimizer step `step`.
    ///
    /// `replica` tells data-parallel copies of a model apart; `path` is the parameter's name in the
    /// module tree, so that the key survives a restart (identifiers of a run would not).
    pub fn new(seed: u64, replica: u32, step: u64, micro_step: u32, path: &str) -> Self {
        let ingredients = [seed, u64::from(replica), step, u64::from(micro_step), hash_of(path)];
        // Each round is a bijection of the state, so ingredients cannot cancel each other.
        Self(ingredients.iter().fold(0, |state, &word| mix(state.wrapping_add(ODD_FRACTION) ^ word)))
    }

    /// The key as a number, for records.
    pub const fn value(self) -> u64 {
        self.0
    }

    /// The two words that a run of 2^32 pairs of weights is mixed with.
    ///
    /// `high` is the part of a pair's number above 32 bits: folding it in here keeps the mixing
    /// per weight in 32 bits, which vector units multiply quickly.
    pub(crate) fn words(self, high: u64) -> KeyWords {
        let word = mix(self.0 ^ mix(high.wrapping_add(ODD_FRACTION)));
        KeyWords { offset: word as u32, middle: (word >> 32) as u32 }
    }
}

/// A key, spread over what the mixing of one weight needs.
#[derive(Clone, Copy, Debug)]
pub(crate) struct KeyWords {
    pub(crate) offset: u32,
    pub(crate) middle: u32,
}

/// 2^64 divided by the golden ratio, made odd: moves zero away from the fixed point of `mix`.
const ODD_FRACTION: u64 = 0x9e37_79b9_7f4a_7c15;

/// A bijection of 64 bits in which each bit of the argument moves about half of the result's.
///
/// The finalizer of SplitMix64 (Steele, Lea, Flood 2014), variant 13 of D. Stafford's constants.
const fn mix(mut word: u64) -> u64 {
    word = (word ^ (word >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
    word = (word ^ (word >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
    word ^ (word >> 31)
}

/// FNV-1a over the bytes of a path, 64 bits.
fn hash_of(path: &str) -> u64 {
    path.bytes()
        .fold(0xcbf2_9ce4_8422_2325, |hash, byte| (hash ^ u64::from(byte)).wrapping_mul(0x0100_0000_01b3))
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Published test vectors of the two building blocks.
    #[test]
    fn the_building_blocks_are_the_published_ones() {
        // SplitMix64 from state 0: the first output is mix(0 + 2^64/phi).
        assert_eq!(mix(ODD_FRACTION), 0xe220_a839_7b1d_cdaf);
        // FNV-1a of "" is the offset basis, of "a" and "foobar" from the FNV reference tables.
        assert_eq!(hash_of(""), 0xcbf2_9ce4_8422_2325);
        assert_eq!(hash_of("a"), 0xaf63_dc4c_8601_ec8c);
        assert_eq!(hash_of("foobar"), 0x8594_4171_f739_67e8);
    }

    #[test]
    fn every_ingredient_changes_the_key() {
        let keys = [
            NoiseKey::new(0, 0, 0, 0, "conv1.weight"),
            NoiseKey::new(1, 0, 0, 0, "conv1.weight"),
            NoiseKey::new(0, 1, 0, 0, "conv1.weight"),
            NoiseKey::new(0, 0, 1, 0, "conv1.weight"),
            NoiseKey::new(0, 0, 0, 1, "conv1.weight"),
            NoiseKey::new(0, 0, 0, 0, "conv2.weight"),
        ];
        for (place, key) in keys.iter().enumerate() {
            assert!(!keys[..place].contains(key), "key {place} repeats an earlier one");
        }
    }
}
