//! A file that a stranger may have sent: an error at worst, never a panic, never much memory.

use fewbit::arbitrary::{LIMITS, repair};
use fewbit::container::{CodingError, PaletteError, Section, verify_with_limits};
use fewbit::{ContainerReader, ElementType, Limits, ReadError, verify};
use fewbit_kernels::rans::{FrequencyTable, Palette};
use fewbit_testing::Numbers;
use rayon::prelude::*;

const GOLDEN: &[u8] = include_bytes!("../../../fixtures/container/1/golden.fewbit");
const LONG: &[u8] = include_bytes!("../../../fixtures/container/1/long.fewbit");
const RANGES: &[u8] = include_bytes!("../../../fixtures/container/1/ranges.fewbit");
const STREAMS: &[u8] = include_bytes!("../../../fixtures/container/1/streams.fewbit");
const RAW: &[u8] = include_bytes!("../../../fixtures/container/1/raw.fewbit");
const EMPTY: &[u8] = include_bytes!("../../../fixtures/container/1/empty.fewbit");

/// A file of this head, without its mark and checksum, and these data, with right checksums.
fn file(head: &[&[u8]], data: &[u8]) -> Vec<u8> {
    let body = head.concat();
    let mut bytes = GOLDEN[..10].to_vec();
    let mut length = body.len();
    while length >= 0x80 {
        bytes.push(length as u8 | 0x80);
        length >>= 7;
    }
    bytes.push(length as u8);
    bytes.extend(body);
    bytes.extend([0; 4]);
    bytes.extend(data);
    bytes.extend([0; 4]);
    repair(&mut bytes);
    bytes
}

/// What is wrong with a file.
fn probe(bytes: &[u8]) -> Result<(), ReadError> {
    verify(bytes).map_err(|fault| fault.source)
}

/// The same, for a reader that allows little.
fn probe_within(bytes: &[u8]) -> Result<(), ReadError> {
    verify_with_limits(bytes, &LIMITS).map_err(|fault| fault.source)
}

/// The error of a file of one or more tensors, none of which has data.
fn error(head: &[&[u8]]) -> ReadError {
    ContainerReader::new(&file(head, &[])).unwrap_err()
}

/// Limits that allow as many values as can be counted.
fn without_limits() -> Limits {
    let mut limits = Limits::default();
    (limits.elements, limits.output_bytes) = (u64::MAX, u64::MAX);
    limits
}

/// Range 0 to 1.
const RANGE: &[u8] = &[0, 0, 0, 0, 0, 0, 0x80, 0x3f];
/// A number of 2^64 - 1, and one of 2^60.
const HUGE: &[u8] = &[0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 1];
const LARGE: &[u8] = &[0x80, 0x80, 0x80, 0x80, 0x80, 0x80, 0x80, 0x80, 0x10];
/// Room for the checksum of one section.
const SUM: &[u8] = &[0; 4];

#[test]
fn every_prefix_is_an_error_that_says_the_file_is_cut() {
    for golden in [GOLDEN, LONG, RANGES, STREAMS, RAW, EMPTY] {
        for len in 0..golden.len() {
            match probe(&golden[..len]) {
                Err(ReadError::Empty) => assert_eq!(len, 0),
                Err(ReadError::Truncated { found, needed, .. }) => assert!((found as u64) < needed),
                other => panic!("{len} bytes: {other:?}"),
            }
            assert!(ContainerReader::new(&golden[..len]).is_err());
        }
        assert_eq!(probe(golden), Ok(()));
    }
}

#[test]
fn every_flipped_bit_is_found() {
    for golden in [GOLDEN, LONG, RANGES, STREAMS, RAW, EMPTY] {
        (0..8 * golden.len()).into_par_iter().for_each(|bit| {
            let mut bytes = golden.to_vec();
            bytes[bit / 8] ^= 1 << (bit % 8);
            assert!(verify(&bytes).is_err(), "bit {bit}");
            assert!(ContainerReader::new(&bytes).is_err(), "bit {bit}");
        });
    }
}

#[test]
fn whatever_follows_the_file_is_found() {
    for golden in [GOLDEN, LONG, RANGES, STREAMS, RAW, EMPTY] {
        for extra in 1..20 {
            let bytes = [golden, &vec![0; extra]].concat();
            let fault = verify(&bytes).unwrap_err();
            assert_eq!(fault.source, ReadError::TrailingBytes { found: extra });
            assert_eq!((fault.section, fault.offset), (Section::End, golden.len() as u64));
        }
    }
    assert_eq!(error(&[&[0, 0], &[7, 7, 7]]), ReadError::BytesAfterTable { found: 3 });
}

#[test]
fn a_fault_is_told_with_its_section_and_where_it_is() {
    let reader = ContainerReader::new(LONG).unwrap();
    let at = |name| reader.tensor(name).unwrap().data_range().start as usize;
    let fault_of = |offset: usize| {
        let mut bytes = LONG.to_vec();
        bytes[offset] ^= 1;
        verify(&bytes).unwrap_err()
    };
    let names = ["before", "packed", "between", "coded", "after"];
    for (index, name) in names.into_iter().enumerate() {
        let fault = fault_of(at(name));
        let tensor = name.to_owned();
        assert_eq!(fault.section, Section::Data { index, tensor });
        assert_eq!(fault.offset, at(name) as u64);
        assert!(matches!(fault.source, ReadError::ChecksumMismatch { .. }));
    }
    let fault = fault_of(at("packed") - 1);
    assert!(matches!(fault.source, ReadError::FillNotZero { .. }));
    assert_eq!(fault.offset, at("packed") as u64 - 1);
    assert_eq!(fault.to_string(), format!("fault in section 1, tensor `packed`, at byte {}", fault.offset));
    assert_eq!(fault_of(LONG.len() - 1).section, Section::End);
    for offset in [0, 8, 12, at("before") - 1] {
        assert_eq!(fault_of(offset).section, Section::Head, "byte {offset}");
    }
    // A section of several tensors names the one that is at fault, once the sum does not tell.
    let reader = ContainerReader::new(GOLDEN).unwrap();
    // Ten codes of 2, 0 and 16 bits come first: 5 bytes; then the widths.
    let offset = reader.tensor("encoder.weight").unwrap().data_range().start as usize + 5;
    let mut bytes = GOLDEN.to_vec();
    bytes[offset] = 0xff;
    repair(&mut bytes);
    let fault = verify(&bytes).unwrap_err();
    assert_eq!(fault.offset, offset as u64);
    assert_eq!(fault.section, Section::Data { index: 0, tensor: "encoder.weight".to_owned() });
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
    assert_eq!(message, "file has format version 7, this reader knows up to 1: update fewbit");
    bytes[8] = 0;
    assert_eq!(probe(&bytes), Err(ReadError::UnreleasedVersion { found: 0 }));
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
fn a_header_that_says_it_is_endless_is_refused() {
    for length in [HUGE, LARGE, &[0x81, 0x80, 0x80, 0x08]] {
        let bytes = [&GOLDEN[..10], length, &GOLDEN[12..]].concat();
        assert!(matches!(probe(&bytes), Err(ReadError::OverLimit { .. })), "{length:?}");
    }
}

#[test]
fn a_head_without_end_is_an_error_without_limits_too() {
    let bytes = [&GOLDEN[..10], &[0xff; 9], &[1]].concat();
    let mut endless = Limits::default();
    endless.header_bytes = usize::MAX;
    assert!(matches!(ContainerReader::with_limits(&bytes, &endless), Err(ReadError::Truncated { .. })));
}

#[test]
fn bad_names_are_typed_errors() {
    // A tensor of floats without elements: encoding 0, one dimension of 0.
    let none: &[u8] = &[0, 1, 0];
    assert_eq!(error(&[&[0, 1, 0, 0], none]), ReadError::EmptyName { index: 0 });
    assert!(matches!(
        error(&[&[0, 1, 1, 0], none]),
        ReadError::SharedTooLong { index: 0, shared: 1, previous: 0 }
    ));
    let name = "a".to_owned();
    let twice = error(&[&[0, 2, 0, 2, b'a'], none, &[1, 0], none]);
    assert_eq!(twice, ReadError::DuplicateName { name });
    assert!(matches!(error(&[&[0, 1, 0, 2, 0xc3], none]), ReadError::NotText { .. }));
    // The largest even number; the odd ones say that the rest is that of a name before.
    let even = [&[0xfe], &HUGE[1..]].concat();
    assert!(matches!(error(&[&[0, 1, 0], &even]), ReadError::OverLimit { .. }));
    let back = u64::MAX / 2;
    assert_eq!(error(&[&[0, 1, 0], HUGE]), ReadError::NoSuchName { index: 0, back });
    let back = 1;
    assert_eq!(error(&[&[0, 2, 0, 2, b'a'], none, &[0, 3]]), ReadError::NoSuchName { index: 1, back });
    let name = "a".to_owned();
    assert_eq!(error(&[&[0, 2, 0, 2, b'a'], none, &[0, 1], none]), ReadError::DuplicateName { name });
    assert!(matches!(error(&[&[0], HUGE]), ReadError::OverLimit { .. }));
    let long = [&[0, 1, 0, 0x82, 0x10][..], &[b'n'; 1025], none].concat();
    assert!(matches!(error(&[&long]), ReadError::OverLimit { found: 1025, limit: 1024, .. }));
}

#[test]
fn bad_encodings_and_aliases_are_typed_errors() {
    let name = "a".to_owned();
    assert_eq!(
        error(&[&[0, 1, 0, 2, b'a', 7, 0]]),
        ReadError::UnknownEncoding { name: name.clone(), found: 7 }
    );
    let last = error(&[&[0, 1, 0, 2, b'a', 7 | 31 << 3, 255]]);
    assert_eq!(last, ReadError::UnknownEncoding { name: name.clone(), found: 262 });
    assert_eq!(last.to_string(), "tensor `a` has the unknown encoding 262: update fewbit");
    assert!(matches!(error(&[&[0, 1, 0, 2, b'a', 7]]), ReadError::Truncated { .. }));
    // The number for other levels than a uniform grid's is followed by which they are.
    for encoding in [1, 2] {
        for found in [0, 1, 255] {
            let name = name.clone();
            let error = error(&[&[0, 1, 0, 2, b'a', encoding | 3 << 3, 1, 0, found]]);
            assert_eq!(error, ReadError::UnknownLevels { name, found });
        }
        assert!(matches!(
            error(&[&[0, 1, 0, 2, b'a', encoding | 3 << 3, 1, 0]]),
            ReadError::Truncated { .. }
        ));
    }
    // No fourth granularity, whatever else the bits say.
    for found in [7, 11, 15, 19, 23, 27, 31] {
        for encoding in [1, 2] {
            let name = name.clone();
            let form = encoding | found << 3;
            let shape: &[u8] = &[1, 0];
            assert_eq!(error(&[&[0, 1, 0, 2, b'a', form], shape]), ReadError::UnknownRanges { name, found });
        }
    }
    // Floats and aliases have no ranges.
    let floats = |form: u8| error(&[&[0, 1, 0, 2, b'a', form, 1, 0]]);
    for (encoding, found) in [(0, 1), (3, 4), (4, 28)] {
        let name = name.clone();
        assert_eq!(floats(encoding | found << 3), ReadError::UnknownRanges { name, found });
    }
    let tied = error(&[&[0, 2, 0, 2, b'a', 0, 1, 0], &[0, 2, b'b', 5 | 1 << 3, 0]]);
    assert!(matches!(tied, ReadError::UnknownRanges { found: 1, .. }));
    let first = [0, 3, 0, 2, b'a', 0, 1, 0];
    // To itself, to a later one, and to an alias.
    for target in [1, 2, 9] {
        let name = "b".to_owned();
        let found = error(&[&first, &[0, 2, b'b', 5, target]]);
        assert_eq!(found, ReadError::AliasTarget { name, target: target.into() });
    }
    let found = error(&[&first, &[0, 2, b'b', 5, 0], &[0, 2, b'c', 5, 1]]);
    assert!(matches!(found, ReadError::AliasOfAlias { .. }));
}

#[test]
fn raw_tensors_of_no_type_or_too_many_bytes_are_typed_errors() {
    let name = "a".to_owned();
    for found in [13, 31] {
        let error = error(&[&[0, 1, 0, 2, b'a', 6 | found << 3, 1, 0]]);
        assert_eq!(error, ReadError::UnknownElements { name: name.clone(), found });
    }
    // 2^29 elements of eight bytes are as many as may be, one more is not.
    let start = [0, 1, 0, 2, b'a', 6 | 6 << 3, 1];
    let most = error(&[&start, &[0x80, 0x80, 0x80, 0x80, 2], SUM]);
    assert!(matches!(most, ReadError::Truncated { .. }), "{most}");
    let over = error(&[&start, &[0x81, 0x80, 0x80, 0x80, 2], SUM]);
    assert!(matches!(over, ReadError::OverLimit { .. }), "{over}");
    // An alias counts as many bytes again.
    let tied = error(&[&[0, 2], &start[2..], &[0x81, 0x80, 0x80, 0x80, 1], &[0, 2, b'b', 5, 0], SUM]);
    assert!(matches!(tied, ReadError::OverLimit { what: "bytes of all values", .. }), "{tied}");
    let large = file(&[&start, LARGE, SUM], &[]);
    assert!(ContainerReader::with_limits(&large, &without_limits()).is_err());
}

#[test]
fn what_is_asked_of_a_raw_tensor_but_its_bytes_is_a_typed_error() {
    let reader = ContainerReader::new(RAW).unwrap();
    let (name, found) = ("places".to_owned(), ElementType::Int64);
    for error in
        [reader.values("places").unwrap_err(), reader.values_into("places", &mut [0.0; 600]).unwrap_err()]
    {
        // It is the tensor itself that is named.
        assert_eq!(error, ReadError::NotFloats { name: "positions".to_owned(), found });
    }
    assert!(matches!(reader.quantized(&name), Err(ReadError::NotQuantized { .. })));
    let name = "scale".to_owned();
    assert_eq!(reader.raw("scale"), Err(ReadError::NotRaw { name, found: "float32" }));
}

#[test]
fn bad_shapes_are_refused_before_memory_is_spent() {
    let start = [0, 1, 0, 2, b'a', 0];
    assert!(matches!(error(&[&start, &[9]]), ReadError::OverLimit { .. }));
    assert!(matches!(error(&[&start, &[2], LARGE, LARGE]), ReadError::ShapeOverflow { .. }));
    assert!(matches!(error(&[&start, &[1], HUGE]), ReadError::ShapeOverflow { .. }));
    let large = &[0x80, 0x80, 0x80, 0x80, 0x40];
    assert!(matches!(error(&[&start, &[1], large]), ReadError::OverLimit { .. }));
    // With no limits at all, sizes still do not overflow.
    let most: &[u8] = &[0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0x0f];
    // One group of 16 bits; coded in streams of as many bytes, or packed.
    let group: &[u8] = &[0, 16, 16];
    let coded = [group, &[1], &table_bytes(&[8, 8]), &[8], most, most, most, RANGE].concat();
    for (encoding, more) in [(0, vec![]), (1, [group, RANGE].concat()), (2, coded), (3, vec![])] {
        let bytes = file(&[&[0, 1, 0, 2, b'a', encoding, 1], most, &more, SUM], &[]);
        assert!(ContainerReader::with_limits(&bytes, &without_limits()).is_err(), "{encoding}");
    }
    // 2^26 floats are within the limits, but not in the file.
    let many = [0x80, 0x80, 0x80, 0x20];
    assert!(matches!(
        error(&[&start, &[1], &many, SUM]),
        ReadError::Truncated { needed: 0x1000_0000, found: 4, .. }
    ));
    // As are so many groups whose widths differ: half of them are of 2 bits.
    let quantized = [0, 1, 0, 2, b'a', 1, 1];
    let half = [0x80, 0x80, 0x80, 0x10];
    assert!(matches!(
        error(&[&quantized, &many, &[1], &[2, 3], &half, RANGE, SUM]),
        ReadError::Truncated { needed: 0x1c0_0000, found: 0, offset: 64, .. }
    ));
}

#[test]
fn the_values_of_all_tensors_are_limited_together() {
    // 8,192 pruned weights each, in no bytes of codes.
    let pruned = |count: u8| {
        let mut head = vec![0, count];
        for index in 0..count {
            head.extend([0, 2, b'a' + index, 1, 1, 0x80, 0x40, 0, 0, 0]);
            head.extend(RANGE);
        }
        file(&[&head], &[])
    };
    assert_eq!(probe_within(&pruned(2)), Ok(()));
    assert!(matches!(probe_within(&pruned(3)), Err(ReadError::OverLimit { found: 24576, limit: 16384, .. })));
    // An alias stores nothing, but whoever reads every name gets the values once more.
    let mut head = vec![0, 3, 0, 2, b'a', 1, 1, 0x80, 0x40, 0, 0, 0];
    head.extend(RANGE);
    head.extend([0, 2, b'b', 5, 0, 0, 2, b'c', 5, 0]);
    let tied = file(&[&head], &[]);
    assert!(matches!(probe_within(&tied), Err(ReadError::OverLimit { found: 98304, limit: 65536, .. })));
}

#[test]
fn bad_widths_and_padding_are_typed_errors() {
    // Three weights in groups of one.
    let start: &[u8] = &[0, 1, 0, 2, b'a', 1, 1, 3, 1];
    for widths in [[3, 2], [0, 17], [17, 17], [255, 255]] {
        assert!(matches!(error(&[start, &widths, RANGE]), ReadError::BadWidths { .. }));
    }
    let nan = f32::NAN.to_le_bytes();
    for range in [[nan, nan], [1f32.to_le_bytes(), 0f32.to_le_bytes()]] {
        assert!(matches!(error(&[start, &[2, 2], &range.concat()]), ReadError::BadRange { index: 0, .. }));
    }
    // More groups of width 2 than there are, none of it, all of it, and too many to count.
    for count in [4, 0, 3, 127] {
        let found = error(&[start, &[2, 3], &[count, 0], RANGE]);
        assert!(matches!(found, ReadError::BadWidthCounts { groups: 3, .. }), "{count}");
    }
    // Four weights in groups of three: the last group is shorter, and its width must occur.
    let ragged: &[u8] = &[0, 1, 0, 2, b'a', 1, 1, 4, 3];
    for last in [3, 17] {
        let found = error(&[ragged, &[2, 4], &[1, 0, last], RANGE]);
        assert!(matches!(found, ReadError::BadWidthCounts { groups: 2, .. }));
    }
    // Widths 2, 2 and 4 take two bits each, after one byte of codes; an offset of 3 would be width 5.
    let three = |codes: u8, widths: u8| file(&[start, &[2, 4], &[2, 0], RANGE, SUM], &[codes, widths]);
    assert_eq!(probe(&three(0, 0b10_0000)), Ok(()));
    assert!(matches!(
        probe(&three(0, 0b11)),
        Err(ReadError::WidthAboveMaximum { group: 0, found: 5, maximum: 4, .. })
    ));
    assert!(matches!(probe(&three(0, 0b00_1010)), Err(ReadError::WidthsDiffer { .. })));
    assert!(matches!(probe(&three(0, 0b110_0000)), Err(ReadError::BadPacking { what: "widths", .. })));
    // Three codes of two bits leave two bits of padding, and need no more than one byte.
    let two = |data: &[u8]| probe(&file(&[start, &[2, 2], RANGE, SUM], data));
    assert_eq!(two(&[0b11_1111]), Ok(()));
    assert!(matches!(two(&[0b100_0000]), Err(ReadError::BadPacking { what: "codes", .. })));
    assert!(matches!(two(&[0, 0]), Err(ReadError::TrailingBytes { found: 1 })));
}

#[test]
fn bad_streams_are_typed_errors() {
    // Sixteen weights of two bits in one group, coded.
    let start: &[u8] = &[0, 1, 0, 2, b'a', 2, 1, 16, 0];
    let one = |directory: &[u8], data: &[u8]| {
        let sum = if data.is_empty() { &[] } else { SUM };
        probe(&file(&[start, &[2, 2], directory, RANGE, sum], data))
    };
    let table = |found: Result<(), ReadError>| {
        assert!(matches!(found, Err(ReadError::BadCoding { what: "frequencies", .. })), "{found:?}");
    };
    // Stored as they are; and all of them 3, which takes no stream.
    assert_eq!(one(&[0], &[0; 4]), Ok(()));
    assert_eq!(one(&[1, ONLY, 3], &[]), Ok(()));
    assert!(matches!(one(&[3], &[]), Err(ReadError::UnknownModel { found: 3, .. })));
    // Two bits say so; the others are zero.
    assert!(matches!(one(&[4], &[0; 4]), Err(ReadError::BadPacking { what: "models", .. })));
    // No tensor before it has frequencies to share.
    table(one(&[2, 4], &[0; 4]));
    // A symbol of 4, a table that is cut, one of no form, one with bits behind it.
    table(one(&[1, ONLY, 4], &[]));
    table(Err(error(&[start, &[2, 2], &[1, ONLY]])));
    table(one(&[1, 0xff, 0], &[]));
    table(one(&[1, LISTED, 1, 0b1111, 0xff], &[]));
    // Half 0 and half 1: a stream of no bytes, of a state out of bounds, one too short, and one too long.
    let halves = table_bytes(&[8, 8]);
    let directory = |len: u8| [&[1], &halves[..], &[len]].concat();
    let stream = |data: &[u8]| one(&directory(data.len() as u8), data);
    for data in [&[][..], &[0, 0, 0], &[0; 4], &[0xff; 4], &[0, 0, 1, 0, 0], &[0; 30]] {
        let found = stream(data);
        assert!(matches!(found, Err(ReadError::BadCoding { what: "codes", .. })), "{data:?}: {found:?}");
    }
}

/// The first byte of a table's entry that says so: an encoding, a granularity, half, symmetric, signed.
const fn form(encoding: u8, granularity: u8, flags: [bool; 3]) -> u8 {
    let [half, symmetric, signed] = flags;
    encoding | (granularity | (half as u8) << 2 | (symmetric as u8) << 3 | (signed as u8) << 4) << 3
}

#[test]
fn bad_ranges_are_typed_errors() {
    // Two channels of one weight without bits, so that ranges are all their data.
    let two = |form: u8, directory: &[u8], data: &[u8]| {
        let bytes = file(&[&[0, 1, 0, 2, b'a', form, 1, 2, 0, 0, 0], directory, SUM], data);
        let found = probe(&bytes);
        if let Ok(reader) = ContainerReader::new(&bytes) {
            // As texts, because NaN is not itself.
            let text = |found: &Result<(), ReadError>| format!("{found:?}");
            let codes = reader.quantized("a").map(drop);
            assert_eq!(text(&codes), text(&found), "a range is bad for whoever asks for it");
            assert_eq!(text(&reader.values("a").map(drop)), text(&found));
        }
        found
    };
    let index_of = |found: Result<(), ReadError>| match found {
        Err(ReadError::BadRange { index, .. }) => index,
        other => panic!("{other:?}"),
    };
    // Half-widths of 16 bits: infinite, NaN, negative, a negative zero.
    let (packed, coded) = (form(1, 1, [true, true, true]), form(2, 1, [true, true, true]));
    assert_eq!(two(packed, &[], &[0, 0x3c, 0, 0]), Ok(()));
    for upper in [0x7c, 0x7e, 0xbc, 0x80] {
        assert_eq!(index_of(two(packed, &[], &[0, upper, 0, 0])), 0);
        assert_eq!(index_of(two(packed, &[], &[0, 0x3c, 0, upper])), 1);
        // Coded, the upper bytes come first.
        assert_eq!(index_of(two(coded, &[0], &[0x3c, upper, 0, 0])), 1);
    }
    // Minima 0 and 1, maxima 1 and 0; a minimum that is NaN.
    let both = form(1, 1, [true, false, false]);
    assert_eq!(two(both, &[], &[0, 0, 0, 0x3c, 0, 0x3c, 0, 0x3c]), Ok(()));
    assert_eq!(index_of(two(both, &[], &[0, 0, 0, 0x3c, 0, 0x3c, 0, 0])), 1);
    assert_eq!(index_of(two(both, &[], &[1, 0x7c, 0, 0x3c, 0, 0x3c, 0, 0x3c])), 0);
    let full = form(1, 1, [false, true, false]);
    let [one, nan] = [1f32, f32::NAN].map(f32::to_le_bytes);
    assert_eq!(two(full, &[], &[one, one].concat()), Ok(()));
    assert_eq!(index_of(two(full, &[], &[one, nan].concat())), 1);
    for len in [3, 5] {
        assert!(two(packed, &[], &vec![0; len]).is_err());
    }
    // In the table, where there is one for the whole tensor.
    let only = |form: u8, range: &[u8]| error(&[&[0, 1, 0, 2, b'a', form, 1, 2, 0, 0, 0], range]);
    assert_eq!(index_of(Err(only(form(1, 0, [true, true, true]), &[0, 0x80]))), 0);
    assert_eq!(index_of(Err(only(form(1, 0, [true, false, false]), &[0, 0x3c, 0, 0]))), 0);

    // A model that is none, bits behind the model, nothing to share.
    assert_eq!(two(coded, &[0], &[0x3c, 0, 0, 0]), Ok(()));
    assert!(matches!(two(coded, &[3], &[0; 4]), Err(ReadError::UnknownModel { found: 3, .. })));
    assert!(matches!(two(coded, &[4], &[0; 4]), Err(ReadError::BadPacking { what: "models", .. })));
    let shared = two(coded, &[2], &[0; 4]);
    assert!(matches!(shared, Err(ReadError::BadCoding { what: "frequencies", .. })), "{shared:?}");
    // One symbol takes no stream, and an infinite one is found all the same.
    assert_eq!(two(coded, &[1, ONLY, 0x3c], &[0, 1]), Ok(()));
    assert_eq!(index_of(two(coded, &[1, ONLY, 0x7c], &[0, 1])), 0);
    let halves = [vec![1], table_bytes(&[1, 1])].concat();
    for stream in [&[][..], &[0; 3], &[0; 4], &[0xff; 4], &[0; 30]] {
        let directory = [halves.as_slice(), &[stream.len() as u8]].concat();
        let found = two(coded, &directory, &[stream, &[0, 0]].concat());
        assert!(matches!(found, Err(ReadError::BadCoding { what: "ranges", .. })), "{stream:?}: {found:?}");
    }
}

#[test]
fn a_bad_range_is_told_with_its_place() {
    let reader = ContainerReader::new(RANGES).unwrap();
    // Behind the codes: six of 2 bits; three of 2 and two of 3 bits, with widths in a byte; 128 of 2 bits.
    for (name, codes, upper) in [("channel.packed", 2, 7), ("group.packed", 3, 1), ("many.own", 32, 0)] {
        let data = reader.tensor(name).unwrap().data_range();
        let (start, end) = (data.start as usize + codes, data.end);
        let mut bytes = RANGES.to_vec();
        bytes[start + upper] = 0xfc;
        repair(&mut bytes);
        let fault = verify(&bytes).unwrap_err();
        let index = reader.tensors().iter().position(|entry| entry.name() == name).unwrap();
        assert_eq!(fault.section, Section::Data { index: 0, tensor: name.to_owned() }, "{index}");
        let ranges = start as u64..end;
        assert!(ranges.contains(&fault.offset), "{fault:?}");
        let opened = ContainerReader::new(&bytes).unwrap();
        assert_eq!(opened.values(name), Err(fault.source));
        assert!(opened.values("signed").is_ok());
    }
}

#[test]
fn ranges_that_are_not_there_are_refused_before_memory_is_spent() {
    // 2^26 channels of no bits: of four bytes each, packed or coded, in a file of a few bytes.
    let many = [0x80, 0x80, 0x80, 0x20];
    for (encoding, directory) in [(1, &[][..]), (2, &[0][..])] {
        let head = [0, 1, 0, 2, b'a', form(encoding, 1, [false, true, false]), 1];
        // Two planes of the upper half, in four bits.
        let found = error(&[&head, &many, &[0, 0, 0], directory, SUM]);
        assert!(matches!(found, ReadError::Truncated { needed: 0x1000_0000, .. }), "{found:?}");
    }
    // Groups of no bits have none, however many they are.
    let groups = [0, 1, 0, 2, b'a', form(1, 2, [false; 3]), 1, 0x80, 0x40, 1, 0, 0];
    assert_eq!(probe(&file(&[&groups], &[])), Ok(()));
}

/// How tables begin whose frequencies sum to 2^12: those of one symbol, and those with a list.
const ONLY: u8 = 4;
const LISTED: u8 = 4 | 1 << 3;

/// The table of symbols that occur so often.
fn table_bytes(counts: &[u64]) -> Vec<u8> {
    let mut all = [0; 256];
    all[..counts.len()].copy_from_slice(counts);
    let mut bytes = vec![];
    FrequencyTable::with_precision(&all, 12).write(&mut bytes);
    bytes
}

#[test]
fn bad_symbols_of_wide_codes_are_typed_errors() {
    // Sixteen weights of twelve bits in one group, coded.
    let start: &[u8] = &[0, 1, 0, 2, b'a', 2, 1, 16, 0];
    let one = |model: &[u8], data: &[u8]| {
        let sum = if data.is_empty() { &[] } else { SUM };
        probe(&file(&[start, &[12, 12, 1], model, RANGE, sum], data))
    };
    let failed = |found: Result<(), ReadError>| match found {
        Err(ReadError::BadCoding { what: "frequencies", source, .. }) => source,
        other => panic!("{other:?}"),
    };
    // All have the upper eight bits 0xab, the four below are as they are.
    assert_eq!(one(&[ONLY, 0xab, 4], &[0x12; 8]), Ok(()));
    let found = failed(one(&[ONLY, 0xab, 5], &[0x12; 8]));
    assert_eq!(found, CodingError::RawBits { found: 5, bits: 12, limit: 4 });
    // All are 0xabc, the one number that occurs.
    let mut palette = vec![];
    Palette::new(vec![0xabc]).unwrap().write(&mut palette);
    assert_eq!(one(&[&[ONLY, 0, 0], &palette[..]].concat(), &[]), Ok(()));
    // With one bit as it is, the others cannot be 0xabc, which is above 0x7ff.
    let found = failed(one(&[&[ONLY, 0, 1], &palette[..]].concat(), &[0; 2]));
    assert_eq!(found, CodingError::Palette(PaletteError::TooLarge));
    let found = failed(one(&[ONLY, 0, 0, 0xf0], &[]));
    assert!(matches!(found, CodingError::Palette(_)), "{found}");
    // Raw bits are filled up with zeros.
    let start: &[u8] = &[0, 1, 0, 2, b'a', 2, 1, 1, 0];
    let found = probe(&file(&[start, &[12, 12, 1], &[ONLY, 0xab, 4], RANGE, SUM], &[0x12]));
    assert!(matches!(found, Err(ReadError::BadCoding { what: "codes", .. })), "{found:?}");
}

#[test]
fn random_bytes_are_refused() {
    let mut numbers = Numbers::seeded(6);
    for _ in 0..10_000 {
        let bytes: Vec<u8> = (0..numbers.below(200)).map(|_| numbers.bits() as u8).collect();
        assert!(probe(&bytes).is_err());
        let _ = probe_within(&file(&[&bytes], &[]));
    }
}
