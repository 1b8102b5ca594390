//! Self-attention, without ever holding the weights of all pairs.

use burn::backend::flex::FlexTensor;
use burn::tensor::{Shape, Tensor};
use fewbit_kernels::Attention;

use super::buffers::{self, recycle, values};
use super::{Operation, apply};

/// The attention of packed queries, keys and values `[N, T, 3·width]`: `[N, T, width]`.
pub(crate) fn self_attention(packed: Tensor<3>, heads: usize, causal: bool) -> Tensor<3> {
    let [batch, time, packed_width] = packed.dims();
    let shape = Attention::to_itself(batch, time, heads, packed_width / (3 * heads), causal);
    apply(SelfAttention(shape), [packed.into()])
}

#[derive(Clone, Debug)]
struct SelfAttention(Attention);

/// Of a tracked forward pass.
#[derive(Clone, Debug)]
struct Kept {
    packed: FlexTensor,
    out: FlexTensor,
    /// The logarithm of each row's sum of exponentials.
    log_sums: Vec<f32>,
}

impl Operation<1> for SelfAttention {
    type Kept = Kept;

    fn forward(&self, [packed]: [FlexTensor; 1], tracked: bool) -> (FlexTensor, Option<Kept>) {
        let Attention { batch, queries: time, heads, width, .. } = self.0;
        let mut out = buffers::take(batch * time * heads * width);
        let mut log_sums = buffers::take(batch * heads * time);
        fewbit_kernels::attention(self.0, values(&packed), &mut out, &mut log_sums);
        let out = buffers::tensor(out, Shape::from([batch, time, heads * width]));
        if !tracked {
            recycle(packed);
            recycle(buffers::tensor(log_sums, Shape::from([batch * heads * time])));
            return (out, None);
        }
        (out.clone(), Some(Kept { packed, out, log_sums }))
    }

    fn backward(&self, kept: Kept, gradient: FlexTensor, _: [bool; 1]) -> [Option<FlexTensor>; 1] {
        let Kept { packed, out, log_sums } = kept;
        let mut of_packed = buffers::take(packed.layout().num_elements());
        fewbit_kernels::attention_gradient(
            self.0,
            values(&packed),
            values(&out),
            &log_sums,
            values(&gradient),
            &mut of_packed,
        );
        let (shape, log_sums_len) = (packed.layout().shape().clone(), log_sums.len());
        [packed, out, gradient].into_iter().for_each(recycle);
        recycle(buffers::tensor(log_sums, Shape::from([log_sums_len])));
        [Some(buffers::tensor(of_packed, shape))]
    }
}
