//! Attention, `softmax(q kᵀ / √width) v` for each head, without a matrix of weights in memory.
//!
//! Thirty-two queries at a time meet all keys they may see; their weights live in a cache and are
//! computed again for the gradients (Dao et al. 2022). Queries lie in the lanes, so that the largest
//! score and the sum of a query's weights need no step across lanes.

mod backward;
mod forward;
mod head;
#[cfg(test)]
mod tests;

use rayon::prelude::*;

use crate::dispatch::InstructionSet;
use crate::elementwise::check_length;
use crate::product::shared::Shared;
use backward::HeadGradient;
use forward::Head;
use head::Rows;

/// The sizes of an attention and of what it is applied to.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Attention {
    /// Sequences.
    pub batch: usize,
    /// Positions of a sequence that ask.
    pub queries: usize,
    /// Positions of a sequence that answer.
    pub keys: usize,
    /// Heads, each with queries, keys and values of its own.
    pub heads: usize,
    /// Length of a head's vectors.
    pub width: usize,
    /// Whether a position sees none after itself.
    pub causal: bool,
}

impl Attention {
    /// Of sequences of `time` positions with themselves.
    pub const fn to_itself(batch: usize, time: usize, heads: usize, width: usize, causal: bool) -> Self {
        Self { batch, queries: time, keys: time, heads, width, causal }
    }

    /// `q`, `k` and `v` side by side: `[batch, time, 3, heads, width]`.
    fn packed(&self) -> [Layout; 3] {
        let (head, row) = (self.width, 3 * self.heads * self.width);
        [0, 1, 2].map(|third| Layout {
            first: third * self.heads * head,
            sequence: self.keys * row,
            head,
            row,
        })
    }

    /// `[batch, length, heads, width]`.
    fn side_by_side(&self, length: usize) -> Layout {
        let (head, row) = (self.width, self.heads * self.width);
        Layout { first: 0, sequence: length * row, head, row }
    }

    /// `[batch, heads, length, width]`.
    fn head_by_head(&self, length: usize) -> Layout {
        let (head, row) = (length * self.width, self.width);
        Layout { first: 0, sequence: self.heads * head, head, row }
    }

    fn check_packed(&self, name: &str, found: usize) {
        assert_eq!(self.queries, self.keys, "packed queries and keys are of the same positions");
        check_length(name, found, 3 * self.length_of(self.keys));
    }

    fn length_of(&self, positions: usize) -> usize {
        // A product that wraps must not pass for the length of a slice.
        [self.batch, self.heads, self.width]
            .iter()
            .try_fold(positions, |product, &factor| product.checked_mul(factor))
            .unwrap_or_else(|| panic!("{self:?}: too many numbers to count"))
    }

    fn sums(&self) -> usize {
        self.batch * self.heads * self.queries
    }

    /// Does `work` for each sequence and head, on all cores where there is enough of it.
    fn for_each_head(&self, work: impl Fn(usize, usize) + Send + Sync) {
        let heads = self.batch * self.heads;
        let work = |place: usize| work(place / self.heads, place % self.heads);
        if self.sums() * self.keys * self.width <= SMALL {
            (0..heads).for_each(work);
        } else {
            (0..heads).into_par_iter().for_each(work);
        }
    }
}

/// Multiplications below which waking another thread takes longer than the work.
const SMALL: usize = 1 << 16;

/// Where the vectors of each sequence, head and position lie.
#[derive(Clone, Copy)]
struct Layout {
    first: usize,
    sequence: usize,
    head: usize,
    row: usize,
}

impl Layout {
    fn of<'a>(&self, values: &'a [f32], sequence: usize, head: usize) -> Rows<'a> {
        let first = self.place(sequence, head).min(values.len());
        Rows { values: &values[first..], stride: self.row }
    }

    fn place(&self, sequence: usize, head: usize) -> usize {
        self.first + sequence * self.sequence + head * self.head
    }
}

/// Queries, keys and values, and where they lie.
#[derive(Clone, Copy)]
struct Operands<'a> {
    values: [&'a [f32]; 3],
    layouts: [Layout; 3],
}

impl<'a> Operands<'a> {
    fn head(&self, sequence: usize, head: usize) -> [Rows<'a>; 3] {
        [0, 1, 2].map(|i| self.layouts[i].of(self.values[i], sequence, head))
    }
}

/// Writes the attention of sequences to themselves to `out`, `[batch, time, heads·width]`.
///
/// `packed` is `[batch, time, 3, heads, width]`: queries, keys and values as one linear layer gives
/// them. `log_sums`, `[batch, heads, time]`, gets what [`attention_gradient`] needs: the logarithm to
/// base e of the sum of each query's exponentials.
///
/// # Panics
/// When there are not as many queries as keys, or a slice has not the length of its shape.
///
/// ```
/// use fewbit_kernels::{Attention, attention};
///
/// // One key: its value, whatever the query.
/// let shape = Attention::to_itself(1, 1, 1, 2, true);
/// let (mut out, mut log_sums) = ([0.0; 2], [0.0]);
/// attention(shape, &[1.0, 0.0, 2.0, 2.0, 5.0, 7.0], &mut out, &mut log_sums);
/// assert_eq!(out, [5.0, 7.0]);
/// ```
pub fn attention(shape: Attention, packed: &[f32], out: &mut [f32], log_sums: &mut [f32]) {
    attention_on(InstructionSet::detect(), shape, packed, out, log_sums);
}

pub(crate) fn attention_on(
    set: InstructionSet,
    shape: Attention,
    packed: &[f32],
    out: &mut [f32],
    log_sums: &mut [f32],
) {
    shape.check_packed("packed", packed.len());
    let operands = Operands { values: [packed; 3], layouts: shape.packed() };
    forward(set, shape, operands, shape.side_by_side(shape.queries), out, log_sums);
}

/// Writes the gradient of `packed`, given those of `out`, and what [`attention`] wrote.
///
/// # Panics
/// As [`attention`], and when `gradient` or `packed_gradient` has not the length of its shape.
pub fn attention_gradient(
    shape: Attention,
    packed: &[f32],
    out: &[f32],
    log_sums: &[f32],
    gradient: &[f32],
    packed_gradient: &mut [f32],
) {
    let set = InstructionSet::detect();
    attention_gradient_on(set, shape, packed, [out, log_sums, gradient], packed_gradient);
}

pub(crate) fn attention_gradient_on(
    set: InstructionSet,
    shape: Attention,
    packed: &[f32],
    known: [&[f32]; 3],
    packed_gradient: &mut [f32],
) {
    shape.check_packed("packed", packed.len());
    shape.check_packed("packed_gradient", packed_gradient.len());
    let layouts = shape.packed();
    let target = Shared::new(packed_gradient);
    let operands = Operands { values: [packed; 3], layouts };
    backward(set, shape, operands, shape.side_by_side(shape.queries), known, [&target; 3]);
}

/// Writes the attention of queries to keys to `out`, `[batch, heads, queries, width]`.
///
/// `operands` are the queries, `[batch, heads, queries, width]`, and the keys and values,
/// `[batch, heads, keys, width]`. A causal query sees the keys up to its own number. `log_sums` is
/// `[batch, heads, queries]`, as for [`attention`]. Without keys, `out` is 0.
///
/// # Panics
/// When a slice has not the length of its shape.
pub fn cross_attention(shape: Attention, operands: [&[f32]; 3], out: &mut [f32], log_sums: &mut [f32]) {
    cross_attention_on(InstructionSet::detect(), shape, operands, out, log_sums);
}

pub(crate) fn cross_attention_on(
    set: InstructionSet,
    shape: Attention,
    operands: [&[f32]; 3],
    out: &mut [f32],
    log_sums: &mut [f32],
) {
    let operands = separate(shape, operands);
    forward(set, shape, operands, shape.head_by_head(shape.queries), out, log_sums);
}

/// Writes the gradients of queries, keys and values, given that of `out`, and what
/// [`cross_attention`] wrote.
///
/// # Panics
/// When a slice has not the length of its shape.
pub fn cross_attention_gradient(
    shape: Attention,
    operands: [&[f32]; 3],
    out: &[f32],
    log_sums: &[f32],
    gradient: &[f32],
    gradients: [&mut [f32]; 3],
) {
    let set = InstructionSet::detect();
    cross_attention_gradient_on(set, shape, operands, [out, log_sums, gradient], gradients);
}

pub(crate) fn cross_attention_gradient_on(
    set: InstructionSet,
    shape: Attention,
    operands: [&[f32]; 3],
    known: [&[f32]; 3],
    gradients: [&mut [f32]; 3],
) {
    let lengths = [shape.queries, shape.keys, shape.keys];
    for (gradient, length) in gradients.iter().zip(lengths) {
        check_length("gradients", gradient.len(), shape.length_of(length));
    }
    let [q, k, v] = gradients.map(Shared::new);
    let operands = separate(shape, operands);
    backward(set, shape, operands, shape.head_by_head(shape.queries), known, [&q, &k, &v]);
}

fn separate<'a>(shape: Attention, values: [&'a [f32]; 3]) -> Operands<'a> {
    let lengths = [shape.queries, shape.keys, shape.keys];
    for (name, (values, length)) in ["q", "k", "v"].into_iter().zip(values.iter().zip(lengths)) {
        check_length(name, values.len(), shape.length_of(length));
    }
    Operands { values, layouts: lengths.map(|length| shape.head_by_head(length)) }
}

fn forward(
    set: InstructionSet,
    shape: Attention,
    operands: Operands<'_>,
    out_layout: Layout,
    out: &mut [f32],
    log_sums: &mut [f32],
) {
    check_length("out", out.len(), shape.length_of(shape.queries));
    check_length("log_sums", log_sums.len(), shape.sums());
    if shape.keys == 0 {
        out.fill(0.0);
        return log_sums.fill(f32::NEG_INFINITY);
    }
    let (out, log_sums) = (Shared::new(out), Shared::new(log_sums));
    shape.for_each_head(|sequence, head| {
        let [q, k, v] = operands.head(sequence, head);
        // Each head writes its own vectors of `out` and its own sums.
        set.run_lanes(Head {
            shape,
            q,
            k,
            v,
            out: &out,
            out_first: out_layout.place(sequence, head),
            out_stride: out_layout.row,
            log_sums: &log_sums,
            sums_first: (sequence * shape.heads + head) * shape.queries,
        });
    });
}

fn backward(
    set: InstructionSet,
    shape: Attention,
    operands: Operands<'_>,
    out_layout: Layout,
    [out, log_sums, gradient]: [&[f32]; 3],
    targets: [&Shared<'_>; 3],
) {
    check_length("out", out.len(), shape.length_of(shape.queries));
    check_length("log_sums", log_sums.len(), shape.sums());
    check_length("gradient", gradient.len(), shape.length_of(shape.queries));
    shape.for_each_head(|sequence, head| {
        let [q, k, v] = operands.head(sequence, head);
        let first_sum = (sequence * shape.heads + head) * shape.queries;
        // Each head writes the gradients of its own queries, keys and values.
        set.run_lanes(HeadGradient {
            shape,
            q,
            k,
            v,
            out: out_layout.of(out, sequence, head),
            gradient: out_layout.of(gradient, sequence, head),
            log_sums: &log_sums[first_sum..][..shape.queries],
            targets,
            firsts: [0, 1, 2].map(|i| operands.layouts[i].place(sequence, head)),
            strides: operands.layouts.map(|layout| layout.row),
        });
    });
}
