//! A file that a stranger may have sent: an error at worst, never a panic, never much memory.

use std::time::{Duration, Instant};

use fewbit::container::{FORMAT_VERSION, probe, probe_with_limits};
use fewbit::{BitWidth, ContainerReader, ContainerWriter, GroupSize, Limits, QuantizedTensor, ReadError};
use fewbit_testing::Numbers;

const GOLDEN: &[u8] = include_bytes!("../../../fixtures/container/0/golden.fewbit");

/// Small enough that each of many thousand files is read in no time.
const SMALL: Limits =
    Limits { header_bytes: 1 << 12, tensors: 64, elements: 1 << 12, output_bytes: 1 << 13, metadata: 8 };

/// A file of these fields, as the format has them, with a right check sum.
fn file(fields: &[&[u8]]) -> Vec<u8> {
    let mark = [&GOLDEN[..8], &FORMAT_VERSION.to_le_bytes()].concat();
    let mut bytes = [&mark[..], &fields.concat()].concat();
    let sum = crc32fast::hash(&bytes);
    bytes.extend_from_slice(&sum.to_le_bytes());
    bytes
}

fn error(fields: &[&[u8]]) -> ReadError {
    ContainerReader::new(&file(fields)).unwrap_err()
}

/// Range 0 to 1.
const RANGE: &[u8] = &[0, 0, 0, 0, 0, 0, 0x80, 0x3f];
/// A number of 2^64 - 1, and one of 2^60.
const HUGE: &[u8] = &[0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 1];
const LARGE: &[u8] = &[0x80, 0x80, 0x80, 0x80, 0x80, 0x80, 0x80, 0x80, 0x10];

#[test]
fn every_prefix_is_an_error_that_says_the_file_is_cut() {
    for len in 0..GOLDEN.len() {
        match probe(&GOLDEN[..len]) {
            Err(ReadError::Empty) => assert_eq!(len, 0),
            Err(ReadError::Truncated { found, needed, .. }) => assert!((found as u64) < needed),
            other => panic!("{len} bytes: {other:?}"),
        }
    }
    assert_eq!(probe(GOLDEN), Ok(()));
}

#[test]
fn every_flipped_bit_is_found() {
    for bit in 0..8 * GOLDEN.len() {
        let mut bytes = GOLDEN.to_vec();
        bytes[bit / 8] ^= 1 << (bit % 8);
        assert!(ContainerReader::new(&bytes).is_err(), "bit {bit}");
    }
}

#[test]
fn whatever_follows_the_file_is_found() {
    for extra in 1..20 {
        let bytes = [GOLDEN, &vec![0; extra]].concat();
        assert!(matches!(probe(&bytes), Err(ReadError::ChecksumMismatch { .. })));
    }
    assert_eq!(error(&[&[0, 0], &[7, 7, 7]]), ReadError::TrailingBytes { found: 3 });
}

#[test]
fn another_file_is_told_by_its_first_bytes() {
    let texts: [&[u8]; 4] = [b"PK\x03\x04aaaaaaaaaaa", b"x", &[0; 100], b"\x89PNG\r\n\x1a\n"];
    for bytes in texts {
        let found = bytes[..bytes.len().min(8)].to_vec();
        assert_eq!(probe(bytes), Err(ReadError::NotFewbit { found }));
    }
    // A transfer in text mode turns \r\n into \n, or \n into \r\n.
    let unix: Vec<u8> = GOLDEN.iter().copied().filter(|&byte| byte != b'\r').collect();
    assert!(matches!(probe(&unix), Err(ReadError::NotFewbit { .. })));
    assert!(std::str::from_utf8(&GOLDEN[..8]).is_err());
}

#[test]
fn a_later_version_asks_for_an_update() {
    let mut bytes = GOLDEN.to_vec();
    bytes[8] = 7;
    let message = probe(&bytes).unwrap_err().to_string();
    assert_eq!(message, "file has format version 7, this reader knows up to 0: update fewbit");
}

#[test]
fn bad_metadata_is_a_typed_error() {
    assert_eq!(error(&[&[1, 0, 0, 0]]), ReadError::EmptyKey { index: 0 });
    let key = "k".to_owned();
    assert_eq!(error(&[&[2, 1, b'k', 0, 1, b'k', 0, 0]]), ReadError::DuplicateKey { key });
    assert!(matches!(error(&[&[1, 1, 0xff, 0, 0]]), ReadError::NotText { .. }));
    assert!(matches!(error(&[HUGE]), ReadError::OverLimit { .. }));
    assert!(matches!(error(&[&[1], LARGE]), ReadError::Truncated { .. }));
    // 1 in two bytes, and 2^64.
    assert!(matches!(error(&[&[0x81, 0]]), ReadError::BadNumber { .. }));
    let over = [&HUGE[..9], &[2]].concat();
    assert!(matches!(error(&[&over]), ReadError::BadNumber { .. }));
}

#[test]
fn bad_names_are_typed_errors() {
    let scalar = [&[1u8, 0][..]].concat();
    assert_eq!(error(&[&[0, 1, 0, 0], &scalar]), ReadError::EmptyName { index: 0 });
    assert!(matches!(
        error(&[&[0, 1, 1, 0], &scalar]),
        ReadError::SharedTooLong { index: 0, shared: 1, previous: 0 }
    ));
    let name = "a".to_owned();
    let twice = error(&[&[0, 2, 0, 1, b'a'], &scalar, &[1, 0], &scalar]);
    assert_eq!(twice, ReadError::DuplicateName { name });
    assert!(matches!(error(&[&[0, 1, 0, 1, 0xc3], &scalar]), ReadError::NotText { .. }));
    assert!(matches!(error(&[&[0, 1, 0], HUGE]), ReadError::OverLimit { .. }));
    assert!(matches!(error(&[&[0], HUGE]), ReadError::OverLimit { .. }));
}

#[test]
fn bad_kinds_and_aliases_are_typed_errors() {
    let name = "a".to_owned();
    assert_eq!(error(&[&[0, 1, 0, 1, b'a', 3]]), ReadError::UnknownKind { name, found: 3 });
    let first = [0, 3, 0, 1, b'a', 1, 0];
    // To itself, to a later one, and to an alias.
    for target in [1, 2, 9] {
        let name = "b".to_owned();
        let found = error(&[&first, &[0, 1, b'b', 2, target]]);
        assert_eq!(found, ReadError::AliasTarget { name, target: target.into() });
    }
    let found = error(&[&first, &[0, 1, b'b', 2, 0], &[0, 1, b'c', 2, 1]]);
    assert!(matches!(found, ReadError::AliasOfAlias { .. }));
}

#[test]
fn bad_shapes_are_refused_before_memory_is_spent() {
    let start = [0, 1, 0, 1, b'a', 1];
    assert!(matches!(error(&[&start, &[9]]), ReadError::OverLimit { .. }));
    assert!(matches!(error(&[&start, &[2], LARGE, LARGE]), ReadError::ShapeOverflow { .. }));
    assert!(matches!(error(&[&start, &[1], LARGE]), ReadError::OverLimit { .. }));
    // 2^26 floats are within the limits, but not in the file.
    let many = [0x80, 0x80, 0x80, 0x20];
    assert!(matches!(
        error(&[&start, &[1], &many]),
        ReadError::Truncated { needed: 0x1000_0000, found: 0, .. }
    ));
    // As are so many groups whose widths differ.
    let quantized = [0, 1, 0, 1, b'a', 0, 1];
    assert!(matches!(
        error(&[&quantized, &many, &[1], RANGE, &[2, 3]]),
        ReadError::Truncated { found: 0, .. }
    ));
}

#[test]
fn the_values_of_all_tensors_are_limited_together() {
    let pruned = |count: u8| {
        let mut fields = vec![0, count];
        for index in 0..count {
            fields.extend([0, 1, b'a' + index, 0, 1, 0x80, 0x10, 0]);
            fields.extend(RANGE);
            fields.extend([0, 0]);
        }
        file(&[&fields])
    };
    // 2,048 pruned weights each, in no bytes of codes.
    assert_eq!(probe_with_limits(&pruned(2), &SMALL), Ok(()));
    assert!(matches!(
        probe_with_limits(&pruned(3), &SMALL),
        Err(ReadError::OverLimit { found: 6144, limit: 4096, .. })
    ));
}

#[test]
fn bad_widths_and_padding_are_typed_errors() {
    // Three weights in groups of one.
    let start = [0, 1, 0, 1, b'a', 0, 1, 3, 1];
    for widths in [[3, 2], [0, 17], [17, 17], [255, 255]] {
        assert!(matches!(error(&[&start, RANGE, &widths]), ReadError::BadWidths { .. }));
    }
    let nan = f32::NAN.to_le_bytes();
    for range in [[nan, nan], [1f32.to_le_bytes(), 0f32.to_le_bytes()]] {
        assert!(matches!(error(&[&start, &range.concat(), &[2, 2]]), ReadError::BadTensor { .. }));
    }
    // Widths 2 to 4 take two bits each; an offset of 3 would be width 5.
    assert!(matches!(
        error(&[&start, RANGE, &[2, 4], &[0b11]]),
        ReadError::WidthAboveMaximum { group: 0, found: 5, maximum: 4, .. }
    ));
    assert!(matches!(
        error(&[&start, RANGE, &[2, 4], &[0b100_0000], &[0]]),
        ReadError::BadPacking { what: "widths", .. }
    ));
    // Three codes of two bits leave two bits of padding.
    assert!(matches!(
        error(&[&start, RANGE, &[2, 2], &[0b100_0000]]),
        ReadError::BadPacking { what: "codes", .. }
    ));
    assert_eq!(probe(&file(&[&start, RANGE, &[2, 2], &[0b11_1111]])), Ok(()));
}

/// Files that between them have every field of the format.
fn samples() -> Vec<Vec<u8>> {
    let mut numbers = Numbers::seeded(17);
    let mut writer = ContainerWriter::new();
    writer.metadata("model", "sample").unwrap();
    for (index, size) in [1usize, 8, 33].into_iter().enumerate() {
        let weights = numbers.weights(100);
        let widths =
            (0..100usize.div_ceil(size)).map(|_| BitWidth::new(numbers.below(9) as u8).unwrap()).collect();
        let size = GroupSize::new(size).unwrap();
        let tensor = QuantizedTensor::quantize(&weights, &[10, 10], size, widths).unwrap();
        writer.quantized(&format!("layer{index}.weight"), &tensor).unwrap();
        writer.float(&format!("layer{index}.bias"), &[10], &weights[..10]).unwrap();
    }
    writer.alias("tied", "layer0.weight").unwrap();
    vec![GOLDEN.to_vec(), writer.to_bytes(), ContainerWriter::new().to_bytes()]
}

/// Changes a few bytes, mostly where the header and the table are, and makes the check sum right.
fn mutate(sample: &[u8], numbers: &mut Numbers) -> Vec<u8> {
    const MARK: usize = 10;
    let mut body = sample[..sample.len() - 4].to_vec();
    for _ in 0..=numbers.below(3) {
        let front = match numbers.below(4) {
            0 => body.len(),
            _ => body.len().min(120),
        };
        let at = MARK + numbers.below(front.saturating_sub(MARK));
        let end = (at + 1 + numbers.below(8)).min(body.len());
        let interesting = [0, 1, 2, 3, 16, 17, 0x7f, 0x80, 0xff];
        match (numbers.below(8), body.get(at).copied()) {
            (0, Some(byte)) => body[at] = byte.wrapping_add(1),
            (1, Some(byte)) => body[at] = byte.wrapping_sub(1),
            (2, Some(byte)) => body[at] = byte ^ (1 << numbers.below(8)),
            (3, Some(_)) => body[at] = interesting[numbers.below(interesting.len())],
            (4, Some(_)) => body.truncate(at),
            (5, Some(_)) => drop(body.drain(at..end)),
            (6, Some(_)) => {
                let copied = body[at..end].to_vec();
                let to = MARK + numbers.below(body.len() - MARK);
                body.splice(to..to, copied);
            }
            (_, Some(_)) => drop(body.splice(at..at, HUGE[..numbers.below(11)].iter().copied())),
            (_, None) => body.push(numbers.bits() as u8),
        }
    }
    let sum = crc32fast::hash(&body);
    body.extend_from_slice(&sum.to_le_bytes());
    body
}

#[test]
fn a_hundred_thousand_forged_files_are_read_or_refused_in_no_time() {
    let mut numbers = Numbers::seeded(4);
    let samples = samples();
    let (mut read, mut slowest) = (0, Duration::ZERO);
    for round in 0..100_000 {
        let bytes = mutate(&samples[round % samples.len()], &mut numbers);
        let start = Instant::now();
        match probe_with_limits(&bytes, &SMALL) {
            Ok(()) => read += 1,
            // The check sum is right, so the structure was judged, not the sum.
            Err(ReadError::ChecksumMismatch { .. }) => panic!("round {round}: not reached"),
            Err(_) => {}
        }
        slowest = slowest.max(start.elapsed());
    }
    // Changed codes and floats are still a file; were none read, the mutations would be too coarse.
    assert!((1_000..99_000).contains(&read), "{read} of 100,000 were read");
    // Microseconds, in truth; the bound leaves room for a machine that is busy with other things.
    assert!(slowest < Duration::from_secs(2), "{slowest:?}");
}

#[test]
fn what_a_forged_file_holds_can_be_written_again() {
    let mut numbers = Numbers::seeded(5);
    let sample = &samples()[1];
    for _ in 0..5_000 {
        let bytes = mutate(sample, &mut numbers);
        let Ok(reader) = ContainerReader::with_limits(&bytes, &SMALL) else {
            continue;
        };
        let size = reader.size();
        assert_eq!(size.bytes(), bytes.len() as u64);
        for entry in reader.tensors() {
            assert!((0.0..=32.0).contains(&entry.mean_bits()));
            assert_eq!(reader.values(entry.name()).unwrap().len(), entry.len());
        }
    }
}

#[test]
fn random_bytes_are_refused() {
    let mut numbers = Numbers::seeded(6);
    for _ in 0..10_000 {
        let bytes: Vec<u8> = (0..numbers.below(200)).map(|_| numbers.bits() as u8).collect();
        assert!(probe(&bytes).is_err());
        let _ = probe_with_limits(&file(&[&bytes]), &SMALL);
    }
}
