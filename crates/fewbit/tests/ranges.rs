//! Ranges of tensors, channels and groups: their forms, what is rounded over them, what they cost.

use fewbit::container::TensorBytes;
use fewbit::size::{range_bits, soft_overhead_with, soft_size_with};
use fewbit::{
    BitWidth, CodeEncoding, ContainerReader, ContainerWriter, GridKind, GroupSize, Grouping, QuantizeError,
    QuantizedTensor, RangeForm, RangeGranularity, Ranges, UniformGrid, ValueRange, nominal_size, verify,
};
use fewbit_testing::Numbers;
use proptest::collection::vec;
use proptest::prelude::*;

const GRANULARITIES: [RangeGranularity; 3] =
    [RangeGranularity::Tensor, RangeGranularity::Channel, RangeGranularity::Group];

/// Every pair of a grid's kind and a form that it can have.
fn kinds_and_forms() -> impl Iterator<Item = (GridKind, RangeForm)> {
    let min_max = RangeForm::ALL.iter().map(|form| (GridKind::MinMax, *form));
    let about_zero = [GridKind::Signed, GridKind::Stepped].into_iter();
    let about_zero = about_zero
        .flat_map(|kind| [RangeForm::SymmetricFull, RangeForm::SymmetricHalf].map(|form| (kind, form)));
    min_max.chain(about_zero)
}

fn width(bits: u8) -> BitWidth {
    BitWidth::new(bits).unwrap()
}

fn range(minimum: f32, maximum: f32) -> ValueRange {
    ValueRange::new(minimum, maximum).unwrap()
}

/// Every finite 16-bit float, ascending.
fn all_halves() -> Vec<f32> {
    let positive = (1..0x7c00).map(|bits| half::f16::from_bits(bits).to_f32());
    let negative = positive.clone().rev().map(|number| -number);
    negative.chain([0.0]).chain(positive).collect()
}

/// Weights whose spread differs from channel to channel, over the smallest ranges that hold them.
fn tensor(
    shape: &[usize],
    size: GroupSize,
    bits: &[u8],
    granularity: RangeGranularity,
    (kind, form): (GridKind, RangeForm),
    seed: u64,
) -> QuantizedTensor {
    let mut numbers = Numbers::seeded(seed);
    let len = shape.iter().product();
    let mut weights = numbers.weights(len);
    for channel in weights.chunks_mut((len / shape.first().copied().unwrap_or(1).max(1)).max(1)) {
        let spread = 0.25 + numbers.unit();
        channel.iter_mut().for_each(|weight| *weight *= spread);
    }
    let groups = Grouping::new(size, len).count();
    let widths = (0..groups).map(|_| width(bits[numbers.below(bits.len())])).collect();
    let fitted = if kind == GridKind::Stepped { GridKind::Signed } else { kind };
    let mut ranges = Ranges::fit(&weights, shape, size, granularity, fitted, form).unwrap();
    if kind == GridKind::Stepped {
        // A fifth of each half-width is the step, so that wide groups lose nothing and narrow ones clip.
        let step = |range: &ValueRange| {
            form.nearest(ValueRange::symmetric(range.half_width() / 5.0).unwrap()).unwrap()
        };
        let steps = ranges.values().iter().map(step).collect();
        ranges = Ranges::new(granularity, kind, form, steps).unwrap();
    }
    QuantizedTensor::quantize_with(&weights, ranges, shape, size, widths).unwrap()
}

fn file_of(tensors: &[QuantizedTensor], encoding: CodeEncoding) -> Vec<u8> {
    let mut writer = ContainerWriter::new();
    for (index, tensor) in tensors.iter().enumerate() {
        writer.quantized_as(&index.to_string(), tensor, encoding).unwrap();
    }
    writer.to_bytes()
}

fn bytes_of(tensor: &QuantizedTensor, encoding: CodeEncoding) -> TensorBytes {
    let file = file_of(std::slice::from_ref(tensor), encoding);
    ContainerReader::new(&file).unwrap().tensors()[0].bytes()
}

/// 16-bit floats have 11 digits: between 0.25 and 0.5 they lie 2^-12 apart, 0.3 is 1228.8 of these.
#[test]
fn ranges_are_snapped_as_worked_by_hand() {
    let of = |steps: f32| steps / 4096.0;
    let asked = range(-0.3, 0.3);
    assert_eq!(RangeForm::Half.outward(asked), Ok(range(of(-1229.0), of(1229.0))));
    // 0.25 + 0.3·2^-12: up by a whole step, or down to the nearest.
    let asked = range(-0.25 - of(0.3), 0.25 + of(0.3));
    assert_eq!(RangeForm::Half.outward(asked), Ok(range(of(-1025.0), of(1025.0))));
    assert_eq!(RangeForm::Half.nearest(asked), Ok(range(-0.25, 0.25)));
    // Of a range above zero the minimum goes down.
    let asked = range(0.25 + of(0.6), 0.5);
    assert_eq!(RangeForm::Half.outward(asked), Ok(range(0.25, 0.5)));
    assert_eq!(RangeForm::Half.nearest(asked), Ok(range(of(1025.0), 0.5)));
    assert_eq!(RangeForm::SymmetricHalf.outward(range(-0.1, 0.25)), Ok(range(-0.25, 0.25)));
    assert_eq!(RangeForm::SymmetricFull.nearest(range(-0.1, 0.3)), Ok(range(-0.3, 0.3)));
    // The smallest 16-bit float, 2^-24, holds what is smaller; to the nearest that is nothing.
    let small = range(-1e-10, 1e-10);
    assert_eq!(RangeForm::Half.outward(small), Ok(range(-(0.5f32.powi(24)), 0.5f32.powi(24))));
    assert_eq!(RangeForm::SymmetricHalf.nearest(small), Ok(range(0.0, 0.0)));
    assert_eq!(RangeForm::Half.outward(range(0.0, 0.0)), Ok(range(0.0, 0.0)));
    assert!(RangeForm::ALL.iter().map(|form| form.bytes()).eq([8, 4, 4, 2]));
}

#[test]
fn what_16_bits_cannot_hold_is_a_typed_error() {
    for form in [RangeForm::Half, RangeForm::SymmetricHalf] {
        let largest = range(-65504.0, 65504.0);
        assert_eq!((form.outward(largest), form.nearest(largest)), (Ok(largest), Ok(largest)));
        let between = range(-65504.0, 65519.0);
        assert_eq!(form.nearest(between), Ok(largest));
        for (asked, found) in
            [(between, form.outward(between)), (range(0.0, 65520.0), form.nearest(range(0.0, 65520.0)))]
        {
            let (minimum, maximum) = (asked.minimum(), asked.maximum());
            assert_eq!(found, Err(QuantizeError::RangeTooLarge { minimum, maximum, form }));
        }
    }
    let third = 1.0 / 3.0;
    let new = |form, values| Ranges::new(RangeGranularity::Channel, GridKind::MinMax, form, values);
    let error =
        |form, minimum, maximum| Err(QuantizeError::RangeNotInForm { index: 1, minimum, maximum, form });
    let halves = vec![range(-0.5, 0.5), range(-0.5, third)];
    assert_eq!(new(RangeForm::Half, halves.clone()), error(RangeForm::Half, -0.5, third));
    assert_eq!(new(RangeForm::SymmetricFull, halves.clone()), error(RangeForm::SymmetricFull, -0.5, third));
    assert!(new(RangeForm::Full, halves.clone()).is_ok());
    for form in [RangeForm::Full, RangeForm::Half] {
        let found = Ranges::new(RangeGranularity::Channel, GridKind::Signed, form, halves.clone());
        assert_eq!(found, Err(QuantizeError::SignedNotSymmetric { form }));
    }
}

proptest! {
    #[test]
    fn the_outward_range_is_the_smallest_that_holds_it(
        a in prop_oneof![-2f32..2.0, -6e4f32..6e4, -1e-6f32..1e-6],
        b in prop_oneof![-2f32..2.0, -6e4f32..6e4, -1e-6f32..1e-6],
    ) {
        let asked = range(a.min(b), a.max(b));
        let numbers: Vec<f32> = all_halves();
        for &form in RangeForm::ALL {
            let up = |end: f32| match form.is_half() {
                true => numbers[numbers.partition_point(|number| *number < end)],
                false => end,
            };
            let outward = form.outward(asked).unwrap();
            let nearest = form.nearest(asked).unwrap();
            let asked = match form.is_symmetric() {
                true => [-asked.half_width(), asked.half_width()],
                false => [asked.minimum(), asked.maximum()],
            };
            prop_assert_eq!([outward.minimum(), outward.maximum()], [-up(-asked[0]), up(asked[1])]);
            for (end, found) in asked.into_iter().zip([nearest.minimum(), nearest.maximum()]) {
                let distance = |other: f32| (f64::from(other) - f64::from(end)).abs();
                let nearer = |other: f32| distance(found) <= distance(other);
                prop_assert!(nearer(up(end)) && nearer(-up(-end)), "{end} became {found}");
            }
            // Both are of the form, and stay what they are.
            for found in [outward, nearest] {
                prop_assert_eq!((form.outward(found), form.nearest(found)), (Ok(found), Ok(found)));
                let ranges = Ranges::new(RangeGranularity::Tensor, GridKind::MinMax, form, vec![found]).unwrap();
                prop_assert_eq!(ranges.values(), [found]);
            }
        }
    }

    #[test]
    fn every_weight_is_rounded_over_its_range_at_its_groups_width(
        shape in vec(1usize..9, 0..4), size in 0usize..30, bits in vec(0u8..=16, 1..4), seed: u64,
    ) {
        let size = GroupSize::new(size).unwrap_or(GroupSize::WholeTensor);
        for granularity in GRANULARITIES {
            for (kind, form) in kinds_and_forms() {
                let tensor = tensor(&shape, size, &bits, granularity, (kind, form), seed);
                let (grouping, ranges, values) = (tensor.grouping(), tensor.ranges(), tensor.dequantize());
                let channel = tensor.len() / shape.first().copied().unwrap_or(1);
                prop_assert_eq!(granularity.count(&shape, size), Some(ranges.values().len()));
                for (index, found) in values.into_iter().enumerate() {
                    let range = ranges.values()[match granularity {
                        RangeGranularity::Tensor => 0,
                        RangeGranularity::Channel => index / channel,
                        RangeGranularity::Group => grouping.group_of(index),
                    }];
                    let grid = UniformGrid::of(kind, range, tensor.widths()[grouping.group_of(index)]);
                    prop_assert_eq!(tensor.grid(index), Some(grid));
                    let value = grid.dequantize(tensor.codes()[index]);
                    prop_assert_eq!(found.to_bits(), value.to_bits());
                    // The codes are those of the nearest levels: rounding the values changes nothing.
                    prop_assert_eq!(grid.quantize(value), tensor.codes()[index]);
                }
                let parts = (shape.clone(), tensor.widths().to_vec(), tensor.codes().to_vec());
                let again = QuantizedTensor::from_parts_with(parts.0, size, ranges.clone(), parts.1, parts.2);
                prop_assert_eq!(again.unwrap(), tensor);
            }
        }
    }

    #[test]
    fn every_kind_of_ranges_comes_back_from_a_file(
        shape in vec(0usize..9, 0..4), size in 0usize..12, bits in vec(0u8..=9, 1..4), seed: u64,
    ) {
        let size = GroupSize::new(size).unwrap_or(GroupSize::WholeTensor);
        let forms = || GRANULARITIES.into_iter().flat_map(|g| kinds_and_forms().map(move |form| (g, form)));
        let tensors: Vec<_> = forms().map(|(g, form)| tensor(&shape, size, &bits, g, form, seed)).collect();
        for encoding in [CodeEncoding::Packed, CodeEncoding::Coded, CodeEncoding::Smaller] {
            let file = file_of(&tensors, encoding);
            prop_assert_eq!(verify(&file), Ok(()));
            let reader = ContainerReader::new(&file).unwrap();
            prop_assert_eq!(reader.size().bytes(), file.len() as u64);
            for (index, (tensor, (granularity, (kind, form)))) in tensors.iter().zip(forms()).enumerate() {
                let name = index.to_string();
                prop_assert_eq!(&reader.quantized(&name).unwrap(), tensor);
                let bits = |values: &[f32]| values.iter().map(|v| v.to_bits()).collect::<Vec<_>>();
                prop_assert_eq!(bits(&reader.values(&name).unwrap()), bits(&tensor.dequantize()));
                let entry = reader.tensor(&name).unwrap();
                let found = (entry.range_granularity(), entry.range_form(), entry.grid_kind());
                prop_assert_eq!(found, (Some(granularity), Some(form), Some(kind)));
                let per_tensor = granularity == RangeGranularity::Tensor;
                let only = tensor.ranges().values().first().copied().filter(|_| per_tensor);
                prop_assert_eq!(entry.range(), only);
                let (data, bytes) = (entry.data_range(), entry.bytes());
                prop_assert!(data.end - data.start <= bytes.codes + bytes.widths + bytes.ranges);
            }
        }
    }
}

#[test]
fn large_tensors_come_back_on_all_cores() {
    let size = GroupSize::new(7).unwrap();
    for (granularity, form) in [
        (RangeGranularity::Tensor, (GridKind::Signed, RangeForm::SymmetricHalf)),
        (RangeGranularity::Channel, (GridKind::MinMax, RangeForm::Half)),
        (RangeGranularity::Group, (GridKind::Signed, RangeForm::SymmetricHalf)),
        (RangeGranularity::Channel, (GridKind::Stepped, RangeForm::SymmetricHalf)),
    ] {
        // More than 2^18 groups, and channels in which no group ends.
        let tensor = tensor(&[30_001, 65], size, &[0, 3, 4, 11], granularity, form, 4);
        for encoding in [CodeEncoding::Packed, CodeEncoding::Coded] {
            let file = file_of(std::slice::from_ref(&tensor), encoding);
            assert_eq!(verify(&file), Ok(()));
            let reader = ContainerReader::new(&file).unwrap();
            assert!(reader.quantized("0").unwrap() == tensor);
            assert!(reader.values("0").unwrap() == tensor.dequantize());
        }
    }
}

/// 16 channels of 9 weights; groups of 8 are 18.
#[test]
fn ranges_cost_what_they_should() {
    let size = GroupSize::new(8).unwrap();
    for (kind, form) in kinds_and_forms() {
        for (granularity, count) in GRANULARITIES.into_iter().zip([1, 16, 18]) {
            let tensor = tensor(&[16, 3, 3], size, &[4], granularity, (kind, form), 1);
            assert_eq!(tensor.ranges().bytes(), count * form.bytes() as u64);
            assert_eq!(bytes_of(&tensor, CodeEncoding::Packed).ranges, tensor.ranges().bytes());
            assert_eq!(tensor.nominal_size(width(2)).ranges(), range_bits(form, count as usize));
            let nominal = nominal_size(tensor.grouping(), tensor.widths(), width(2));
            let bits = nominal.bits() - 64 + range_bits(form, count as usize);
            assert_eq!(tensor.nominal_size(width(2)).bits(), bits);
            let soft = [4.0; 18];
            let ranges = range_bits(form, count as usize);
            assert_eq!(soft_size_with(tensor.grouping(), &soft, width(2), ranges), bits as f64);
            assert_eq!(
                soft_overhead_with(tensor.grouping(), &soft, width(2), ranges),
                bits - nominal.codes()
            );
        }
    }
}

#[test]
fn a_group_of_no_bits_has_no_range() {
    let size = GroupSize::new(4).unwrap();
    let ranges = [0.5, 0.25, 1.0].map(|a| range(-a, a)).to_vec();
    let ranges =
        Ranges::new(RangeGranularity::Group, GridKind::MinMax, RangeForm::SymmetricHalf, ranges).unwrap();
    let widths = [3, 0, 3].map(width).to_vec();
    let tensor = QuantizedTensor::quantize_with(&[0.25; 12], ranges, &[12], size, widths).unwrap();
    assert_eq!(tensor.ranges().values(), [range(-0.5, 0.5), range(0.0, 0.0), range(-1.0, 1.0)]);
    assert_eq!(bytes_of(&tensor, CodeEncoding::Packed).ranges, 2 * 2);
    assert_eq!(tensor.nominal_size(width(0)).ranges(), 2 * 16);
    for encoding in [CodeEncoding::Packed, CodeEncoding::Coded] {
        let file = file_of(std::slice::from_ref(&tensor), encoding);
        assert_eq!(ContainerReader::new(&file).unwrap().quantized("0").unwrap(), tensor);
    }
    // Nothing at all is left of a tensor whose groups all vanished.
    let ranges =
        Ranges::new(RangeGranularity::Group, GridKind::MinMax, RangeForm::Full, vec![range(0.0, 1.0); 3]);
    let gone =
        QuantizedTensor::quantize_with(&[0.25; 12], ranges.unwrap(), &[12], size, vec![width(0); 3]).unwrap();
    for encoding in [CodeEncoding::Packed, CodeEncoding::Coded] {
        let found = bytes_of(&gone, encoding);
        assert_eq!((found.ranges, found.codes), (0, 0), "{encoding:?}");
    }
}

/// 256 channels whose half-widths lie between 0.25 and 0.75 have 12 different upper bytes at most, and
/// so at most 3.6 bits of their 8.
#[test]
fn coding_ranges_pays_and_short_tensors_share() {
    let mut numbers = Numbers::seeded(3);
    let mut channels = |count: usize, form: RangeForm| {
        let ranges = (0..count).map(|_| {
            let a = 0.25 + 0.5 * numbers.unit();
            form.outward(range(-a, a)).unwrap()
        });
        let ranges = Ranges::new(RangeGranularity::Channel, GridKind::MinMax, form, ranges.collect());
        let widths = vec![width(2)];
        QuantizedTensor::from_parts_with(
            vec![count, 9],
            GroupSize::WholeTensor,
            ranges.unwrap(),
            widths,
            vec![1; 9 * count],
        )
        .unwrap()
    };
    for &form in RangeForm::ALL {
        let found = bytes_of(&channels(256, form), CodeEncoding::Coded).ranges as f64;
        let upper = form.numbers() as f64 * 256.0 * (3.6 / 8.0);
        let rest = form.numbers() as f64 * 256.0 * if form.is_half() { 1.0 } else { 3.0 };
        assert!(found < upper + rest + 60.0, "{form}: {found} bytes");
    }
    let half = RangeForm::SymmetricHalf;
    let tensors = [256, 64, 64].map(|count| channels(count, half));
    let file = file_of(&tensors, CodeEncoding::Coded);
    let reader = ContainerReader::new(&file).unwrap();
    let [shared, last] = ["1", "2"].map(|name| reader.tensor(name).unwrap().bytes().ranges);
    let alone = bytes_of(&tensors[1], CodeEncoding::Coded).ranges;
    assert!(shared < alone && alone <= 1 + 2 * 64, "{shared} and {last} bytes shared, {alone} alone");
    // Each by itself, in any order.
    for name in ["2", "0", "1"] {
        assert_eq!(reader.quantized(name).unwrap(), tensors[name.parse::<usize>().unwrap()]);
    }
}

#[test]
fn a_number_of_ranges_that_does_not_fit_is_a_typed_error() {
    let size = GroupSize::new(4).unwrap();
    let ranges = |granularity, count: usize| {
        let values = vec![range(0.0, 1.0); count];
        Ranges::new(granularity, GridKind::MinMax, RangeForm::Full, values).unwrap()
    };
    for (granularity, expected) in GRANULARITIES.into_iter().zip([1, 3, 2]) {
        for found in 0..5 {
            let ranges = ranges(granularity, found);
            let result = QuantizedTensor::quantize_with(&[0.5; 6], ranges, &[3, 2], size, vec![width(2); 2]);
            match result {
                Ok(_) => assert_eq!(found, expected),
                Err(error) => {
                    assert_eq!(error, QuantizeError::RangeCount { granularity, expected, found });
                }
            }
        }
    }
    assert_eq!(RangeGranularity::Channel.count(&[4, 0], size), Some(0));
    assert_eq!(RangeGranularity::Channel.count(&[usize::MAX, 2], size), None);
    let mut weights = [0.5; 6];
    weights[4] = f32::NAN;
    let fitted =
        Ranges::fit(&weights, &[3, 2], size, RangeGranularity::Channel, GridKind::MinMax, RangeForm::Half);
    assert!(matches!(fitted, Err(QuantizeError::NonFinite { index: 4, .. })));
}

/// Bits of the numbers, so that a comparison tells zeros apart.
fn bits(numbers: &[f32]) -> Vec<u32> {
    numbers.iter().map(|number| number.to_bits()).collect()
}

/// The values of the one tensor of a file.
fn values_of(file: &[u8]) -> Vec<f32> {
    ContainerReader::new(file).unwrap().values("0").unwrap()
}

#[test]
fn a_file_gives_the_values_of_its_grids_to_the_last_bit_with_any_number_of_threads() {
    let size = |weights| GroupSize::new(weights).unwrap();
    let all: Vec<u8> = (0..=16).collect();
    let cases: [(&[usize], GroupSize, &[u8]); 8] = [
        (&[1], size(8), &[3]),
        (&[7, 13], size(4), &all),
        (&[5, 1001], size(8), &[0, 2, 3]),
        (&[300, 577], size(8), &all),
        (&[64, 4608], size(64), &[2, 5, 9]),
        (&[129, 1000], size(7), &[1, 4, 6]),
        (&[60, 3000], GroupSize::WholeTensor, &[5]),
        (&[1100, 100], size(100), &[0, 0, 8]),
    ];
    let pools =
        [1, 2, 3].map(|threads| rayon::ThreadPoolBuilder::new().num_threads(threads).build().unwrap());
    for (seed, (shape, size, widths)) in (0..).zip(cases) {
        for granularity in GRANULARITIES {
            for &kind in GridKind::ALL {
                let tensor = tensor(shape, size, widths, granularity, (kind, RangeForm::SymmetricHalf), seed);
                let expected = bits(&tensor.dequantize());
                for encoding in [CodeEncoding::Packed, CodeEncoding::Coded] {
                    let file = file_of(std::slice::from_ref(&tensor), encoding);
                    for pool in &pools {
                        let values = pool.install(|| values_of(&file));
                        let what = format!("{shape:?}, {size}, {granularity}, {kind:?}, {encoding:?}");
                        assert!(bits(&values) == expected, "{what}");
                    }
                }
            }
        }
    }
}

/// Packed codes of several widths are read in parts of 2^22 weights, and coded ones in windows.
#[test]
fn a_tensor_of_several_parts_gives_the_values_of_its_grids() {
    let shape = [1030, 4099];
    for (granularity, kind) in
        [(RangeGranularity::Tensor, GridKind::Stepped), (RangeGranularity::Channel, GridKind::Signed)]
    {
        let bits_of_groups = [0, 2, 3, 7];
        let group = GroupSize::new(8).unwrap();
        let tensor = tensor(&shape, group, &bits_of_groups, granularity, (kind, RangeForm::SymmetricHalf), 9);
        let expected = bits(&tensor.dequantize());
        for encoding in [CodeEncoding::Packed, CodeEncoding::Coded] {
            let file = file_of(std::slice::from_ref(&tensor), encoding);
            let values = values_of(&file);
            assert!(bits(&values) == expected, "{kind:?}, {encoding:?}");
        }
    }
}

/// Without a span, of the smallest numbers, of the largest and beyond; every width, its first and last codes
/// among others.
#[test]
fn a_file_gives_the_values_of_grids_at_the_ends_of_what_numbers_can_be() {
    let cases = [
        (GridKind::MinMax, range(0.0, 0.0)),
        (GridKind::MinMax, range(0.3, 0.3)),
        (GridKind::MinMax, range(-1.0, 1e-9)),
        (GridKind::MinMax, range(-1e-45, 1e-44)),
        (GridKind::MinMax, range(f32::MIN, f32::MAX)),
    ];
    let about_zero = [GridKind::Signed, GridKind::Stepped].into_iter().flat_map(|kind| {
        [0.0, 1e-45, 1e-40, 0.37, 1e34, 1e37, f32::MAX]
            .map(|half_width| (kind, ValueRange::symmetric(half_width).unwrap()))
    });
    let mut numbers = Numbers::seeded(11);
    for (kind, range) in cases.into_iter().chain(about_zero) {
        let form = if kind.is_about_zero() { RangeForm::SymmetricFull } else { RangeForm::Full };
        for granularity in [RangeGranularity::Tensor, RangeGranularity::Channel] {
            for widths in (0..=16).map(|bits| vec![bits; 17]).chain([(0..=16).collect()]) {
                let codes = widths.iter().flat_map(|&bits| {
                    let last = ((1u32 << bits) - 1) as u16;
                    let drawn = [(); 8].map(|()| numbers.bits() as u16 & last);
                    [0, last, last / 2, last / 2 + (last & 1)].into_iter().chain(drawn).collect::<Vec<_>>()
                });
                let codes: Vec<u16> = codes.collect();
                let values = vec![range; if granularity == RangeGranularity::Tensor { 1 } else { 4 }];
                let ranges = Ranges::new(granularity, kind, form, values).unwrap();
                let group = GroupSize::new(12).unwrap();
                let expected: Vec<f32> = codes
                    .chunks(12)
                    .zip(&widths)
                    .flat_map(|(codes, &bits)| {
                        let grid = UniformGrid::of(kind, range, width(bits));
                        codes.iter().map(move |code| grid.dequantize(*code))
                    })
                    .collect();
                let widths = widths.into_iter().map(width).collect();
                let tensor =
                    QuantizedTensor::from_parts_with(vec![4, 51], group, ranges, widths, codes).unwrap();
                for encoding in [CodeEncoding::Packed, CodeEncoding::Coded] {
                    let file = file_of(std::slice::from_ref(&tensor), encoding);
                    let found = bits(&values_of(&file));
                    assert!(found == bits(&expected), "{kind:?}, {range:?}, {encoding:?}");
                }
            }
        }
    }
}
