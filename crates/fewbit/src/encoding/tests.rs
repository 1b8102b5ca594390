//! What tells of widths and symbols, by itself; what a file makes of it is tested from outside.

use fewbit_testing::Numbers;

use super::classes::WidthClasses;
use crate::{BitWidth, GroupSize, Grouping};

#[test]
fn classes_count_the_codes_of_each_width() {
    // 3 + 3 + 2 weights at 4, 2 and 4 bits.
    let [two, four] = [2, 4].map(|bits| BitWidth::new(bits).unwrap());
    let grouping = Grouping::new(GroupSize::new(3).unwrap(), 8);
    let classes = WidthClasses::of(grouping, &[4, 2, 4]);
    assert_eq!((classes.codes(two), classes.codes(four), classes.code_bits()), (3, 5, 26));
    assert!(
        classes.describe(classes.histogram(), Some(4)) && !classes.describe(classes.histogram(), Some(2))
    );
    // Both have two groups of four bits and one of two; only the last tells them apart.
    let other = WidthClasses::of(grouping, &[4, 4, 2]);
    assert_eq!((other.histogram(), other.code_bits()), (classes.histogram(), 28));
    let counted = |last| WidthClasses::counted(grouping, two, four, classes.histogram(), last);
    assert_eq!((counted(four), counted(two)), (Some(classes), Some(other)));
    assert_eq!(counted(BitWidth::ZERO), None);
}

#[test]
fn widths_are_counted_alike_in_one_piece_and_in_many() {
    let mut numbers = Numbers::seeded(1);
    let widths: Vec<u8> = (0..300_000).map(|_| numbers.below(17) as u8).collect();
    let mut expected = [0; BitWidth::COUNT];
    widths.iter().for_each(|width| expected[usize::from(*width)] += 1);
    assert_eq!(super::classes::histogram(&widths), expected);
}
