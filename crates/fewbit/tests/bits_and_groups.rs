//! Widths, the law of the bits, and how a tensor is cut in groups.

use fewbit::{BitWidth, BitsLaw, BitsLawError, BitsParametrisation, GroupSize, Grouping};
use fewbit_testing::{GROUP_SIZES, RAGGED_LENGTHS};
use proptest::prelude::*;

const BOTH: [BitsParametrisation; 2] = [BitsParametrisation::Bits, BitsParametrisation::Noise];

fn law() -> impl Strategy<Value = BitsLaw> {
    let ends = (0.01f32..=16.0, 0.01f32..=16.0);
    (ends, prop::sample::select(&BOTH))
        .prop_map(|((a, b), parametrisation)| BitsLaw::new(a.min(b), a.max(b), parametrisation).unwrap())
}

/// Every finite float, subnormal ones and both zeros included.
fn finite() -> impl Strategy<Value = f32> {
    use prop::num::f32::{NEGATIVE, NORMAL, POSITIVE, SUBNORMAL, ZERO};
    NORMAL | SUBNORMAL | ZERO | POSITIVE | NEGATIVE
}

#[test]
fn only_0_to_16_bits_are_a_width() {
    for bits in 0..=u8::MAX {
        assert_eq!(BitWidth::new(bits).is_some(), bits <= 16);
    }
    let levels = [0, 1, 8, 16].map(|bits| BitWidth::new(bits).unwrap().levels());
    assert_eq!(levels, [1, 2, 256, 65_536]);
    assert_eq!(BitWidth::MAX.to_string(), "16");
}

#[test]
fn learned_bits_round_to_the_nearest_width_and_ties_to_even() {
    let cases = [
        (0.5, 0),
        (1.5, 2),
        (2.4, 2),
        (2.5, 2),
        (2.6, 3),
        (15.5, 16),
        (-3.0, 0),
        (1e9, 16),
        (f32::NEG_INFINITY, 0),
        (f32::INFINITY, 16),
    ];
    for (bits, expected) in cases {
        assert_eq!(BitWidth::from_bits(bits).unwrap().get(), expected, "{bits}");
    }
    assert_eq!(BitWidth::from_bits(f32::NAN), None);
}

/// b_min 2, b_max 15. At l = 0, t = 1/2: b = 8.5 and db/dl = 13/4. At init 8: l = ln(6/7).
#[test]
fn the_bits_parametrisation_worked_by_hand() {
    let law = BitsLaw::new(2.0, 15.0, BitsParametrisation::Bits).unwrap();
    assert_eq!(law.bits(0.0), 8.5);
    assert_eq!(law.derivative(0.0), 3.25);
    let start = law.logit(8.0).unwrap();
    assert!((start - -0.154_150_68).abs() < 1e-7);
    // (15 - 2)·(6/13)·(7/13) = 42/13
    assert!((law.derivative(start) - 42.0 / 13.0).abs() < 1e-6);
}

/// b_min 1, b_max 4: 2^b - 1 goes from 1 to 15. At l = 0 it is the geometric mean √15, so that
/// b = log2(1 + √15).
#[test]
fn the_noise_parametrisation_worked_by_hand() {
    let law = BitsLaw::new(1.0, 4.0, BitsParametrisation::Noise).unwrap();
    let expected = (1.0 + 15f32.sqrt()).log2();
    assert!((law.bits(0.0) - expected).abs() < 1e-6);
}

#[test]
fn bad_ends_are_typed_errors() {
    let new = |minimum, maximum| BitsLaw::new(minimum, maximum, BitsParametrisation::Bits);
    assert!(matches!(new(3.0, 2.0), Err(BitsLawError::MinimumAboveMaximum { minimum: 3.0, maximum: 2.0 })));
    for bad in [-1.0, 16.1, f32::NAN, f32::INFINITY, f32::NEG_INFINITY] {
        assert!(matches!(new(bad, 8.0), Err(BitsLawError::OutOfRange { bound: "minimum", .. })));
        assert!(matches!(new(2.0, bad), Err(BitsLawError::OutOfRange { bound: "maximum", .. })));
    }
    assert!(matches!(
        BitsLaw::new(0.0, 8.0, BitsParametrisation::Noise),
        Err(BitsLawError::NoiseFromZeroBits)
    ));
    assert_eq!(new(4.0, 4.0).unwrap().bits(123.0), 4.0);
}

proptest! {
    #[test]
    fn bits_stay_between_the_ends_for_every_finite_logit(law in law(), logit in finite()) {
        prop_assert!((law.minimum()..=law.maximum()).contains(&law.bits(logit)));
        let slope = law.derivative(logit);
        prop_assert!(slope.is_finite() && slope >= 0.0, "slope {slope}");
    }

    #[test]
    fn more_logit_never_means_fewer_bits(law in law(), a in -40f32..40.0, b in -40f32..40.0) {
        prop_assert!(law.bits(a.min(b)) <= law.bits(a.max(b)));
    }

    #[test]
    fn the_logit_of_some_bits_gives_these_bits(law in law(), share in 0.001f32..0.999) {
        let bits = law.minimum() + (law.maximum() - law.minimum()) * share;
        prop_assume!(bits > law.minimum() && bits < law.maximum());
        let back = law.bits(law.logit(bits).unwrap());
        // The logit is rounded to f32: half an ulp of up to 8 in it, times a slope of up to 16/4.
        prop_assert!((back - bits).abs() <= 1e-5, "{bits} came back as {back}");
    }

    #[test]
    fn only_what_lies_strictly_inside_has_a_logit(law in law(), bits in prop::num::f32::ANY) {
        let inside = bits > law.minimum() && bits < law.maximum();
        prop_assert_eq!(law.logit(bits).is_ok(), inside);
        prop_assert!(law.logit(law.minimum()).is_err() && law.logit(law.maximum()).is_err());
    }

    #[test]
    fn the_derivative_agrees_with_finite_differences(law in law(), logit in -6f32..6.0) {
        let h = 0.03125f32;
        let difference = f64::from(law.bits(logit + h)) - f64::from(law.bits(logit - h));
        let slope = difference / f64::from(2.0 * h);
        // Rounding: 16·2^-24 / h = 3e-5. Truncation: h²/6 times a third derivative of at most 16
        // (bits) or about 11 cubed / ln 2 damped by t(1-t) (noise): below 0.02 relative to it.
        let tolerance = 1e-3 + 0.02 * slope.abs();
        prop_assert!((slope - f64::from(law.derivative(logit))).abs() <= tolerance,
            "{slope} against {}", law.derivative(logit));
    }

    #[test]
    fn groups_cut_a_tensor_without_gap_or_overlap(size in 0usize..40, len in 0usize..200) {
        let size = GroupSize::new(size).unwrap_or(GroupSize::WholeTensor);
        let grouping = Grouping::new(size, len);
        let mut next = 0;
        for (group, range) in grouping.ranges().enumerate() {
            prop_assert_eq!(range.start, next);
            prop_assert!(!range.is_empty());
            prop_assert_eq!(range.len(), grouping.group_len(group));
            prop_assert_eq!(range.clone(), grouping.range(group));
            for index in range.clone() {
                prop_assert_eq!(grouping.group_of(index), group);
            }
            next = range.end;
        }
        prop_assert_eq!(next, len);
        prop_assert_eq!(grouping.ranges().len(), grouping.count());
        prop_assert_eq!(grouping.group_len(grouping.count()), 0);
    }
}

#[test]
fn the_last_group_takes_what_is_left() {
    let groups = |size: usize, len: usize| -> Vec<usize> {
        let grouping = Grouping::new(GroupSize::new(size).unwrap(), len);
        grouping.ranges().map(|range| range.len()).collect()
    };
    assert_eq!(groups(8, 16), [8, 8]);
    assert_eq!(groups(8, 17), [8, 8, 1]);
    assert_eq!(groups(8, 3), [3]);
    assert_eq!(groups(usize::MAX, 3), [3]);
    assert_eq!(groups(8, 0), [0usize; 0]);
    for len in RAGGED_LENGTHS {
        let whole = Grouping::new(GroupSize::WholeTensor, len);
        assert_eq!(whole.count(), usize::from(len > 0));
        for size in GROUP_SIZES {
            assert_eq!(groups(size, len).len(), len.div_ceil(size));
        }
    }
}

#[test]
fn a_group_size_reads_back_as_it_is_written() {
    for text in ["1", "8", "4096", "tensor"] {
        assert_eq!(text.parse::<GroupSize>().unwrap().to_string(), text);
    }
    assert_eq!(GroupSize::new(0), None);
    for bad in ["0", "", "-1", "8.0", "Tensor", "99999999999999999999999"] {
        let error = bad.parse::<GroupSize>().unwrap_err().to_string();
        assert!(error.starts_with(&format!("group size `{bad}`")), "{error}");
    }
}
