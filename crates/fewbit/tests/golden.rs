//! Files kept from every version of the format are read for ever.

use fewbit::{
    BitWidth, CodeEncoding, ContainerReader, ContainerWriter, ElementType, Encoding, FloatEncoding, GridKind,
    GroupSize, QuantizedTensor, RangeForm, RangeGranularity, Ranges, TensorKind, ValueRange, verify,
};

const GOLDEN: &[u8] = include_bytes!("../../../fixtures/container/1/golden.fewbit");
const LONG: &[u8] = include_bytes!("../../../fixtures/container/1/long.fewbit");
const RANGES: &[u8] = include_bytes!("../../../fixtures/container/1/ranges.fewbit");
const STREAMS: &[u8] = include_bytes!("../../../fixtures/container/1/streams.fewbit");
const RAW: &[u8] = include_bytes!("../../../fixtures/container/1/raw.fewbit");
const EMPTY: &[u8] = include_bytes!("../../../fixtures/container/1/empty.fewbit");

fn widths(bits: &[u8]) -> Vec<BitWidth> {
    bits.iter().map(|&b| BitWidth::new(b).unwrap()).collect()
}

fn tensor(
    shape: &[usize],
    group: Option<usize>,
    ends: (f32, f32),
    bits: &[u8],
    codes: &[u16],
) -> QuantizedTensor {
    let group = group.map_or(GroupSize::WholeTensor, |weights| GroupSize::new(weights).unwrap());
    let ranges = Ranges::of_tensor(ValueRange::new(ends.0, ends.1).unwrap());
    QuantizedTensor::from_parts_with(shape.to_vec(), group, ranges, widths(bits), codes.to_vec()).unwrap()
}

/// The maker of `fixtures/container/1/golden.fewbit`: every encoding, short. It never changes, nor does
/// the file: when the writer goes on to a later version, or finds a shorter form, the comparison with it
/// goes, and this stays as the record.
fn make_golden() -> ContainerWriter {
    let mixed = tensor(&[2, 5], Some(4), (-1.0, 2.0), &[2, 0, 16], &[0, 1, 2, 3, 0, 0, 0, 0, 65535, 21845]);
    let whole = tensor(&[3], None, (0.0, 7.0), &[3], &[7, 0, 5]);
    let empty = tensor(&[0, 4], Some(8), (0.0, 0.0), &[], &[]);
    // Mostly 1, so that coding pays; the last two groups are of 10 bits and of none.
    let mut skewed = vec![1; 120];
    skewed[..8].copy_from_slice(&[0, 3, 2, 1, 1, 3, 0, 2]);
    skewed.extend([0, 1, 1022, 1023, 512, 511, 3, 4, 0, 0, 0, 0]);
    let bits = [&[2; 15][..], &[10, 0]].concat();
    let skewed = tensor(&[132], Some(8), (0.0, 3.0), &bits, &skewed);
    let mut writer = ContainerWriter::new();
    writer
        .metadata("model", "golden")
        .and_then(|w| w.metadata("größe", ""))
        .and_then(|w| w.quantized_as("encoder.weight", &mixed, CodeEncoding::Packed))
        .and_then(|w| w.float("encoder.bias", &[2, 1], &[1.5, -0.0]))
        .and_then(|w| w.quantized_as("encoder.whole", &whole, CodeEncoding::Packed))
        .and_then(|w| w.alias("decoder.weight", "encoder.weight"))
        .and_then(|w| w.quantized("empty", &empty))
        .and_then(|w| w.quantized_as("coded.mixed", &mixed, CodeEncoding::Coded))
        .and_then(|w| w.quantized_as("coded.skewed", &skewed, CodeEncoding::Coded))
        .and_then(|w| w.float_as("half", &[3], &[1.0 / 3.0, 65504.0, -0.0], FloatEncoding::Float16))
        .and_then(|w| w.float_as("brain", &[2], &[1.0 / 3.0, -1e38], FloatEncoding::BFloat16))
        .and_then(|w| w.float("scale", &[], &[0.25]))
        .unwrap();
    writer
}

/// The codes of `fixtures/container/1/long.fewbit`.
fn long_codes(levels: u64, count: u64) -> Vec<u16> {
    (0..count).map(|index| (index * index / 7 % levels * (index % 5) / 4) as u16).collect()
}

/// The maker of `fixtures/container/1/long.fewbit`: sections of their own, one of them aligned. Like the
/// other, it never changes.
fn make_long() -> ContainerWriter {
    let packed = tensor(&[75, 130], None, (-0.5, 0.5), &[4], &long_codes(16, 9750));
    let coded = tensor(&[100, 90], Some(9000), (-1.0, 1.0), &[6], &long_codes(64, 9000));
    let mut writer = ContainerWriter::new();
    writer
        .float("before", &[3], &[1.0, 2.0, 3.0])
        .and_then(|w| w.quantized_as("packed", &packed, CodeEncoding::Packed))
        .and_then(|w| w.float("between", &[1], &[4.0]))
        .and_then(|w| w.quantized_as("coded", &coded, CodeEncoding::Coded))
        .and_then(|w| w.float("after", &[1], &[5.0]))
        .unwrap();
    writer
}

/// A tensor over ranges from `-a` to `a`, or of these ends.
fn ranged(
    shape: &[usize],
    group: Option<usize>,
    kind: (RangeGranularity, GridKind, RangeForm),
    ends: &[(f32, f32)],
    bits: &[u8],
    codes: &[u16],
) -> QuantizedTensor {
    let group = group.map_or(GroupSize::WholeTensor, |weights| GroupSize::new(weights).unwrap());
    let ends = ends.iter().map(|&(minimum, maximum)| ValueRange::new(minimum, maximum).unwrap()).collect();
    let ranges = Ranges::new(kind.0, kind.1, kind.2, ends).unwrap();
    QuantizedTensor::from_parts_with(shape.to_vec(), group, ranges, widths(bits), codes.to_vec()).unwrap()
}

/// Symmetric ranges of 64 channels: half-widths of eight values from 1/4 on.
fn many_ends() -> Vec<(f32, f32)> {
    let half_widths =
        (0..64u8).map(|channel| 0.25 + 0.125 * f32::from(channel.wrapping_mul(channel) % 61 % 8));
    half_widths.map(|a| (-a, a)).collect()
}

/// The maker of `fixtures/container/1/ranges.fewbit`: every granularity, kind of grid and form of ranges.
/// Like the others, it never changes.
fn make_ranges() -> ContainerWriter {
    use GridKind::{MinMax, Signed};
    use RangeForm::{Full, Half, SymmetricFull, SymmetricHalf};
    use RangeGranularity::{Channel, Group, Tensor};
    let half = ranged(&[3], None, (Tensor, MinMax, Half), &[(-0.5, 1.0)], &[2], &[0, 2, 3]);
    let signed = ranged(&[4], None, (Tensor, Signed, SymmetricFull), &[(-1.0, 1.0)], &[2], &[0, 1, 2, 3]);
    let ends = [(-1.0, 2.0), (0.0, 3.0), (0.5, 0.5)];
    let channel = ranged(&[3, 2], Some(3), (Channel, MinMax, Half), &ends, &[2, 2], &[0, 3, 1, 2, 0, 0]);
    let full = ranged(&[3, 2], None, (Channel, MinMax, Full), &ends, &[2], &[3, 0, 3, 0, 0, 0]);
    let ends = [(-1.0, 1.0), (0.0, 0.0), (-2.0, 2.0)];
    let codes = [0, 2, 3, 0, 0, 0, 0, 7];
    let group = ranged(&[8], Some(3), (Group, Signed, SymmetricHalf), &ends, &[2, 0, 3], &codes);
    let codes: Vec<u16> = (0..128).map(|index| index % 7 % 4).collect();
    let many = |form| ranged(&[64, 2], None, (Channel, MinMax, form), &many_ends(), &[2], &codes);
    let mut writer = ContainerWriter::new();
    writer
        .quantized_as("half", &half, CodeEncoding::Packed)
        .and_then(|w| w.quantized_as("signed", &signed, CodeEncoding::Coded))
        .and_then(|w| w.quantized_as("channel.packed", &channel, CodeEncoding::Packed))
        .and_then(|w| w.quantized_as("channel.coded", &full, CodeEncoding::Coded))
        .and_then(|w| w.quantized_as("group.packed", &group, CodeEncoding::Packed))
        .and_then(|w| w.quantized_as("group.coded", &group, CodeEncoding::Coded))
        .and_then(|w| w.quantized_as("many.own", &many(SymmetricHalf), CodeEncoding::Coded))
        .and_then(|w| w.quantized_as("many.shared", &many(SymmetricHalf), CodeEncoding::Coded))
        .and_then(|w| w.quantized_as("many.half", &many(Half), CodeEncoding::Coded))
        .and_then(|w| w.quantized_as("many.full", &many(Full), CodeEncoding::Coded))
        .and_then(|w| w.quantized_as("many.long", &many(SymmetricFull), CodeEncoding::Coded))
        .and_then(|w| w.alias("tied", "group.coded"))
        .unwrap();
    writer
}

/// Numbers from 0 to 65,535 that will be the same for ever: the upper half of Knuth's MMIX sequence.
struct Sequence(u64);

impl Sequence {
    fn next(&mut self) -> u16 {
        self.0 = self.0.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1_442_695_040_888_963_407);
        (self.0 >> 48) as u16
    }

    /// A level of a bell around zero, the sum of four numbers from -`spread` to `spread` over two.
    fn level(&mut self, spread: i32) -> i32 {
        let sum: i32 = (0..4).map(|_| i32::from(self.next()) % (2 * spread + 1) - spread).sum();
        sum / 2
    }
}

/// A tensor on a stepped grid: a level for each weight, widths and their group size.
struct Levels(&'static str, Vec<i32>, Vec<u8>, Option<usize>);

/// The tensors of `fixtures/container/1/streams.fewbit`.
fn stream_levels() -> [Levels; 9] {
    let mut numbers = Sequence(1);
    let mut bell = |spread, count: usize| (0..count).map(|_| numbers.level(spread)).collect::<Vec<_>>();
    let (short, like_it, long) = (bell(6, 700), bell(6, 300), bell(9, 3000));
    // Rare levels, far out.
    let mut spiked = bell(1, 14_000);
    (0..60).for_each(|index| spiked[231 * index] = 3 + 2 * index as i32);
    // Wide codes, of which few or many occur.
    let few: Vec<i32> = bell(2, 2000).iter().map(|level| 700 * level).collect();
    let many = bell(900, 2000);
    // Two streams, and groups nearly all of one width; those of the other have one code.
    let mut sparse = vec![0; 262_144 + 1000];
    (0..300).for_each(|index| sparse[877 * index] = -1);
    let mut groups = vec![0; 4 * 2500];
    (0..40).for_each(|index| groups[248 * index..248 * index + 4].fill(1));
    let of_groups = (0..2500).map(|group| if groups[4 * group] == 0 { 0 } else { 2 }).collect();
    let mixed: Vec<i32> =
        bell(3, 1200).iter().enumerate().map(|(at, l)| l * (1 + at as i32 / 8 % 2)).collect();
    let of_mixed = (0..150).map(|group| if group % 2 == 0 { 4 } else { 5 }).collect();
    [
        Levels("shaped", short, vec![5], None),
        Levels("shared", like_it, vec![5], None),
        Levels("listed", long, vec![6], None),
        Levels("palette", few, vec![13], None),
        Levels("wide", many, vec![12], None),
        Levels("groups", groups, of_groups, Some(4)),
        Levels("mixed", mixed, of_mixed, Some(8)),
        Levels("rare", spiked, vec![8], None),
        Levels("sparse", sparse, vec![1], None),
    ]
}

/// The maker of `fixtures/container/1/streams.fewbit`: every way of coding, on stepped grids. Like the
/// others, it never changes.
fn make_streams() -> ContainerWriter {
    let mut writer = ContainerWriter::new();
    for Levels(name, levels, bits, group) in stream_levels() {
        let size = group.unwrap_or(levels.len());
        let code = |(index, level): (usize, &i32)| (level + (1 << bits[index / size] >> 1)) as u16;
        let codes: Vec<u16> = levels.iter().enumerate().map(code).collect();
        let kind = (RangeGranularity::Tensor, GridKind::Stepped, RangeForm::SymmetricHalf);
        let tensor = ranged(&[levels.len()], group, kind, &[(-0.125, 0.125)], &bits, &codes);
        writer.quantized_as(name, &tensor, CodeEncoding::Coded).unwrap();
    }
    writer
}

/// A level of a stepped grid is so many steps, here eighths.
#[test]
fn streams_of_version_1_are_still_read() {
    assert_eq!(verify(STREAMS), Ok(()));
    let reader = ContainerReader::new(STREAMS).unwrap();
    for Levels(name, levels, ..) in stream_levels() {
        let expected: Vec<f32> = levels.iter().map(|level| *level as f32 / 8.0).collect();
        assert!(reader.values(name).unwrap() == expected, "{name}");
    }
}

/// The maker of `fixtures/container/1/raw.fewbit`: three elements of each type, and a tensor
/// with a section of its own. Like the others, it never changes.
fn make_raw() -> ContainerWriter {
    let mut writer = ContainerWriter::new();
    for &elements in ElementType::ALL {
        let bytes: Vec<u8> = (0..3 * elements.bytes()).map(|at| 0xfe_u8.wrapping_add(at as u8)).collect();
        writer.raw(elements.name(), &[3, 1], elements, &bytes).unwrap();
    }
    let positions = (0..600i64).flat_map(i64::to_le_bytes).collect::<Vec<_>>();
    writer
        .raw("positions", &[1, 600], ElementType::Int64, &positions)
        .and_then(|w| w.float("scale", &[], &[0.25]))
        .and_then(|w| w.alias("places", "positions"))
        .and_then(|w| w.raw("count", &[], ElementType::Int64, &7i64.to_le_bytes()))
        .and_then(|w| w.raw("none", &[0, 2], ElementType::Bool, &[]))
        .unwrap();
    writer
}

#[test]
fn raw_tensors_of_version_1_are_still_read() {
    assert_eq!(verify(RAW), Ok(()));
    let reader = ContainerReader::new(RAW).unwrap();
    for &elements in ElementType::ALL {
        let entry = reader.tensor(elements.name()).unwrap();
        let found = (entry.kind(), entry.encoding(), entry.shape(), entry.mean_bits());
        assert_eq!(
            found,
            (TensorKind::Raw, Encoding::Raw(elements), &[3, 1][..], 8.0 * elements.bytes() as f64)
        );
        let bytes = reader.raw(elements.name()).unwrap();
        assert_eq!((bytes.len(), &bytes[..3]), (3 * elements.bytes(), &[0xfe, 0xff, 0][..]));
    }
    for name in ["positions", "places"] {
        let (values, _) = reader.raw(name).unwrap().as_chunks();
        assert!(values.iter().map(|bytes| i64::from_le_bytes(*bytes)).eq(0..600), "{name}");
    }
    assert_eq!(reader.raw("count").unwrap(), [7, 0, 0, 0, 0, 0, 0, 0]);
    assert_eq!(reader.raw("none").unwrap(), [0u8; 0]);
    assert_eq!(reader.values("scale").unwrap(), [0.25]);
}

#[test]
fn version_1_is_still_written_as_it_was() {
    assert_eq!(make_raw().to_bytes(), RAW);
    assert_eq!(make_streams().to_bytes(), STREAMS);
    assert_eq!(make_ranges().to_bytes(), RANGES);
    assert_eq!(make_golden().to_bytes(), GOLDEN);
    assert_eq!(make_long().to_bytes(), LONG);
    assert_eq!(ContainerWriter::new().to_bytes(), EMPTY);
}

/// Every value by hand. Range -1 to 2: at 2 bits the points are -1, 0, 1, 2; no bits are zeros; at 16
/// bits 65535 is the maximum and 21845, a third of it, lies at -1 + 3/3 = 0.
#[test]
fn version_1_is_still_read() {
    for file in [GOLDEN, LONG, EMPTY] {
        assert_eq!(verify(file), Ok(()));
    }
    let reader = ContainerReader::new(GOLDEN).unwrap();
    assert!(reader.metadata_entries().eq([("model", "golden"), ("größe", "")]));
    let names: Vec<_> = reader.tensors().iter().map(|entry| entry.name()).collect();
    let expected = [
        "encoder.weight",
        "encoder.bias",
        "encoder.whole",
        "decoder.weight",
        "empty",
        "coded.mixed",
        "coded.skewed",
        "half",
        "brain",
        "scale",
    ];
    assert_eq!(names, expected);

    let mixed = [-1.0, 0.0, 1.0, 2.0, 0.0, 0.0, 0.0, 0.0, 2.0, 0.0];
    for name in ["encoder.weight", "decoder.weight", "coded.mixed"] {
        assert_eq!(reader.values(name).unwrap(), mixed);
    }
    assert_eq!(reader.values("encoder.whole").unwrap(), [7.0, 0.0, 5.0]);
    assert_eq!(reader.values("empty").unwrap(), [0.0f32; 0]);
    assert_eq!(reader.values("scale").unwrap(), [0.25]);
    let bits = |name| reader.values(name).unwrap().iter().map(|value| value.to_bits()).collect::<Vec<_>>();
    assert_eq!(bits("encoder.bias"), [1.5f32.to_bits(), (-0.0f32).to_bits()]);
    // 1/3 is 1.0101010101·2^-2 with ten digits behind the point, and 1.0101011·2^-2 with seven.
    assert_eq!(bits("half"), [0x3eaa_a000, 65504f32.to_bits(), (-0.0f32).to_bits()]);
    assert_eq!(bits("brain")[0], 0x3eab_0000);

    let entry = reader.tensor("encoder.weight").unwrap();
    assert_eq!((entry.kind(), entry.shape()), (TensorKind::Quantized, &[2, 5][..]));
    assert_eq!(entry.group_size(), GroupSize::new(4));
    let read = reader.quantized("encoder.weight").unwrap().widths().to_vec();
    assert_eq!(read, widths(&[2, 0, 16]));
    // (4·2 + 4·0 + 2·16) / 10
    assert_eq!(entry.mean_bits(), 4.0);
    assert_eq!(reader.tensor("encoder.whole").unwrap().group_size(), Some(GroupSize::WholeTensor));
    assert_eq!(reader.tensor("decoder.weight").unwrap().kind(), TensorKind::Alias { target: 0 });
    assert_eq!(reader.tensor("empty").unwrap().shape(), [0, 4]);
    assert_eq!(reader.tensor("scale").unwrap().shape(), [0usize; 0]);
    let encodings = ["encoder.weight", "coded.skewed", "half", "brain", "scale", "decoder.weight"]
        .map(|name| reader.tensor(name).unwrap().encoding());
    assert_eq!(
        encodings,
        [
            Encoding::Packed,
            Encoding::Coded,
            Encoding::Float16,
            Encoding::BFloat16,
            Encoding::Float32,
            Encoding::Packed
        ]
    );

    // Codes of 2 bits are 0 to 3, those of 10 bits steps of 3/1023, and the last four weights 0.
    let skewed = reader.values("coded.skewed").unwrap();
    assert_eq!(skewed[..9], [0.0, 3.0, 2.0, 1.0, 1.0, 3.0, 0.0, 2.0, 1.0]);
    assert_eq!((skewed[119], skewed[120], skewed[123]), (1.0, 0.0, 3.0));
    assert_eq!(skewed[124], (512.0 * 3.0 / 1023.0) as f32);
    assert_eq!(skewed[128..], [0.0; 4]);

    let reader = ContainerReader::new(LONG).unwrap();
    assert_eq!(reader.quantized("packed").unwrap().codes(), long_codes(16, 9750));
    assert_eq!(reader.quantized("coded").unwrap().codes(), long_codes(64, 9000));
    let floats = ["before", "between", "after"].map(|name| reader.values(name).unwrap());
    assert_eq!(floats, [vec![1.0, 2.0, 3.0], vec![4.0], vec![5.0]]);
    assert!(reader.size().unused() > 0, "the packed tensor is aligned");
    assert_eq!(reader.tensor("packed").unwrap().data_range().start % 64, 0);
}

/// Every value by hand. Signed levels of a half-width of 1 are -1, -1/2, 0, 1/2 at 2 bits, and of 2 with
/// 3 bits -2, -3/2 and so on up to 3/2.
#[test]
fn ranges_of_version_1_are_still_read() {
    assert_eq!(verify(RANGES), Ok(()));
    let reader = ContainerReader::new(RANGES).unwrap();
    let values = |name| reader.values(name).unwrap();
    assert_eq!(values("half"), [-0.5, 0.5, 1.0]);
    assert_eq!(values("signed"), [-1.0, -0.5, 0.0, 0.5]);
    assert_eq!(values("channel.packed"), [-1.0, 2.0, 1.0, 2.0, 0.5, 0.5]);
    assert_eq!(values("channel.coded"), [2.0, -1.0, 3.0, 0.0, 0.5, 0.5]);
    for name in ["group.packed", "group.coded", "tied"] {
        assert_eq!(values(name), [-1.0, 0.0, 0.5, 0.0, 0.0, 0.0, -2.0, 1.5], "{name}");
    }
    for name in ["many.own", "many.shared", "many.half", "many.full", "many.long"] {
        let values = values(name);
        for (channel, (minimum, maximum)) in many_ends().into_iter().enumerate() {
            for index in [2 * channel, 2 * channel + 1] {
                let code = f64::from(index as u16 % 7 % 4);
                // Half-widths are eighths, so that a third of one is what is rounded.
                let value = f64::from(minimum) + code * f64::from(maximum - minimum) / 3.0;
                assert!((f64::from(values[index]) - value).abs() < 1e-7, "{name} {index}");
            }
        }
    }
    let bytes = |name| reader.tensor(name).unwrap().bytes().ranges;
    // One number of two bytes for two of three groups, and two of four for three channels.
    assert_eq!((bytes("half"), bytes("signed"), bytes("group.packed")), (4, 4, 4));
    assert!(bytes("many.shared") < bytes("many.own"));
    let entry = reader.tensor("group.coded").unwrap();
    let found = (entry.range_granularity(), entry.grid_kind(), entry.range_form(), entry.range());
    let expected =
        (Some(RangeGranularity::Group), Some(GridKind::Signed), Some(RangeForm::SymmetricHalf), None);
    assert_eq!(found, expected);
}

/// `cargo test -p fewbit --test golden -- --ignored` makes the files, where there are none.
#[test]
#[ignore = "makes the golden files; released ones are never made again"]
fn make_the_golden_files() {
    let folder = concat!(env!("CARGO_MANIFEST_DIR"), "/../../fixtures/container/1/");
    let files = [
        ("golden", make_golden()),
        ("long", make_long()),
        ("ranges", make_ranges()),
        ("streams", make_streams()),
        ("raw", make_raw()),
        ("empty", ContainerWriter::new()),
    ];
    for (name, writer) in files {
        let path = format!("{folder}{name}.fewbit");
        if std::fs::metadata(&path).map_or(0, |found| found.len()) == 0 {
            std::fs::write(path, writer.to_bytes()).unwrap();
        }
    }
}
