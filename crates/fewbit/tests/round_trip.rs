//! What is packed or written comes back: every width, every tail, every kind of tensor.

use fewbit::{
    BitWidth, CodeEncoding, ContainerReader, ContainerWriter, ElementType, GroupSize, Grouping, ModelSize,
    QuantizedTensor, Ranges, ReadError, TensorKind, UniformGrid, ValueRange, WriteError, nominal_size,
};
use fewbit_testing::{GROUP_SIZES, Numbers, RAGGED_LENGTHS};
use proptest::collection::vec;
use proptest::prelude::*;

fn width(bits: u8) -> BitWidth {
    BitWidth::new(bits).unwrap()
}

/// A tensor with random codes that use all of their bits.
fn random_tensor(shape: &[usize], size: GroupSize, widths: &[u8], seed: u64) -> QuantizedTensor {
    let mut numbers = Numbers::seeded(seed);
    let len = shape.iter().product();
    let grouping = Grouping::new(size, len);
    let widths: Vec<_> = (0..grouping.count()).map(|_| width(widths[numbers.below(widths.len())])).collect();
    let codes = (0..len)
        .map(|index| numbers.below(widths[grouping.group_of(index)].levels() as usize) as u16)
        .collect();
    let ranges = Ranges::of_tensor(ValueRange::new(-1.25, 0.5 + numbers.unit()).unwrap());
    QuantizedTensor::from_parts_with(shape.to_vec(), size, ranges, widths, codes).unwrap()
}

const ALL_WIDTHS: [u8; 17] = [0, 1, 2, 3, 4, 5, 6, 7, 8, 9, 10, 11, 12, 13, 14, 15, 16];

/// A file of one tensor in an encoding.
fn file_of(tensor: &QuantizedTensor, encoding: CodeEncoding) -> Vec<u8> {
    let mut writer = ContainerWriter::new();
    writer.quantized_as("t", tensor, encoding).unwrap();
    writer.to_bytes()
}

/// Codes and values, the latter to the last bit those of the grids.
#[test]
fn every_width_and_every_ragged_tail_comes_back_in_every_encoding() {
    for bits in 0..=16 {
        for len in RAGGED_LENGTHS {
            for size in GROUP_SIZES.map(|size| GroupSize::new(size).unwrap()) {
                let tensor = random_tensor(&[len], size, &[bits], u64::from(bits));
                let grid = UniformGrid::new(tensor.ranges().values()[0], width(bits));
                let expected: Vec<u32> =
                    tensor.codes().iter().map(|code| grid.dequantize(*code).to_bits()).collect();
                for encoding in [CodeEncoding::Packed, CodeEncoding::Coded] {
                    let file = file_of(&tensor, encoding);
                    let reader = ContainerReader::new(&file).unwrap();
                    assert_eq!(reader.quantized("t").unwrap(), tensor);
                    let values = reader.values("t").unwrap();
                    assert!(values.iter().map(|value| value.to_bits()).eq(expected.iter().copied()));
                    if encoding == CodeEncoding::Packed {
                        let packed = reader.tensors()[0].bytes().codes;
                        assert_eq!(packed, (len as u64 * u64::from(bits)).div_ceil(8));
                    }
                }
            }
        }
    }
}

/// Widths 3, 0 and 5 on groups of 2, codes 5 6 | 0 0 | 17 30. Lowest bit first the bits are
/// 101 011 (5, 6), nothing, 10001 01111 (17, 30): 10101110 00101111 as read from the left, so the
/// bytes are 0b0111_0101 and 0b1111_0100.
#[test]
fn packed_bits_worked_by_hand() {
    let widths = [3, 0, 5].map(width).to_vec();
    let codes = vec![5, 6, 0, 0, 17, 30];
    let size = GroupSize::new(2).unwrap();
    let ranges = Ranges::of_tensor(ValueRange::new(0.0, 1.0).unwrap());
    let tensor = QuantizedTensor::from_parts_with(vec![6], size, ranges, widths, codes).unwrap();
    let file = file_of(&tensor, CodeEncoding::Packed);
    let reader = ContainerReader::new(&file).unwrap();
    let start = reader.tensors()[0].data_range().start as usize;
    assert_eq!(file[start..start + 2], [0b0111_0101, 0b1111_0100]);
}

proptest! {
    #[test]
    fn a_file_gives_back_what_was_written(
        widths in vec(0u8..=16, 1..12), size in 0usize..40, shape in vec(0usize..7, 0..4),
        floats in vec(prop::num::f32::ANY, 0..20), seed: u64, key in ".{1,8}", value in ".{0,8}",
    ) {
        let size = GroupSize::new(size).unwrap_or(GroupSize::WholeTensor);
        let tensor = random_tensor(&shape, size, &widths, seed);
        let mut writer = ContainerWriter::new();
        writer.metadata(&key, &value).unwrap();
        writer.quantized("layer.weight", &tensor).unwrap();
        writer.float("layer.bias", &[floats.len()], &floats).unwrap();
        writer.alias("tied", "layer.weight").unwrap();
        let bytes = writer.to_bytes();
        let reader = ContainerReader::new(&bytes).unwrap();

        prop_assert_eq!(reader.metadata(&key), Some(value.as_str()));
        prop_assert!(reader.metadata_entries().eq([(key.as_str(), value.as_str())]));
        for name in ["layer.weight", "tied"] {
            prop_assert_eq!(&reader.quantized(name).unwrap(), &tensor);
            prop_assert_eq!(reader.values(name).unwrap(), tensor.dequantize());
            let entry = reader.tensor(name).unwrap();
            prop_assert_eq!(entry.shape(), tensor.shape());
            prop_assert_eq!(entry.len(), tensor.len());
            prop_assert_eq!(entry.mean_bits(), tensor.mean_bits());
            prop_assert_eq!(entry.width_histogram(), tensor.width_histogram());
            prop_assert_eq!(entry.range(), Some(tensor.ranges().values()[0]));
            prop_assert_eq!(entry.group_size(), Some(tensor.group_size()));
        }
        let read = reader.values("layer.bias").unwrap();
        let as_bits = |values: &[f32]| values.iter().map(|v| v.to_bits()).collect::<Vec<_>>();
        prop_assert_eq!(as_bits(&read), as_bits(&floats));

        let size = reader.size();
        prop_assert_eq!(size.bytes(), bytes.len() as u64);
        prop_assert_eq!(size.parts().iter().map(|part| part.1).sum::<u64>(), bytes.len() as u64);
        prop_assert_eq!(ModelSize::from(size).bytes(), bytes.len() as u64);
        let tensors: u64 = reader.tensors().iter().map(|entry| entry.bytes().total()).sum();
        prop_assert_eq!(size.header() + tensors + size.checksum(), bytes.len() as u64);
    }

    #[test]
    fn names_come_back_however_much_they_share(names in vec("[aé.0]{1,9}", 1..20)) {
        let mut writer = ContainerWriter::new();
        let mut written = Vec::new();
        for name in &names {
            match writer.float(name, &[1], &[written.len() as f32]) {
                Ok(_) => written.push(name.as_str()),
                Err(WriteError::DuplicateName { .. }) => prop_assert!(written.contains(&name.as_str())),
                Err(other) => panic!("{other}"),
            }
        }
        let bytes = writer.to_bytes();
        let reader = ContainerReader::new(&bytes).unwrap();
        let read: Vec<_> = reader.tensors().iter().map(|entry| entry.name()).collect();
        prop_assert_eq!(&read, &written);
        for (index, name) in read.iter().enumerate() {
            prop_assert_eq!(reader.values(name).unwrap(), vec![index as f32]);
        }
    }
}

#[test]
fn every_width_alone_and_beside_every_other_comes_back_from_a_file() {
    let mut writer = ContainerWriter::new();
    let mut tensors = Vec::new();
    for low in ALL_WIDTHS {
        for high in ALL_WIDTHS {
            let tensor = random_tensor(&[101], GroupSize::new(3).unwrap(), &[low, high], 5);
            let name = format!("{low}.{high}");
            writer.quantized(&name, &tensor).unwrap();
            tensors.push((name, tensor));
        }
    }
    let bytes = writer.to_bytes();
    let reader = ContainerReader::new(&bytes).unwrap();
    for (name, tensor) in &tensors {
        assert_eq!(&reader.quantized(name).unwrap(), tensor);
    }
}

#[test]
fn an_empty_file_has_no_tensors() {
    let bytes = ContainerWriter::new().to_bytes();
    let reader = ContainerReader::new(&bytes).unwrap();
    assert!(reader.tensors().is_empty() && reader.metadata_entries().len() == 0);
    assert!(matches!(reader.values("a"), Err(ReadError::UnknownTensor { .. })));
}

#[test]
fn only_codes_can_be_asked_for_as_codes() {
    let mut writer = ContainerWriter::new();
    writer.float("a", &[], &[1.5]).unwrap().alias("b", "a").unwrap();
    let bytes = writer.to_bytes();
    let reader = ContainerReader::new(&bytes).unwrap();
    for name in ["a", "b"] {
        assert!(matches!(reader.quantized(name), Err(ReadError::NotQuantized { .. })));
        assert_eq!(reader.values(name).unwrap(), [1.5]);
        assert_eq!(reader.tensor(name).unwrap().mean_bits(), 32.0);
    }
    assert_eq!(reader.tensor("b").unwrap().kind(), TensorKind::Alias { target: 0 });
}

#[test]
fn what_a_reader_would_refuse_is_not_written() {
    let mut writer = ContainerWriter::new();
    writer.float("a", &[1], &[0.0]).unwrap().alias("b", "a").unwrap().metadata("k", "v").unwrap();
    let before = writer.to_bytes();
    let long = "x".repeat(2000);
    let wide = [1; 9];
    assert!(matches!(writer.float("", &[1], &[0.0]), Err(WriteError::Empty { .. })));
    assert!(matches!(writer.float("a", &[1], &[0.0]), Err(WriteError::DuplicateName { .. })));
    assert!(matches!(writer.float("c", &[2], &[0.0]), Err(WriteError::Shape { .. })));
    assert!(matches!(writer.float("c", &[usize::MAX, 2], &[0.0]), Err(WriteError::Shape { .. })));
    assert!(matches!(writer.float("c", &wide, &[0.0]), Err(WriteError::OverLimit { .. })));
    assert!(matches!(writer.float(&long, &[1], &[0.0]), Err(WriteError::OverLimit { .. })));
    assert!(matches!(writer.alias("c", "d"), Err(WriteError::UnknownTarget { .. })));
    assert!(matches!(writer.alias("c", "c"), Err(WriteError::UnknownTarget { .. })));
    assert!(matches!(writer.alias("c", "b"), Err(WriteError::AliasOfAlias { .. })));
    assert!(matches!(writer.alias("a", "a"), Err(WriteError::DuplicateName { .. })));
    assert!(matches!(writer.metadata("", "v"), Err(WriteError::Empty { .. })));
    assert!(matches!(writer.metadata("k", "w"), Err(WriteError::DuplicateKey { .. })));
    assert!(matches!(writer.metadata(&long, "w"), Err(WriteError::OverLimit { .. })));
    let huge = "x".repeat(17 << 20);
    assert!(matches!(writer.metadata("l", &huge), Err(WriteError::OverLimit { .. })));
    assert_eq!(writer.to_bytes(), before, "an error leaves the file as it was");
}

/// Names and shapes of ResNet-20 for CIFAR-10: 20 layers of weights, 19 batch norms, one bias.
fn resnet_20(group_size: usize) -> (ContainerWriter, ModelSize) {
    let group_size = GroupSize::new(group_size).unwrap();
    let mut writer = ContainerWriter::new();
    let mut nominal = ModelSize::default();
    let mut convolution = |writer: &mut ContainerWriter, path: &str, shape: &[usize]| {
        let tensor = random_tensor(shape, group_size, &[2, 3, 4, 5], 9);
        writer.quantized(&format!("{path}.weight"), &tensor).unwrap();
        nominal += nominal_size(tensor.grouping(), tensor.widths(), width(2));
    };
    let norm = |writer: &mut ContainerWriter, path: &str, channels: usize| {
        for part in ["weight", "bias", "running_mean", "running_var"] {
            let values = vec![0.5; channels];
            writer.float(&format!("{path}.{part}"), &[channels], &values).unwrap();
        }
    };
    convolution(&mut writer, "conv1", &[16, 3, 3, 3]);
    norm(&mut writer, "bn1", 16);
    let mut before = 16;
    for (layer, channels) in [(1, 16), (2, 32), (3, 64)] {
        for block in 0..3 {
            for part in 1..=2 {
                let path = format!("layer{layer}.{block}");
                convolution(&mut writer, &format!("{path}.conv{part}"), &[channels, before, 3, 3]);
                norm(&mut writer, &format!("{path}.bn{part}"), channels);
                before = channels;
            }
        }
    }
    convolution(&mut writer, "fc", &[10, 64]);
    writer.float("fc.bias", &[10], &[0.0; 10]).unwrap();
    let floats = 4 * (7 * 16 + 6 * 32 + 6 * 64) + 10;
    (writer, nominal + ModelSize::of_floats(floats))
}

#[test]
fn header_and_table_of_a_resnet_20_take_less_than_3_kib() {
    let (writer, nominal) = resnet_20(8);
    let bytes = writer.to_bytes();
    let size = ContainerReader::new(&bytes).unwrap().size();
    let overhead = size.header() + size.table() + size.ranges() + size.checksum();
    assert!(overhead < 3 << 10, "{size:?}");
    // Whole bytes per tensor, names and shapes: the file is hardly larger than its nominal size.
    assert!(size.bytes() < nominal.bytes() + (3 << 10), "{size:?}, nominal {nominal:?}");
}

#[test]
fn raw_tensors_need_as_many_bytes_as_their_elements_take() {
    let mut writer = ContainerWriter::new();
    let error = writer.raw("count", &[2], ElementType::Int32, &[0; 7]).unwrap_err();
    assert!(matches!(error, WriteError::RawBytes { found: 7, needed: 8, .. }), "{error}");
    let error = writer.raw("count", &[usize::MAX, 2], ElementType::Int64, &[]).unwrap_err();
    assert!(matches!(error, WriteError::Shape { .. }), "{error}");
    let error = writer.raw("count", &[1 << 30], ElementType::Int64, &[]).unwrap_err();
    assert!(matches!(error, WriteError::OverLimit { .. }), "{error}");
    assert_eq!(writer.to_bytes(), ContainerWriter::new().to_bytes(), "nothing was added");
}
