//! Self-attention.

use burn::tensor::Tensor;
use burn::tensor::module::attention;
use burn::tensor::ops::AttentionModuleOptions;

use crate::operation::{self, runs_on};

/// Each position's mean of the values, weighted by how well its query fits their keys.
///
/// `packed` is `[N, T, 3·width]`: queries, keys and values in this order, each all heads side by side.
/// The result is `[N, T, width]`. With `causal`, position `t` sees `0..=t` only. Vaswani et al. 2017,
/// section 3.2.
///
/// # Panics
/// If the last axis is not three times a multiple of `heads`.
pub fn self_attention(packed: Tensor<3>, heads: usize, causal: bool) -> Tensor<3> {
    let [batch, time, packed_width] = packed.dims();
    assert!(
        heads > 0 && packed_width % (3 * heads) == 0,
        "last axis of packed queries, keys and values: {packed_width} found, a multiple of 3·{heads} needed"
    );
    let width = packed_width / 3;
    if runs_on(&packed) {
        return operation::attention::self_attention(packed, heads, causal);
    }
    let split = packed.reshape([batch, time, 3 * heads, width / heads]).swap_dims(1, 2);
    let [q, k, v] = [0, 1, 2].map(|part| split.clone().narrow(1, part * heads, heads));
    let options = AttentionModuleOptions { is_causal: causal, ..Default::default() };
    attention(q, k, v, None, None, options).swap_dims(1, 2).reshape([batch, time, width])
}
