//! `docs/format.md` is enough to write a reader: one that knows the page alone, [`page`], reads what the library
//! writes, and finds the same in it.

mod page;

use fewbit::{
    BitWidth, CodeEncoding, ContainerReader, ContainerWriter, ElementType, Encoding, GridKind, GroupSize,
    QuantizedTensor, RangeForm, RangeGranularity, Ranges, TensorKind,
};
use fewbit_testing::Numbers;
use page::Content;

fn agrees(file: &[u8]) {
    let found = page::read(file);
    let reader = ContainerReader::new(file).unwrap();
    let metadata = reader.metadata_entries().map(|(key, value)| (key.to_owned(), value.to_owned()));
    assert!(metadata.eq(found.metadata));
    assert_eq!(reader.tensors().len(), found.tensors.len());
    let bits = |values: &[f32]| values.iter().map(|value| value.to_bits()).collect::<Vec<_>>();
    for (entry, tensor) in reader.tensors().iter().zip(&found.tensors) {
        let name = entry.name();
        assert_eq!(name, tensor.name);
        match &tensor.content {
            Content::Floats(values) => {
                assert_eq!(entry.kind(), TensorKind::Float32, "{name}");
                assert_eq!(bits(&reader.values(name).unwrap()), bits(values), "{name}");
            }
            Content::Quantized { codes, widths, values } => {
                let expected = reader.quantized(name).unwrap();
                assert!(
                    expected.codes().iter().map(|code| u32::from(*code)).eq(codes.iter().copied()),
                    "{name}"
                );
                assert!(
                    expected.widths().iter().map(|width| width.get()).eq(widths.iter().copied()),
                    "{name}"
                );
                assert_eq!(bits(&reader.values(name).unwrap()), bits(values), "{name}");
            }
            Content::Raw { elements, bytes } => {
                assert_eq!(entry.encoding(), Encoding::Raw(ElementType::ALL[usize::from(*elements)]));
                assert_eq!(reader.raw(name).unwrap(), bytes, "{name}");
            }
            Content::Alias(target) => {
                assert_eq!(entry.kind(), TensorKind::Alias { target: *target });
                continue;
            }
        }
        assert_eq!(entry.shape(), tensor.shape, "{name}");
    }
}

#[test]
fn the_golden_files_are_what_the_page_says() {
    for file in [
        &include_bytes!("../../../fixtures/container/1/golden.fewbit")[..],
        include_bytes!("../../../fixtures/container/1/long.fewbit"),
        include_bytes!("../../../fixtures/container/1/ranges.fewbit"),
        include_bytes!("../../../fixtures/container/1/streams.fewbit"),
        include_bytes!("../../../fixtures/container/1/raw.fewbit"),
        include_bytes!("../../../fixtures/container/1/empty.fewbit"),
    ] {
        agrees(file);
    }
}

/// Every kind of levels with mixed widths, packed and coded, some with several streams.
#[test]
fn files_of_all_kinds_are_what_the_page_says() {
    let mut numbers = Numbers::seeded(23);
    let lengths = [(0, 1), (7, 3), (130, 8), (5000, 1), (5000, 700), (300_000, 1)];
    for (index, (len, size)) in lengths.into_iter().enumerate() {
        let mut writer = ContainerWriter::new();
        for granularity in [RangeGranularity::Tensor, RangeGranularity::Channel, RangeGranularity::Group] {
            for (kind, form) in [
                (GridKind::MinMax, RangeForm::Full),
                (GridKind::MinMax, RangeForm::Half),
                (GridKind::MinMax, RangeForm::SymmetricHalf),
                (GridKind::Signed, RangeForm::SymmetricFull),
                (GridKind::Stepped, RangeForm::SymmetricHalf),
            ] {
                if len > 1 << 18 && (granularity, kind) != (RangeGranularity::Tensor, GridKind::Signed) {
                    continue;
                }
                let bits = [0, 1, 2, 5, 8, 9, 13, 16];
                let shape = [len / 7 + usize::from(len > 0), 7];
                let weights = numbers.weights(shape[0] * 7);
                let group = GroupSize::new(size).unwrap();
                let groups = weights.len().div_ceil(size.min(weights.len()).max(1));
                let widths = (0..groups).map(|_| BitWidth::new(bits[numbers.below(bits.len())]).unwrap());
                let fitted = if kind == GridKind::Stepped { GridKind::Signed } else { kind };
                let ranges = Ranges::fit(&weights, &shape, group, granularity, fitted, form).unwrap();
                let ranges = Ranges::new(granularity, kind, form, ranges.values().to_vec()).unwrap();
                let tensor =
                    QuantizedTensor::quantize_with(&weights, ranges, &shape, group, widths.collect())
                        .unwrap();
                for encoding in [CodeEncoding::Packed, CodeEncoding::Coded] {
                    let name = format!("{index}.{granularity}.{kind:?}.{form}.{encoding:?}");
                    writer.quantized_as(&name, &tensor, encoding).unwrap();
                }
            }
        }
        agrees(&writer.to_bytes());
    }
}
