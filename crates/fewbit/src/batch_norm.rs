//! Batch norms folded to one scale and one shift per channel, as `docs/format.md` has it.
//!
//! A trained batch norm keeps four numbers per channel, but its output is `scale · x + shift`:
//!
//! ```text
//! scale = gamma / sqrt(running_var + ε),  shift = beta - running_mean · scale
//! ```
//!
//! A folded layer `p` is stored as `p.scale` and `p.shift`, and ε as the file's metadata [`EPSILON_KEY`]. To use it, the
//! two take the place of `gamma` and `beta`, beside statistics that change nothing: a mean of 0 and the
//! variance that is 1 once ε is added ([`unit_variance`]).

use std::collections::HashSet;

/// The metadata key of a file with folded batch norms: the ε of its layers.
pub const EPSILON_KEY: &str = "batch_norm_epsilon";

/// The parameters and statistics of a layer, by the names that burn gives them.
pub const GAMMA: &str = "gamma";
/// See [`GAMMA`].
pub const BETA: &str = "beta";
/// See [`GAMMA`].
pub const RUNNING_MEAN: &str = "running_mean";
/// See [`GAMMA`].
pub const RUNNING_VAR: &str = "running_var";
/// What PyTorch counts beside the statistics: an int64 without dimensions.
pub const BATCH_COUNT: &str = "num_batches_tracked";
/// What a folded layer has in place of the four.
pub const SCALE: &str = "scale";
/// See [`SCALE`].
pub const SHIFT: &str = "shift";

/// A folded layer, one number per channel.
#[derive(Clone, Debug, PartialEq)]
pub struct Folded {
    /// What the input is multiplied by.
    pub scale: Vec<f32>,
    /// What is added then.
    pub shift: Vec<f32>,
}

/// Folds a layer of these numbers per channel; as many channels as all four have.
///
/// Where `running_var + ε` is 1 in 32-bit floats it counts as 1, so that an unfolded layer gives back its scale and
/// shift to the last bit.
///
/// ```
/// # use fewbit::batch_norm::fold;
/// // sqrt(0.5 + 0.5) = 1, sqrt(3.5 + 0.5) = 2
/// let folded = fold([&[3.0, 3.0], &[1.0, 1.0], &[2.0, 2.0], &[0.5, 3.5]], 0.5);
/// assert_eq!((folded.scale, folded.shift), (vec![3.0, 1.5], vec![-5.0, -2.0]));
/// ```
pub fn fold([gamma, beta, mean, variance]: [&[f32]; 4], epsilon: f64) -> Folded {
    let scale = |(gamma, variance): (&f32, &f32)| match variance + epsilon as f32 {
        1.0 => f64::from(*gamma),
        _ => f64::from(*gamma) / (f64::from(*variance) + epsilon).sqrt(),
    };
    let scales: Vec<f64> = gamma.iter().zip(variance).map(scale).collect();
    let shift =
        |((beta, mean), scale): ((&f32, &f32), &f64)| (f64::from(*beta) - f64::from(*mean) * scale) as f32;
    Folded {
        shift: beta.iter().zip(mean).zip(&scales).map(shift).collect(),
        scale: scales.into_iter().map(|scale| scale as f32).collect(),
    }
}

/// The variance that is exactly 1 once ε is added, as 32-bit floats add.
pub fn unit_variance(epsilon: f64) -> f32 {
    let epsilon = epsilon as f32;
    let near = 1.0 - epsilon;
    let candidates = [near, near.next_up(), near.next_down()];
    candidates.into_iter().find(|variance| variance + epsilon == 1.0).unwrap_or(near)
}

/// The ε that a file's metadata has under [`EPSILON_KEY`]; `None` for a text that is not a number from 0 to below 1.
pub fn parse_epsilon(text: &str) -> Option<f64> {
    text.parse().ok().filter(|epsilon| (0.0..1.0).contains(epsilon))
}

/// The folded layers among the tensors of a file that has [`EPSILON_KEY`]: what stands in front of `scale` and `shift`,
/// with its last point, in the order of the scales.
///
/// ```
/// # use fewbit::batch_norm::folded_layers;
/// let names = ["bn1.scale", "bn1.shift", "fc.weight", "head.scale"];
/// assert_eq!(folded_layers(names), ["bn1."]);
/// ```
pub fn folded_layers<'n>(names: impl IntoIterator<Item = &'n str>) -> Vec<&'n str> {
    let names: Vec<&str> = names.into_iter().collect();
    let shifts: HashSet<&str> = names.iter().filter_map(|name| layer_of(name, SHIFT)).collect();
    names
        .into_iter()
        .filter_map(|name| layer_of(name, SCALE))
        .filter(|layer| shifts.contains(layer))
        .collect()
}

/// What stands in front of the last part of a name, if that is `field`.
pub fn layer_of<'n>(name: &'n str, field: &str) -> Option<&'n str> {
    name.strip_suffix(field).filter(|layer| layer.is_empty() || layer.ends_with('.'))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_variance_of_an_unfolded_layer_is_one_once_epsilon_is_added() {
        for epsilon in [0.0, 1e-12, 1e-8, 1e-5, 1e-3, 0.001_953_125, 0.1, 0.5] {
            assert_eq!(unit_variance(epsilon) + epsilon as f32, 1.0, "{epsilon}");
        }
    }

    #[test]
    fn folding_an_unfolded_layer_gives_back_the_same() {
        let (scale, shift) = ([1.0f32 / 3.0, -7.1e-4, 1e30, 0.0], [0.1f32, -2.7, 1e-20, 5.0]);
        for epsilon in [1e-3, 1e-5, 1e-8] {
            let folded = fold([&scale, &shift, &[0.0; 4], &[unit_variance(epsilon); 4]], epsilon);
            assert_eq!((&folded.scale[..], &folded.shift[..]), (&scale[..], &shift[..]));
        }
    }

    #[test]
    fn an_epsilon_is_a_number_from_0_to_below_1() {
        assert_eq!(["0", "1e-5", "0.00001"].map(parse_epsilon), [Some(0.0), Some(1e-5), Some(1e-5)]);
        assert_eq!(["", "1", "-1e-5", "NaN", "inf", "x"].map(parse_epsilon), [None; 6]);
    }

    #[test]
    fn only_pairs_are_folded_layers() {
        let names = ["shift", "a.shift", "a.scale", "scale", "b.scale", "c.shift", "xscale", "xshift"];
        assert_eq!(folded_layers(names), ["a.", ""]);
    }
}
