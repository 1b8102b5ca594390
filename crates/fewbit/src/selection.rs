//! Which tensors of a network are quantized: the one rule, for training and for compressing.

use crate::pattern;

/// Which tensors of a network are quantized, by size and name.
///
/// Running statistics of batch norms never are.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Selection {
    /// Tensors of at most this many values stay float.
    pub min_tensor_size: usize,
    /// Tensors of fewer dimensions stay float.
    pub min_dimensions: usize,
    /// Patterns of the names that are quantized; empty means all.
    pub include: Vec<String>,
    /// Patterns of the names that stay float; these win over `include`.
    pub exclude: Vec<String>,
}

/// Patterns or sizes that select nothing.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum SelectionError {
    /// Every tensor is too small, excluded or not included.
    #[error(
        "no parameter is quantized: of {candidates} float parameters, none has more than {min_tensor_size} \
         elements, matches `include` and escapes `exclude`"
    )]
    Nothing {
        /// Float tensors of the network.
        candidates: usize,
        /// The setting that leaves out small ones.
        min_tensor_size: usize,
    },
    /// A pattern of `include` or `exclude` that matches no name.
    #[error("pattern `{pattern}` matches none of the {candidates} parameters (the first is `{first}`)")]
    UnusedPattern {
        /// The pattern as written.
        pattern: String,
        /// Float tensors of the network.
        candidates: usize,
        /// One name, to show how they look.
        first: String,
    },
}

impl Default for Selection {
    fn default() -> Self {
        Self {
            min_tensor_size: Self::PUBLISHED_MIN_TENSOR_SIZE,
            min_dimensions: 0,
            include: Vec::new(),
            exclude: Vec::new(),
        }
    }
}

impl Selection {
    /// 0.01 MiB of float32, the default of Défossez et al. 2022.
    pub const PUBLISHED_MIN_TENSOR_SIZE: usize = 2621;

    /// What is quantized of a checkpoint that nothing else is known of: matrices and kernels of at least 256 values, as
    /// what smaller ones would save is less than their tables cost, and vectors are mostly biases and norms.
    pub fn of_checkpoint(exclude: Vec<String>) -> Self {
        Self { min_tensor_size: 255, min_dimensions: 2, include: Vec::new(), exclude }
    }

    /// Whether a tensor with this name and shape is quantized.
    pub fn chooses(&self, name: &str, shape: &[usize]) -> bool {
        shape.iter().product::<usize>() > self.min_tensor_size
            && shape.len() >= self.min_dimensions
            && !is_running_statistic(name)
            && pattern::selects(&self.include, &self.exclude, name)
    }

    /// Checks that something is selected and that every pattern is used.
    ///
    /// # Errors
    /// [`SelectionError`] naming the pattern or the size.
    pub fn check<'n>(
        &self,
        tensors: impl Iterator<Item = (&'n str, &'n [usize])> + Clone,
    ) -> Result<(), SelectionError> {
        let candidates = tensors.clone().count();
        let first = || tensors.clone().next().map_or("", |(name, _)| name).to_owned();
        for pattern in self.include.iter().chain(&self.exclude) {
            if !tensors.clone().any(|(name, _)| pattern::matches(pattern, name)) {
                let (pattern, first) = (pattern.clone(), first());
                return Err(SelectionError::UnusedPattern { pattern, candidates, first });
            }
        }
        if !tensors.clone().any(|(name, shape)| self.chooses(name, shape)) {
            return Err(SelectionError::Nothing { candidates, min_tensor_size: self.min_tensor_size });
        }
        Ok(())
    }
}

/// Whether the tensor of this name is a running statistic of a batch norm, not a parameter.
pub fn is_running_statistic(name: &str) -> bool {
    matches!(name.rsplit('.').next(), Some("running_mean" | "running_var"))
}

#[cfg(test)]
mod tests {
    use super::*;

    const NETWORK: [(&str, &[usize]); 4] = [
        ("conv.weight", &[4, 1, 3, 3]),
        ("conv.bias", &[4]),
        ("norm.running_var", &[64]),
        ("fc.weight", &[3, 64]),
    ];

    #[test]
    fn size_and_patterns_select_tensors() {
        let selected = |selection: &Selection| {
            let chosen = NETWORK.iter().filter(|(name, shape)| selection.chooses(name, shape));
            chosen.map(|(name, _)| *name).collect::<Vec<_>>()
        };
        let all = Selection { min_tensor_size: 0, ..Selection::default() };
        assert_eq!(selected(&all), ["conv.weight", "conv.bias", "fc.weight"]);
        // At the bound a tensor stays float.
        assert_eq!(selected(&Selection { min_tensor_size: 36, ..all.clone() }), ["fc.weight"]);
        let weights = Selection { exclude: vec!["*.bias".into()], ..all };
        assert_eq!(selected(&weights), ["conv.weight", "fc.weight"]);
        assert_eq!(selected(&Selection { min_dimensions: 3, ..weights }), ["conv.weight"]);
    }

    #[test]
    fn what_selects_nothing_is_refused() {
        let check = |selection: Selection| selection.check(NETWORK.into_iter()).unwrap_err();
        assert!(matches!(check(Selection::default()), SelectionError::Nothing { candidates: 4, .. }));
        let typo = Selection { min_tensor_size: 0, exclude: vec!["cnov.*".into()], ..Selection::default() };
        assert!(check(typo).to_string().contains("`cnov.*`"));
    }
}
