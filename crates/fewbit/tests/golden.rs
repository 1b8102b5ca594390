//! Files kept from every version of the format are read for ever.

use fewbit::{
    BitWidth, ContainerReader, ContainerWriter, GroupSize, QuantizedTensor, TensorKind, ValueRange,
};

const VERSION_0: &[u8] = include_bytes!("../../../fixtures/container/0/golden.fewbit");

/// The maker of `fixtures/container/0/golden.fewbit`. It never changes, nor does the file: when the
/// writer goes on to a later version, the comparison with it goes, and this stays as the record.
fn make_version_0() -> Vec<u8> {
    let widths = |bits: &[u8]| bits.iter().map(|&b| BitWidth::new(b).unwrap()).collect();
    let range = |minimum, maximum| ValueRange::new(minimum, maximum).unwrap();
    let mixed = QuantizedTensor::from_parts(
        vec![2, 5],
        GroupSize::new(4).unwrap(),
        range(-1.0, 2.0),
        widths(&[2, 0, 16]),
        vec![0, 1, 2, 3, 0, 0, 0, 0, 65535, 21845],
    );
    let whole = QuantizedTensor::from_parts(
        vec![3],
        GroupSize::WholeTensor,
        range(0.0, 7.0),
        widths(&[3]),
        vec![7, 0, 5],
    );
    let empty = QuantizedTensor::from_parts(
        vec![0, 4],
        GroupSize::new(8).unwrap(),
        ValueRange::default(),
        vec![],
        vec![],
    );
    let mut writer = ContainerWriter::new();
    writer
        .metadata("model", "golden")
        .and_then(|w| w.metadata("größe", ""))
        .and_then(|w| w.quantized("encoder.weight", &mixed.unwrap()))
        .and_then(|w| w.float("encoder.bias", &[2, 1], &[1.5, -0.0]))
        .and_then(|w| w.quantized("encoder.whole", &whole.unwrap()))
        .and_then(|w| w.alias("decoder.weight", "encoder.weight"))
        .and_then(|w| w.quantized("empty", &empty.unwrap()))
        .and_then(|w| w.float("scale", &[], &[0.25]))
        .unwrap();
    writer.to_bytes()
}

#[test]
fn version_0_is_still_written_as_it_was() {
    assert_eq!(make_version_0(), VERSION_0);
}

/// Every value by hand. Range -1 to 2: at 2 bits the points are -1, 0, 1, 2; no bits are zeros; at 16
/// bits 65535 is the maximum and 21845, a third of it, lies at -1 + 3/3 = 0.
#[test]
fn version_0_is_still_read() {
    let reader = ContainerReader::new(VERSION_0).unwrap();
    assert_eq!(reader.metadata_entries(), &[("model", "golden"), ("größe", "")]);
    let names: Vec<_> = reader.tensors().iter().map(|entry| entry.name()).collect();
    let expected = ["encoder.weight", "encoder.bias", "encoder.whole", "decoder.weight", "empty", "scale"];
    assert_eq!(names, expected);

    let mixed = [-1.0, 0.0, 1.0, 2.0, 0.0, 0.0, 0.0, 0.0, 2.0, 0.0];
    assert_eq!(reader.values("encoder.weight").unwrap(), mixed);
    assert_eq!(reader.values("decoder.weight").unwrap(), mixed);
    assert_eq!(reader.values("encoder.whole").unwrap(), [7.0, 0.0, 5.0]);
    assert_eq!(reader.values("empty").unwrap(), [0.0f32; 0]);
    assert_eq!(reader.values("scale").unwrap(), [0.25]);
    let bias = reader.values("encoder.bias").unwrap();
    assert_eq!(bias.map_bits(), [1.5f32.to_bits(), (-0.0f32).to_bits()]);

    let entry = reader.tensor("encoder.weight").unwrap();
    assert_eq!((entry.kind(), entry.shape()), (TensorKind::Quantized, &[2, 5][..]));
    assert_eq!(entry.group_size(), GroupSize::new(4));
    let widths: Vec<_> = reader.quantized("encoder.weight").unwrap().widths().to_vec();
    assert_eq!(widths.iter().map(|w| w.get()).collect::<Vec<_>>(), [2, 0, 16]);
    // (4·2 + 4·0 + 2·16) / 10
    assert_eq!(entry.mean_bits(), 4.0);
    assert_eq!(reader.tensor("encoder.whole").unwrap().group_size(), Some(GroupSize::WholeTensor));
    assert_eq!(reader.tensor("decoder.weight").unwrap().kind(), TensorKind::Alias { target: 0 });
    assert_eq!(reader.tensor("empty").unwrap().shape(), [0, 4]);
    assert_eq!(reader.tensor("scale").unwrap().shape(), [0usize; 0]);
}

/// `cargo test -p fewbit --test golden -- --ignored` makes the file, where there is none.
#[test]
#[ignore = "makes the golden file; a released one is never made again"]
fn make_the_golden_file() {
    let path = concat!(env!("CARGO_MANIFEST_DIR"), "/../../fixtures/container/0/golden.fewbit");
    assert_eq!(std::fs::metadata(path).map_or(0, |found| found.len()), 0, "{path} is already there");
    std::fs::write(path, make_version_0()).unwrap();
}

trait MapBits {
    fn map_bits(&self) -> Vec<u32>;
}

impl MapBits for Vec<f32> {
    fn map_bits(&self) -> Vec<u32> {
        self.iter().map(|value| value.to_bits()).collect()
    }
}
