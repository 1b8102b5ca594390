//! The encodings of a tensor: which is chosen, what each costs, and that all give the same values.

use fewbit::container::TensorBytes;
use fewbit::{
    BitWidth, CodeEncoding, ContainerReader, ContainerWriter, Encoding, FloatEncoding, GroupSize, Grouping,
    QuantizedTensor, Ranges, ReadError, ValueRange, WriteError, verify,
};
use fewbit_kernels::rans::lanes_of;
use fewbit_testing::Numbers;
use proptest::collection::vec;
use proptest::prelude::*;

/// Weights of a normal distribution in groups of some widths.
fn trained(len: usize, size: usize, bits: &[u8], seed: u64) -> QuantizedTensor {
    let mut numbers = Numbers::seeded(seed);
    let weights = numbers.weights(len);
    let size = GroupSize::new(size).unwrap();
    let groups = Grouping::new(size, len).count();
    let widths = (0..groups).map(|_| BitWidth::new(bits[numbers.below(bits.len())]).unwrap()).collect();
    QuantizedTensor::quantize(&weights, &[len], size, widths).unwrap()
}

fn one_tensor(tensor: &QuantizedTensor, encoding: CodeEncoding) -> Vec<u8> {
    let mut writer = ContainerWriter::new();
    writer.quantized_as("t", tensor, encoding).unwrap();
    writer.to_bytes()
}

fn bytes_of(tensor: &QuantizedTensor, encoding: CodeEncoding) -> TensorBytes {
    ContainerReader::new(&one_tensor(tensor, encoding)).unwrap().tensors()[0].bytes()
}

/// The order-0 entropy of a tensor's codes given their widths, and that of its widths, in bytes; and
/// how many levels occur.
fn entropy(tensor: &QuantizedTensor) -> (f64, f64, usize) {
    let of = |counts: &[usize]| {
        let total: usize = counts.iter().sum();
        let bits = counts
            .iter()
            .filter(|count| **count > 0)
            .map(|&count| count as f64 * (total as f64 / count as f64).log2());
        bits.sum::<f64>() / 8.0
    };
    let mut codes = vec![vec![0usize; 1 << 16]; BitWidth::COUNT];
    for (group, width) in tensor.grouping().ranges().zip(tensor.widths()) {
        tensor.codes()[group].iter().for_each(|&code| {
            codes[usize::from(width.get())][usize::from(code)] += 1;
        });
    }
    let levels = codes.iter().flatten().filter(|count| **count > 0).count();
    (codes.iter().map(|counts| of(counts)).sum(), of(&tensor.width_histogram()), levels)
}

/// Codes by several laws, each of a whole tensor, for widths drawn from a list.
fn by_law(law: &str, len: usize, size: usize, widths: &[BitWidth], seed: u64) -> QuantizedTensor {
    let mut numbers = Numbers::seeded(seed);
    let mut draw = |width: BitWidth| {
        let last = f64::from(width.levels() - 1);
        let unit = f64::from(numbers.unit());
        let value = match law {
            // Eight standard deviations across, and sixty.
            "normal" => 0.5 + f64::from(numbers.normal()) / 8.0,
            "narrow" => 0.5 + f64::from(numbers.normal()) / 60.0,
            "laplace" => 0.5 + (0.5 - unit).signum() * (1.0 - 2.0 * (0.5 - unit).abs()).max(1e-9).ln() / 25.0,
            "uniform" => unit,
            "constant" => 0.3,
            "two" => [0.2, 0.9][usize::from(unit < 0.03)],
            other => panic!("{other}"),
        };
        (value.clamp(0.0, 1.0) * last).round() as u16
    };
    let size = GroupSize::new(size).unwrap();
    let grouping = Grouping::new(size, len);
    let codes = (0..len).map(|index| draw(widths[grouping.group_of(index)])).collect();
    let ranges = Ranges::of_tensor(ValueRange::new(-1.0, 1.0).unwrap());
    QuantizedTensor::from_parts_with(vec![len], size, ranges, widths.to_vec(), codes).unwrap()
}

/// The lanes of so many symbols in streams of 2^18, 4 bytes each.
fn lane_bytes(symbols: usize) -> usize {
    let full = symbols >> 18;
    4 * (32 * full + lanes_of(symbols % (1 << 18)))
}

#[test]
fn coded_tensors_are_hardly_larger_than_their_entropy() {
    let bits: [&[u8]; 12] = [
        &[1],
        &[2],
        &[3],
        &[4],
        &[6],
        &[8],
        &[2, 3, 4, 5],
        &[0, 1, 2, 3, 4, 5, 6, 7, 8],
        &[10],
        &[12],
        &[16],
        &[9, 11, 13, 14, 15],
    ];
    for (seed, bits) in bits.into_iter().enumerate() {
        for (len, law) in [10_000usize, 40_000, 300_000].into_iter().flat_map(|len| {
            ["normal", "narrow", "laplace", "uniform", "constant", "two"].map(|law| (len, law))
        }) {
            let mut numbers = Numbers::seeded(seed as u64);
            let widths: Vec<BitWidth> = (0..len.div_ceil(8))
                .map(|_| BitWidth::new(bits[numbers.below(bits.len())]).unwrap())
                .collect();
            let tensor = by_law(law, len, 8, &widths, seed as u64);
            let found = bytes_of(&tensor, CodeEncoding::Smaller);
            let (codes, _, levels) = entropy(&tensor);
            let lanes: usize = tensor.width_histogram().iter().map(|groups| lane_bytes(8 * groups)).sum();
            let allowed = 1.003 * codes + 48.0 + levels as f64 + lanes as f64;
            let taken = (found.codes + found.frequency_tables) as f64;
            assert!(taken <= allowed, "{law} at {bits:?} × {len}: {taken} bytes, {allowed:.0} allowed");
        }
    }
}

#[test]
fn widths_are_hardly_larger_than_their_entropy() {
    // How many groups of a hundred have each width.
    let shares: [&[(u8, usize)]; 6] = [
        &[(3, 50), (4, 50)],
        &[(2, 99), (5, 1)],
        &[(2, 90), (3, 9), (16, 1)],
        &[(2, 10), (3, 30), (4, 40), (5, 15), (6, 5)],
        &[(0, 6), (1, 6), (2, 6), (3, 6), (4, 6), (5, 6), (6, 6), (7, 6), (8, 52)],
        &[(4, 75), (8, 25)],
    ];
    for shares in shares {
        let of_hundred: Vec<u8> = shares.iter().flat_map(|&(bits, count)| vec![bits; count]).collect();
        for groups in [1300, 10_000, 33_000, 100_000, 600_000] {
            let mut numbers = Numbers::seeded(groups as u64);
            let widths: Vec<BitWidth> = (0..groups)
                .map(|_| BitWidth::new(of_hundred[numbers.below(of_hundred.len())]).unwrap())
                .collect();
            let tensor = by_law("constant", groups, 1, &widths, 1);
            let found = bytes_of(&tensor, CodeEncoding::Coded).widths as f64;
            let allowed = 1.01 * entropy(&tensor).1 + 32.0;
            assert!(found <= allowed, "{shares:?} × {groups}: {found} bytes, {allowed:.0} allowed");
        }
    }
}

#[test]
fn the_smaller_encoding_is_chosen() {
    let coded = trained(20_000, 8, &[2, 3, 4], 1);
    let small = trained(10, 8, &[2, 3, 4], 2);
    let mut numbers = Numbers::seeded(3);
    let codes = (0..20_000).map(|_| numbers.below(16) as u16).collect();
    let widths = vec![BitWidth::new(4).unwrap()];
    let ranges = Ranges::of_tensor(ValueRange::new(0.0, 1.0).unwrap());
    let noise = QuantizedTensor::from_parts_with(vec![20_000], GroupSize::WholeTensor, ranges, widths, codes)
        .unwrap();
    for (tensor, expected) in
        [(&coded, Encoding::Coded), (&small, Encoding::Packed), (&noise, Encoding::Packed)]
    {
        let file = one_tensor(tensor, CodeEncoding::Smaller);
        let reader = ContainerReader::new(&file).unwrap();
        assert_eq!(reader.tensors()[0].encoding(), expected);
        for encoding in [CodeEncoding::Packed, CodeEncoding::Coded] {
            let other = one_tensor(tensor, encoding);
            assert!(file.len() <= other.len() + 64, "{encoding:?}");
            let other = ContainerReader::new(&other).unwrap();
            assert_eq!(&other.quantized("t").unwrap(), tensor);
            assert_eq!(other.values("t").unwrap(), tensor.dequantize());
        }
    }
}

/// More weights than are decoded at a time, some classes with several streams and some without any.
#[test]
fn any_number_of_threads_gives_the_same_values() {
    for (len, size, bits) in [(9_000_001, 8, &[0u8, 2, 3, 4, 12][..]), (5_000_000, 700_000, &[5, 6])] {
        let tensor = trained(len, size, bits, 11);
        let expected = tensor.dequantize();
        let mut files = vec![];
        for threads in 1..=3 {
            let pool = rayon::ThreadPoolBuilder::new().num_threads(threads).build().unwrap();
            for encoding in [CodeEncoding::Packed, CodeEncoding::Coded] {
                let file = pool.install(|| one_tensor(&tensor, encoding));
                let reader = ContainerReader::new(&file).unwrap();
                assert!(pool.install(|| reader.values("t")).unwrap() == expected, "{threads} threads");
                files.push(file);
            }
        }
        let [packed, coded, ..] = &files[..] else { panic!("two files at least") };
        assert!(files.chunks(2).all(|pair| &pair[0] == packed && &pair[1] == coded), "other bytes");
    }
}

#[test]
fn tensors_of_many_streams_come_back_on_all_cores() {
    // More than 2^18 codes of one width, and more than 2^18 groups.
    for (len, size, bits) in
        [(600_001, 1, &[3u8, 4][..]), (300_000, 600_000, &[12]), (70_000, 64, &[0, 9, 16])]
    {
        let tensor = trained(len, size, bits, 5);
        for encoding in [CodeEncoding::Packed, CodeEncoding::Coded] {
            let file = one_tensor(&tensor, encoding);
            assert_eq!(verify(&file), Ok(()));
            let reader = ContainerReader::new(&file).unwrap();
            assert!(reader.quantized("t").unwrap() == tensor);
            assert!(reader.values("t").unwrap() == tensor.dequantize());
        }
    }
}

/// ResNet-20 for CIFAR-10 with its batch norms folded to a scale and a shift of 16 bits per channel.
#[test]
fn what_is_neither_codes_nor_widths_of_a_resnet_20_takes_less_than_4_kib() {
    let mut writer = ContainerWriter::new();
    writer.metadata("model", &"m".repeat(120)).unwrap().metadata("recipe", "resnet20").unwrap();
    let quantized = |writer: &mut ContainerWriter, name: &str, shape: &[usize]| {
        let tensor = trained(shape.iter().product(), 8, &[2, 3, 4, 5], name.len() as u64);
        let (ranges, widths, codes) =
            (tensor.ranges().clone(), tensor.widths().to_vec(), tensor.codes().to_vec());
        let size = tensor.group_size();
        let tensor = QuantizedTensor::from_parts_with(shape.to_vec(), size, ranges, widths, codes).unwrap();
        writer.quantized(name, &tensor).unwrap();
    };
    let norm = |writer: &mut ContainerWriter, name: &str, channels: usize| {
        for part in ["scale", "shift"] {
            let values = vec![0.5; channels];
            writer.float_as(&format!("{name}.{part}"), &[channels], &values, FloatEncoding::Float16).unwrap();
        }
    };
    norm(&mut writer, "bn1", 16);
    quantized(&mut writer, "conv1.weight", &[16, 3, 3, 3]);
    writer.float_as("fc.bias", &[10], &[0.0; 10], FloatEncoding::Float16).unwrap();
    quantized(&mut writer, "fc.weight", &[10, 64]);
    let mut before = 16;
    for (layer, channels) in [(1, 16), (2, 32), (3, 64)] {
        for block in 0..3 {
            let path = format!("layer{layer}.{block}");
            let inputs = [before, channels];
            (1..=2).for_each(|part| norm(&mut writer, &format!("{path}.bn{part}"), channels));
            for (part, inputs) in (1..=2).zip(inputs) {
                quantized(&mut writer, &format!("{path}.conv{part}.weight"), &[channels, inputs, 3, 3]);
            }
            before = channels;
        }
    }
    let bytes = writer.to_bytes();
    let size = ContainerReader::new(&bytes).unwrap().size();
    let rest = size.bytes() - size.codes() - size.widths();
    // 2,772 of them are the floats themselves.
    assert!(rest < 4 << 10, "{rest} bytes: {:?}", size.parts());
}

#[test]
fn a_short_tensor_shares_the_frequencies_of_the_one_before() {
    let mut writer = ContainerWriter::new();
    let six = BitWidth::new(6).unwrap();
    let first = by_law("normal", 20_000, 300, &[six; 67], 1);
    // Parts of the first: the same law, and no code that it has not. A table of their own would save less
    // than it takes.
    let part = |from: usize| {
        let codes = first.codes()[from..from + 300].to_vec();
        let ranges = first.ranges().clone();
        QuantizedTensor::from_parts_with(vec![300], GroupSize::WholeTensor, ranges, vec![six], codes).unwrap()
    };
    let tensors = [first.clone(), part(0), part(9000)];
    for (index, tensor) in tensors.iter().enumerate() {
        writer.quantized_as(&index.to_string(), tensor, CodeEncoding::Coded).unwrap();
    }
    // A packed one between does not matter, and brings nothing.
    writer.quantized_as("packed", &tensors[1], CodeEncoding::Packed).unwrap();
    writer.quantized_as("last", &tensors[1], CodeEncoding::Coded).unwrap();
    let file = writer.to_bytes();
    let reader = ContainerReader::new(&file).unwrap();
    let tables = |name: &str| reader.tensor(name).unwrap().bytes().frequency_tables;
    assert!(tables("0") > 1);
    for (name, tensor) in [("2", &tensors[2]), ("last", &tensors[1]), ("1", &tensors[1]), ("0", &tensors[0])]
    {
        // Each by itself, in any order.
        assert_eq!(&reader.quantized(name).unwrap(), tensor);
        if name != "0" {
            assert_eq!(tables(name), 1, "{name}: what tells that it shares");
        }
    }
}

#[test]
fn short_floats_read_back_as_their_nearest() {
    let values = [0.1, -3.25, 1e-7, 6e4, f32::INFINITY, 0.0, -0.0];
    for encoding in [FloatEncoding::Float16, FloatEncoding::BFloat16] {
        let mut writer = ContainerWriter::new();
        writer.float_as("f", &[7], &values, encoding).unwrap();
        let file = writer.to_bytes();
        let reader = ContainerReader::new(&file).unwrap();
        let read = reader.values("f").unwrap();
        assert_eq!(read, values.map(|value| encoding.round(value)));
        assert_eq!(reader.tensor("f").unwrap().mean_bits(), 16.0);
        assert_eq!(reader.tensor("f").unwrap().bytes().unquantized, 14);
        assert!(matches!(reader.quantized("f"), Err(ReadError::NotQuantized { .. })));
        // 65,520 is half way from the largest 16-bit float to what would be the next.
        let large = writer.float_as("g", &[2], &[1.0, f32::MAX], encoding).map(|_| ());
        assert!(matches!(large, Err(WriteError::TooLarge { index: 1, .. })));
    }
    assert_eq!(FloatEncoding::Float16.round(65519.0), 65504.0);
    assert_eq!(FloatEncoding::Float16.round(65520.0), f32::INFINITY);
    // Ties go to the even one: 1 + 2^-11 lies between 1 and 1 + 2^-10.
    assert_eq!(FloatEncoding::Float16.round(1.0 + 0.5f32.powi(11)), 1.0);
    assert_eq!(FloatEncoding::BFloat16.round(1.0 + 3.0 * 0.5f32.powi(8)), 1.0 + 0.5f32.powi(6));
}

#[test]
fn a_buffer_of_another_length_is_a_typed_error() {
    let tensor = trained(100, 8, &[3], 1);
    let file = one_tensor(&tensor, CodeEncoding::Packed);
    let reader = ContainerReader::new(&file).unwrap();
    for found in [0, 99, 101] {
        let mut room = vec![0.0; found];
        let error = ReadError::OutputLength { name: "t".to_owned(), needed: 100, found };
        assert_eq!(reader.values_into("t", &mut room), Err(error));
    }
    let mut room = vec![f32::NAN; 100];
    reader.values_into("t", &mut room).unwrap();
    assert_eq!(room, tensor.dequantize());
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(300))]
    #[test]
    fn every_way_of_reading_gives_the_same(
        tensors in vec((vec(0u8..=16, 1..5), 1usize..20, 0usize..900, 0usize..6), 0..12), seed: u64,
    ) {
        let mut numbers = Numbers::seeded(seed);
        let mut writer = ContainerWriter::new();
        let mut expected = Vec::new();
        for (index, (bits, size, len, form)) in tensors.into_iter().enumerate() {
            let name = format!("tensor.{index}");
            match form {
                0..3 => {
                    let tensor = trained(len, size, &bits, seed ^ index as u64);
                    let encodings = [CodeEncoding::Packed, CodeEncoding::Coded, CodeEncoding::Smaller];
                    writer.quantized_as(&name, &tensor, encodings[form]).unwrap();
                    expected.push((name, Some(tensor.clone()), tensor.dequantize()));
                }
                _ => {
                    let encodings =
                        [FloatEncoding::Float32, FloatEncoding::Float16, FloatEncoding::BFloat16];
                    let (values, encoding) = (numbers.weights(len), encodings[form - 3]);
                    writer.float_as(&name, &[len], &values, encoding).unwrap();
                    expected.push((name, None, values.into_iter().map(|v| encoding.round(v)).collect()));
                }
            }
        }
        let last = expected.last().cloned();
        if let Some((target, _, _)) = &last {
            writer.alias("tied", target).unwrap();
        }
        let file = writer.to_bytes();
        prop_assert_eq!(verify(&file), Ok(()));

        let reader = ContainerReader::new(&file).unwrap();
        prop_assert_eq!(reader.size().bytes(), file.len() as u64);
        let parts: u64 = reader.size().parts().iter().map(|part| part.1).sum();
        prop_assert_eq!(parts, file.len() as u64);
        let owned = ContainerReader::new(file.clone()).unwrap();
        for (name, codes, values) in &expected {
            prop_assert_eq!(&reader.values(name).unwrap(), values);
            prop_assert_eq!(&owned.values(name).unwrap(), values);
            if let Some(codes) = codes {
                prop_assert_eq!(&reader.quantized(name).unwrap(), codes);
                let entry = reader.tensor(name).unwrap();
                prop_assert_eq!(entry.mean_bits(), codes.mean_bits());
                prop_assert_eq!(entry.width_histogram(), codes.width_histogram());
            }
        }
        if let Some((_, _, values)) = &last {
            prop_assert_eq!(&reader.values("tied").unwrap(), values);
        }

        let mut written = Vec::new();
        prop_assert_eq!(writer.write_to(&mut written).unwrap(), file.len() as u64);
        prop_assert_eq!(written, file);
    }
}
