//! Rows of a table by their index.

use std::sync::Arc;

use burn::backend::flex::FlexTensor;
use burn::tensor::{Int, Shape, Tensor};

use super::buffers::{self, recycle, values};
use super::{Operation, apply, integers};

/// The rows of `table` that `indices` `[N, T]` name: `[N, T, width]`.
pub(crate) fn embedding(table: Tensor<2>, indices: Tensor<2, Int>) -> Tensor<3> {
    let shape = indices.dims();
    apply(Rows { shape, indices: integers(indices).into() }, [table.into()])
}

#[derive(Clone, Debug)]
struct Rows {
    shape: [usize; 2],
    indices: Arc<[i64]>,
}

impl Operation<1> for Rows {
    /// The shape of the table.
    type Kept = [usize; 2];

    fn forward(&self, [table]: [FlexTensor; 1], _: bool) -> (FlexTensor, Option<[usize; 2]>) {
        let shape = table.layout().shape();
        let [rows, width] = [shape[0], shape[1]];
        let mut out = buffers::take(self.indices.len() * width);
        fewbit_kernels::embedding(values(&table), width, &self.indices, &mut out)
            .unwrap_or_else(|error| panic!("embedding: {error}"));
        let [batch, time] = self.shape;
        (buffers::tensor(out, Shape::from([batch, time, width])), Some([rows, width]))
    }

    fn backward(&self, table: [usize; 2], gradient: FlexTensor, _: [bool; 1]) -> [Option<FlexTensor>; 1] {
        let [rows, width] = table;
        let mut out = buffers::take(rows * width);
        fewbit_kernels::embedding_gradient(&self.indices, values(&gradient), width, &mut out)
            .unwrap_or_else(|error| panic!("embedding: {error}"));
        recycle(gradient);
        [Some(buffers::tensor(out, Shape::from(table)))]
    }
}
