//! A million forged files, and the corpus of the fuzz targets.

use std::fs;

use fewbit::arbitrary::{self, LIMITS, fit, repair};
use fewbit::container::verify_with_limits;
use fewbit::{
    BitWidth, CodeEncoding, ContainerWriter, ElementType, FloatEncoding, GridKind, GroupSize,
    QuantizedTensor, RangeForm, RangeGranularity, Ranges, ReadError,
};
use fewbit_kernels::rans::{Encoder, FrequencyTable, histogram};
use fewbit_testing::Numbers;

const GOLDEN: &[u8] = include_bytes!("../../../fixtures/container/1/golden.fewbit");
const RANGES: &[u8] = include_bytes!("../../../fixtures/container/1/ranges.fewbit");
const LONG: &[u8] = include_bytes!("../../../fixtures/container/1/long.fewbit");

/// Files that between them have every field of the format.
fn samples() -> Vec<Vec<u8>> {
    let mut numbers = Numbers::seeded(17);
    let mut writer = ContainerWriter::new();
    writer.metadata("model", "sample").unwrap();
    let encodings = [CodeEncoding::Coded, CodeEncoding::Packed, CodeEncoding::Coded];
    for (index, (size, encoding)) in [1usize, 8, 33].into_iter().zip(encodings).enumerate() {
        let weights = numbers.weights(100);
        let widths =
            (0..100usize.div_ceil(size)).map(|_| BitWidth::new(numbers.below(9) as u8).unwrap()).collect();
        let size = GroupSize::new(size).unwrap();
        let tensor = QuantizedTensor::quantize(&weights, &[10, 10], size, widths).unwrap();
        writer.quantized_as(&format!("layer{index}.weight"), &tensor, encoding).unwrap();
        let name = format!("layer{index}.bias");
        writer.float_as(&name, &[10], &weights[..10], FloatEncoding::Float16).unwrap();
    }
    writer.alias("tied", "layer0.weight").unwrap();
    vec![
        GOLDEN.to_vec(),
        writer.to_bytes(),
        RANGES.to_vec(),
        raw(),
        ranged(&mut numbers),
        ContainerWriter::new().to_bytes(),
    ]
}

/// A file of raw tensors beside floats, short enough for [`LIMITS`].
fn raw() -> Vec<u8> {
    let mut writer = ContainerWriter::new();
    for &elements in ElementType::ALL {
        writer.raw(elements.name(), &[2], elements, &[3; 16][..2 * elements.bytes()]).unwrap();
    }
    writer.float("scale", &[1], &[0.5]).and_then(|w| w.alias("tied", "int16")).unwrap();
    writer.to_bytes()
}

/// A file of tensors with many ranges, and little else.
fn ranged(numbers: &mut Numbers) -> Vec<u8> {
    let mut writer = ContainerWriter::new();
    let size = GroupSize::new(3).unwrap();
    let kinds = [
        (RangeGranularity::Channel, GridKind::Signed, RangeForm::SymmetricHalf, CodeEncoding::Coded),
        (RangeGranularity::Group, GridKind::Stepped, RangeForm::SymmetricHalf, CodeEncoding::Coded),
        (RangeGranularity::Group, GridKind::MinMax, RangeForm::Half, CodeEncoding::Coded),
        (RangeGranularity::Channel, GridKind::MinMax, RangeForm::Full, CodeEncoding::Packed),
        (RangeGranularity::Group, GridKind::MinMax, RangeForm::SymmetricFull, CodeEncoding::Packed),
        (RangeGranularity::Tensor, GridKind::Signed, RangeForm::SymmetricHalf, CodeEncoding::Packed),
    ];
    for (index, (granularity, kind, form, encoding)) in kinds.into_iter().enumerate() {
        let weights = numbers.weights(100);
        let widths = (0..34).map(|_| BitWidth::new(numbers.below(4) as u8).unwrap()).collect();
        let fitted = if kind == GridKind::Stepped { GridKind::Signed } else { kind };
        let ranges = Ranges::fit(&weights, &[50, 2], size, granularity, fitted, form).unwrap();
        let ranges = Ranges::new(granularity, kind, form, ranges.values().to_vec()).unwrap();
        let tensor = QuantizedTensor::quantize_with(&weights, ranges, &[50, 2], size, widths).unwrap();
        writer.quantized_as(&index.to_string(), &tensor, encoding).unwrap();
    }
    writer.to_bytes()
}

/// A number of 2^64 - 1, as a file has it.
const HUGE: [u8; 10] = [0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 1];

/// Changes one place of some bytes.
fn change(bytes: &mut Vec<u8>, numbers: &mut Numbers) {
    let at = numbers.below(bytes.len() + 1);
    let end = (at + 1 + numbers.below(8)).min(bytes.len());
    let interesting = [0, 1, 2, 3, 5, 16, 17, 0x7f, 0x80, 0xff];
    match (numbers.below(8), bytes.get(at).copied()) {
        (0, Some(byte)) => bytes[at] = byte.wrapping_add(1),
        (1, Some(byte)) => bytes[at] = byte.wrapping_sub(1),
        (2, Some(byte)) => bytes[at] = byte ^ (1 << numbers.below(8)),
        (3, Some(_)) => bytes[at] = interesting[numbers.below(interesting.len())],
        (4, Some(_)) if numbers.below(4) == 0 => bytes.truncate(at),
        (5, Some(_)) => drop(bytes.drain(at..end)),
        (6, Some(_)) => {
            let copied = bytes[at..end].to_vec();
            let to = numbers.below(bytes.len());
            bytes.splice(to..to, copied);
        }
        (7, Some(_)) => drop(bytes.splice(at..at, HUGE[..numbers.below(11)].iter().copied())),
        _ => bytes.push(numbers.bits() as u8),
    }
}

/// A file that differs from a sample in a few places of its head or its data, has the length that its
/// head then says, and right checksums; some have not.
fn mutate(sample: &[u8], numbers: &mut Numbers) -> Vec<u8> {
    const MARK: usize = 10;
    // Neither header is longer than two bytes can tell.
    let (length, number) = match sample[MARK] {
        low if low < 0x80 => (usize::from(low), 1),
        low => (usize::from(low & 0x7f) | usize::from(sample[MARK + 1]) << 7, 2),
    };
    let mut body = sample[MARK + number..][..length].to_vec();
    let mut data = sample[MARK + number + length + 4..].to_vec();
    for _ in 0..=numbers.below(3) {
        let part = if numbers.below(4) == 0 { &mut data } else { &mut body };
        change(part, numbers);
    }
    let mut bytes = sample[..MARK].to_vec();
    bytes.extend([body.len() as u8 | 0x80, (body.len() >> 7) as u8]);
    if body.len() < 0x80 {
        bytes.pop();
        bytes[MARK] &= 0x7f;
    }
    bytes.extend(body);
    bytes.extend([0; 4]);
    bytes.extend(data);
    match numbers.below(16) {
        0 => {}
        1..4 => repair(&mut bytes),
        _ => fit(&mut bytes),
    }
    bytes
}

#[test]
fn a_million_forged_files_are_read_or_refused() {
    const THREADS: u64 = 2;
    const ROUNDS: usize = 1_000_000 / THREADS as usize;
    let samples = samples();
    let run = |seed| {
        let mut numbers = Numbers::seeded(seed);
        let (mut read, mut sums) = (0, 0);
        for round in 0..ROUNDS {
            let bytes = mutate(&samples[round % samples.len()], &mut numbers);
            match verify_with_limits(&bytes, &LIMITS).map_err(|fault| fault.source) {
                Ok(()) => read += 1,
                Err(ReadError::ChecksumMismatch { .. }) => sums += 1,
                Err(_) => {}
            }
        }
        (read, sums)
    };
    let results: Vec<_> = std::thread::scope(|scope| {
        let threads: Vec<_> = (0..THREADS).map(|seed| scope.spawn(move || run(seed))).collect();
        threads.into_iter().map(|thread| thread.join().unwrap()).collect()
    });
    for (read, sums) in results {
        // Changed codes and floats are still a file; were none read, the mutations would be too coarse.
        assert!((ROUNDS / 100..ROUNDS * 9 / 10).contains(&read), "{read} of {ROUNDS} were read");
        // Nearly all were judged by their structure, not by a sum.
        assert!(sums < ROUNDS / 5, "{sums} of {ROUNDS} had a wrong checksum");
    }
}

#[test]
fn forged_files_have_the_values_of_their_codes() {
    let mut numbers = Numbers::seeded(4);
    let samples = samples();
    for round in 0..40_000 {
        arbitrary::read_arbitrary(&mutate(&samples[round % samples.len()], &mut numbers));
    }
    for sample in samples.iter().map(Vec::as_slice).chain([LONG]) {
        arbitrary::read_arbitrary(sample);
    }
}

#[test]
fn random_heads_tables_codes_and_streams_are_read_or_refused() {
    let mut numbers = Numbers::seeded(5);
    for _ in 0..50_000 {
        let mut bytes: Vec<u8> = (0..numbers.below(60)).map(|_| numbers.bits() as u8).collect();
        // Small numbers get further.
        bytes.iter_mut().for_each(|byte| *byte >>= numbers.below(9).min(7));
        arbitrary::read_header(&bytes);
        arbitrary::read_table(&bytes);
        arbitrary::unpack(&bytes);
        arbitrary::decode_entropy(&bytes);
    }
}

type Target = (&'static str, fn(&[u8]));

const TARGETS: [Target; 5] = [
    ("header", arbitrary::read_header),
    ("table", arbitrary::read_table),
    ("unpack", arbitrary::unpack),
    ("entropy", arbitrary::decode_entropy),
    ("file", arbitrary::read_arbitrary),
];

fn corpus(target: &str) -> String {
    format!("{}/../../fixtures/fuzz/{target}", env!("CARGO_MANIFEST_DIR"))
}

#[test]
fn every_file_of_the_fuzz_corpus_is_read_or_refused() {
    for (target, read) in TARGETS {
        let files = fs::read_dir(corpus(target)).unwrap();
        let mut count = 0;
        for file in files {
            read(&fs::read(file.unwrap().path()).unwrap());
            count += 1;
        }
        assert!(count > 0, "{target} has no corpus");
    }
}

/// A table, a number of symbols and their stream, as the fuzz target for streams reads them.
fn stream(count: usize) -> Vec<u8> {
    let mut numbers = Numbers::seeded(count as u64);
    let symbols: Vec<u8> = (0..count).map(|_| (8.0 + 2.0 * numbers.normal()) as u8).collect();
    let table = FrequencyTable::fit(&histogram(&symbols));
    let mut bytes = vec![];
    table.write(&mut bytes);
    bytes.extend(&(count as u32).to_le_bytes()[..3]);
    Encoder::new(&table).encode(&symbols, &mut bytes).unwrap();
    bytes
}

/// `cargo test -p fewbit --test mutations -- --ignored` writes the seeds that a fuzzer begins with.
#[test]
#[ignore = "writes seeds of the fuzz corpus"]
fn make_the_seeds_of_the_corpus() {
    let body = |file: &[u8]| {
        let length = usize::from(file[10] & 0x7f) | usize::from(file[11]) << 7;
        file[12..12 + length].to_vec()
    };
    let sample = &samples()[1];
    let head = body(sample);
    let metadata = "model".len() + "sample".len() + 3;
    let table = [&head[metadata..metadata + 1], &head[metadata + 1..]].concat();
    let seeds: [(&str, &str, Vec<u8>); 10] = [
        ("header", "golden", body(GOLDEN)),
        ("header", "sample", head),
        ("table", "sample", table),
        // Six codes in groups of two, a channel of one, widths of groups: 3, 0 and 5.
        ("unpack", "three-groups", vec![6, 0, 1, 0, 255, 3, 0, 5, 0b0111_0101, 0b1111_0100]),
        // A table of one symbol, and nine of these.
        ("entropy", "certain", vec![4, 3, 9, 0, 0]),
        ("entropy", "short", stream(300)),
        ("entropy", "lanes", stream(40_000)),
        ("file", "golden", GOLDEN.to_vec()),
        ("file", "sample", sample.clone()),
        ("file", "ranges", RANGES.to_vec()),
    ];
    for (target, name, bytes) in seeds {
        fs::create_dir_all(corpus(target)).unwrap();
        fs::write(format!("{}/{name}", corpus(target)), bytes).unwrap();
    }
}
