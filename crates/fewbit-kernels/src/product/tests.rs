//! Products equal the plain loops, whatever the shape, the instruction set and the number of threads.

use fewbit_testing::Numbers;

use super::block::Start;
use super::{DEPTH, Matrix, part, product, product_on};
use crate::dispatch::InstructionSet;

pub(crate) fn numbers(count: usize, seed: u64) -> Vec<f32> {
    let mut numbers = Numbers::seeded(seed);
    (0..count).map(|_| (numbers.bits() >> 40) as f32 / (1 << 23) as f32 - 1.0).collect()
}

/// The scalar twin of an accumulated product: the same sums in the same order.
pub(crate) fn add_product(a: Matrix<'_>, b: Matrix<'_>, out: &mut [f32]) {
    let at = |m: Matrix<'_>, row: usize, column: usize| match m.transposed {
        true => m.values[column * m.rows + row],
        false => m.values[row * m.columns + column],
    };
    for row in 0..a.rows {
        for column in 0..b.columns {
            for first in (0..a.columns).step_by(DEPTH) {
                let mut sum = 0.0f32;
                for step in first..a.columns.min(first + DEPTH) {
                    sum = at(a, row, step).mul_add(at(b, step, column), sum);
                }
                out[row * b.columns + column] += sum;
            }
        }
    }
}

/// Runs `work` with one, two and three threads.
pub(crate) fn with_threads<T>(work: impl Fn() -> T + Sync) -> [T; 3]
where
    T: Send,
{
    [1, 2, 3]
        .map(|threads| rayon::ThreadPoolBuilder::new().num_threads(threads).build().unwrap().install(&work))
}

fn same_bits(a: &[f32], b: &[f32]) -> bool {
    a.iter().map(|x| x.to_bits()).eq(b.iter().map(|x| x.to_bits()))
}

/// `[rows, depth, columns]` around every place where a path changes.
const SHAPES: [[usize; 3]; 15] = [
    [0, 3, 4],
    [3, 0, 4],
    [3, 4, 0],
    [1, 1, 1],
    [1, 7, 300],
    [2, 15, 17],
    [5, 16, 16],
    [6, 17, 31],
    [13, 33, 32],
    [14, 255, 33],
    [15, 256, 48],
    [29, 257, 65],
    [97, 600, 100],
    [300, 20, 513],
    [1000, 64, 10],
];

/// The same order of sums in both: not a bit may differ.
#[test]
fn every_set_and_layout_equals_the_plain_loops() {
    for [rows, depth, columns] in SHAPES {
        let a = numbers(rows * depth, 1);
        let b = numbers(depth * columns, 2);
        let old = numbers(rows * columns, 3);
        let bias = numbers(columns, 4);
        for (a_transposed, b_transposed) in [(false, false), (true, false), (false, true), (true, true)] {
            let a = Matrix { values: &a, rows, columns: depth, transposed: a_transposed };
            let b = Matrix { values: &b, rows: depth, columns, transposed: b_transposed };
            for start in [Start::Zero, Start::Old, Start::Row(&bias)] {
                let mut expected = old.clone();
                for (place, out) in expected.iter_mut().enumerate() {
                    match start {
                        Start::Zero => *out = 0.0,
                        Start::Old => {}
                        Start::Row(row) => *out = row[place % columns],
                    }
                }
                add_product(a, b, &mut expected);
                for set in InstructionSet::available() {
                    let mut out = old.clone();
                    product_on(set, a, b, start, &mut out);
                    assert_eq!(out, expected, "{rows} {depth} {columns} {set:?}");
                }
            }
        }
    }
}

#[test]
fn threads_and_sets_change_no_bit() {
    let [rows, depth, columns] = [301, 2 * DEPTH + 5, 290];
    let (a, b) = (numbers(rows * depth, 1), numbers(depth * columns, 2));
    let a = Matrix { values: &a, rows, columns: depth, transposed: true };
    let b = Matrix::new(&b, depth, columns);
    let mut first: Option<Vec<f32>> = None;
    for set in InstructionSet::available() {
        let outs = with_threads(|| {
            let mut out = vec![f32::NAN; rows * columns];
            product_on(set, a, b, Start::Zero, &mut out);
            out
        });
        for out in outs {
            let first = first.get_or_insert_with(|| out.clone());
            assert!(same_bits(&out, first), "{set:?}");
        }
    }
}

/// Against `f64`: a sum of n products of numbers up to 1 errs by less than n² / 2 units of 2^-24,
/// and by far less where the signs are mixed.
#[test]
fn a_product_is_near_the_exact_one() {
    let [rows, depth, columns] = [20, 1000, 20];
    let (a, b) = (numbers(rows * depth, 1), numbers(depth * columns, 2));
    let mut out = vec![f32::NAN; rows * columns];
    product(Matrix::new(&a, rows, depth), Matrix::new(&b, depth, columns), false, &mut out);
    for row in 0..rows {
        for column in 0..columns {
            let exact: f64 = (0..depth)
                .map(|step| f64::from(a[row * depth + step]) * f64::from(b[step * columns + column]))
                .sum();
            assert!((f64::from(out[row * columns + column]) - exact).abs() < 2e-5);
        }
    }
}

#[test]
fn parts_follow_each_other_and_cover_all() {
    for (length, count, unit) in [(0, 1, 1), (5, 2, 1), (100, 3, 32), (33, 2, 32), (2048, 8, 1)] {
        let mut next = 0;
        for place in 0..count {
            let part = part(length, count, unit, place);
            assert_eq!(part.start, next);
            next = part.end;
        }
        assert_eq!(next, length);
    }
}

#[test]
#[should_panic(expected = "`b`: 5 numbers, 6 needed for 3 by 2")]
fn a_short_slice_is_named() {
    product(Matrix::new(&[0.0; 3], 1, 3), Matrix::new(&[0.0; 5], 3, 2), false, &mut [0.0; 2]);
}
