//! Names as a network knows them, without what training programs put around.

/// What training programs wrap a network's names in: the key of a saved dict, `DataParallel`'s and
/// `torch.compile`'s own.
const WRAPPERS: [&str; 4] = ["state_dict.", "model_state_dict.", "module.", "_orig_mod."];

/// A tensor's name without the wrappers before it: `state_dict.`, `model_state_dict.`, `module.` and
/// `_orig_mod.`, each as often as it comes.
///
/// `model.` stays, as it belongs to the names of many networks. Two names of a checkpoint can become one
/// (`state_dict.fc.bias` and `model_state_dict.fc.bias`);
/// [`Checkpoint::stripped_names`](crate::Checkpoint::stripped_names) refuses that.
///
/// ```
/// # use fewbit_checkpoint::strip_wrappers;
/// assert_eq!(strip_wrappers("state_dict.module.conv1.weight"), "conv1.weight");
/// assert_eq!(strip_wrappers("model.0.bias"), "model.0.bias");
/// ```
pub fn strip_wrappers(name: &str) -> &str {
    let mut rest = name;
    while let Some(inner) = WRAPPERS.iter().find_map(|wrapper| rest.strip_prefix(wrapper))
        && !inner.is_empty()
    {
        rest = inner;
    }
    rest
}
