//! The names of a network's tensors in PyTorch and in burn.
//!
//! PyTorch calls the scale of a norm `weight` and its shift `bias`, burn `gamma` and `beta`; in PyTorch a weight of one
//! dimension is always a norm's. A shortcut is a list in PyTorch, `shortcut.0` and `shortcut.1` or `downsample.0` and
//! `downsample.1`, of a convolution and perhaps its norm; here it is `shortcut`, or `shortcut.conv` and `shortcut.norm`.
//! PyTorch counts the batches of a batch norm in [`BATCH_COUNT`]. All other names are the same.

use crate::batch_norm::{BATCH_COUNT, BETA, GAMMA, layer_of};

/// The names in burn of a PyTorch network's tensors, of which `tensors` are all, each with its number of dimensions;
/// `None` for those that a burn network does not have.
///
/// ```
/// # use fewbit::names::to_burn;
/// let names = to_burn(&[("bn1.weight", 1), ("bn1.bias", 1), ("bn1.num_batches_tracked", 0), ("fc.weight", 2)]);
/// let names: Vec<_> = names.iter().map(Option::as_deref).collect();
/// assert_eq!(names, [Some("bn1.gamma"), Some("bn1.beta"), None, Some("fc.weight")]);
/// ```
pub fn to_burn(tensors: &[(&str, usize)]) -> Vec<Option<String>> {
    let norm_of =
        |(name, rank): &(&str, usize)| layer_of(name, "weight").filter(|_| *rank == 1).map(str::to_owned);
    let norms: std::collections::HashSet<String> = tensors.iter().filter_map(norm_of).collect();
    let shortcuts_have_norms = tensors.iter().any(|(name, _)| shortcut_place(name) == Some("1"));
    let name = |(name, _): &(&str, usize)| {
        if is_batch_count(name) {
            return None;
        }
        let renamed = [("weight", GAMMA), ("bias", BETA)].into_iter().find_map(|(theirs, ours)| {
            let layer = layer_of(name, theirs)?;
            norms.contains(layer).then(|| format!("{layer}{ours}"))
        });
        let name = renamed.unwrap_or_else(|| (*name).to_owned());
        Some(with_named_shortcut(name, shortcuts_have_norms))
    };
    tensors.iter().map(name).collect()
}

/// The name in PyTorch of a tensor that burn calls `name`.
///
/// ```
/// # use fewbit::names::to_pytorch;
/// assert_eq!(to_pytorch("layer2.0.bn1.gamma"), "layer2.0.bn1.weight");
/// assert_eq!(to_pytorch("layer2.0.shortcut.conv.weight"), "layer2.0.shortcut.0.weight");
/// assert_eq!(to_pytorch("layer2.0.shortcut.norm.running_var"), "layer2.0.shortcut.1.running_var");
/// ```
pub fn to_pytorch(name: &str) -> String {
    let mut parts: Vec<&str> = name.split('.').collect();
    if let [.., "shortcut", part @ ("conv" | "norm"), _] = &mut parts[..] {
        *part = if *part == "conv" { "0" } else { "1" };
    } else if let [.., "shortcut", _] = &parts[..] {
        parts.insert(parts.len() - 1, "0");
    }
    if let Some(last) = parts.last_mut() {
        match *last {
            GAMMA => *last = "weight",
            BETA => *last = "bias",
            _ => {}
        }
    }
    parts.join(".")
}

/// Whether a tensor is PyTorch's count of the batches that a norm has seen.
pub fn is_batch_count(name: &str) -> bool {
    layer_of(name, BATCH_COUNT).is_some()
}

/// The position in the list of a shortcut that a tensor has, if it is part of one.
fn shortcut_place(name: &str) -> Option<&str> {
    let mut parts = name.rsplit('.').skip(1);
    let place = parts.next()?;
    matches!(parts.next(), Some("shortcut" | "downsample")).then_some(place)
}

/// `layer2.0.shortcut.conv.weight` for `layer2.0.shortcut.0.weight`; without norms, `layer2.0.shortcut.weight`.
fn with_named_shortcut(name: String, with_norm: bool) -> String {
    let layer = match shortcut_place(&name) {
        Some("0") if with_norm => "shortcut.conv.",
        Some("0") => "shortcut.",
        Some("1") => "shortcut.norm.",
        _ => return name,
    };
    let mut parts: Vec<&str> = name.rsplitn(4, '.').collect();
    parts.reverse();
    match parts.as_slice() {
        [block, _, _, last] => format!("{block}.{layer}{last}"),
        [_, _, last] => format!("{layer}{last}"),
        _ => name,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_shortcut_is_named_by_its_layers_and_back() {
        for (name, with_norm, named) in [
            ("layer2.0.shortcut.0.weight", true, "layer2.0.shortcut.conv.weight"),
            ("layer2.0.shortcut.1.gamma", true, "layer2.0.shortcut.norm.gamma"),
            ("layer2.0.shortcut.0.bias", false, "layer2.0.shortcut.bias"),
            ("layer2.0.conv1.weight", true, "layer2.0.conv1.weight"),
            ("shortcut.0.weight", false, "shortcut.weight"),
            ("weight", true, "weight"),
        ] {
            assert_eq!(with_named_shortcut(name.to_owned(), with_norm), named);
            assert_eq!(to_pytorch(named), name.replace("gamma", "weight"));
        }
        let named = with_named_shortcut("layer2.0.downsample.1.gamma".to_owned(), true);
        assert_eq!(named, "layer2.0.shortcut.norm.gamma");
    }

    #[test]
    fn norms_are_renamed_and_counters_left_out() {
        let names = to_burn(&[
            ("weight", 1),
            ("bias", 1),
            ("bn.running_mean", 1),
            ("bn.num_batches_tracked", 0),
            ("fc.weight", 2),
            ("fc.bias", 1),
        ]);
        let names: Vec<_> = names.iter().map(Option::as_deref).collect();
        assert_eq!(
            names,
            [Some("gamma"), Some("beta"), Some("bn.running_mean"), None, Some("fc.weight"), Some("fc.bias")]
        );
    }
}
