//! How much memory a stranger's file can make its reader take; alone in its binary, as it counts every
//! allocation.

use std::sync::Mutex;

use fewbit::arbitrary::{LIMITS, fit};
use fewbit::container::verify_with_limits;
use fewbit::{
    BitWidth, CodeEncoding, ContainerReader, ContainerWriter, GridKind, GroupSize, QuantizedTensor,
    RangeForm, RangeGranularity, Ranges, ReadError, ValueRange,
};
use fewbit_testing::Numbers;
use peak_alloc::PeakAlloc;

#[global_allocator]
static MEMORY: PeakAlloc = PeakAlloc;

/// Two tests at once would count each other's.
static ONE_AT_A_TIME: Mutex<()> = Mutex::new(());

const RANGES: &[u8] = include_bytes!("../../../fixtures/container/1/ranges.fewbit");
const GOLDEN: &[u8] = include_bytes!("../../../fixtures/container/1/golden.fewbit");

/// Most bytes that `work` had at once, beyond what there was before.
fn peak(work: impl FnOnce()) -> usize {
    let before = MEMORY.current_usage();
    MEMORY.reset_peak_usage();
    work();
    MEMORY.peak_usage() - before
}

/// What any file costs: a table of 4,096 slots for each of 16 widths, names in errors, and the like.
const ANY: usize = 512 << 10;

#[test]
fn forged_files_take_no_more_than_the_limits_allow() {
    let _alone = ONE_AT_A_TIME.lock();
    let mut numbers = Numbers::seeded(3);
    // One tensor's values as floats, its codes and its widths, and everything in the head.
    let allowed = 2 * LIMITS.output_bytes as usize + 64 * LIMITS.header_bytes + ANY;
    for round in 0..20_000 {
        let mut bytes = [GOLDEN, RANGES][round % 2].to_vec();
        for _ in 0..=numbers.below(4) {
            let at = 10 + numbers.below(bytes.len() - 10);
            bytes[at] = numbers.bits() as u8;
        }
        fit(&mut bytes);
        let taken = peak(|| {
            let _ = verify_with_limits(&bytes, &LIMITS);
            if let Ok(reader) = ContainerReader::with_limits(&bytes, &LIMITS) {
                reader.tensors().iter().for_each(|entry| drop(reader.values(entry.name())));
            }
        });
        assert!(taken < allowed, "{taken} bytes for a file of {}", bytes.len());
    }
}

/// Four bytes of each value, two of its code, one of its width; of its range eight, and while they are
/// decoded eight more and one of a plane, or eight as they are for groups with bits.
#[test]
fn a_range_for_every_weight_costs_six_times_its_value() {
    let _alone = ONE_AT_A_TIME.lock();
    const LEN: usize = 1 << 18;
    for (granularity, bits) in [
        (RangeGranularity::Group, [1, 2]),
        (RangeGranularity::Channel, [1, 2]),
        (RangeGranularity::Group, [0, 0]),
    ] {
        for encoding in [CodeEncoding::Packed, CodeEncoding::Coded] {
            let ranges = vec![ValueRange::new(-1.0, 2.0).unwrap(); LEN];
            let ranges = Ranges::new(granularity, GridKind::MinMax, RangeForm::Full, ranges).unwrap();
            let widths = (0..LEN).map(|index| BitWidth::new(bits[index % 2]).unwrap()).collect();
            let group_size = GroupSize::new(1).unwrap();
            let tensor =
                QuantizedTensor::from_parts_with(vec![LEN], group_size, ranges, widths, vec![0; LEN])
                    .unwrap();
            let mut writer = ContainerWriter::new();
            writer.quantized_as("t", &tensor, encoding).unwrap();
            let bytes = writer.to_bytes();
            drop((writer, tensor));
            let reader = ContainerReader::new(&bytes).unwrap();
            let taken = peak(|| drop(reader.values("t").unwrap()));
            assert!(taken < 24 * LEN + ANY, "{granularity}, {bits:?}, {encoding:?}: {taken} bytes");
        }
    }
}

/// A tensor of 2^28 weights in a file of a few bytes, in every encoding whose data are then missing.
#[test]
fn what_is_not_there_takes_no_memory() {
    let _alone = ONE_AT_A_TIME.lock();
    let shape: &[u8] = &[1, 0x80, 0x80, 0x80, 0x80, 1];
    let (codes, range): (&[u8], &[u8]) = (&[8, 3, 3], &[0, 0, 0, 0, 0, 0, 0x80, 0x3f]);
    let packed = [codes, range].concat();
    let coded = [codes, &[0], range].concat();
    for (encoding, more) in [(0, vec![]), (1, packed), (2, coded), (3, vec![]), (4, vec![])] {
        let head = [&[0, 1, 0, 2, b'a', encoding], shape, &more, &[0; 4]].concat();
        let mut bytes = [&GOLDEN[..10], &[head.len() as u8], &head].concat();
        bytes.extend(crc32fast::hash(&bytes).to_le_bytes());
        bytes.extend([0; 100]);
        let taken = peak(|| {
            let error = ContainerReader::new(&bytes).unwrap_err();
            assert!(matches!(error, ReadError::Truncated { .. }), "{error}");
        });
        assert!(taken < 64 << 10, "{taken} bytes for encoding {encoding}");
    }
}

/// Tables of one symbol take two bytes in the file and hundreds in memory, so each counts as 256.
#[test]
fn a_file_of_frequency_tables_takes_no_more_than_the_limits_allow() {
    let _alone = ONE_AT_A_TIME.lock();
    const TENSORS: u16 = 9000;
    let number = |n: usize| {
        assert!((1 << 7..1 << 21).contains(&n));
        let low = [n as u8 | 0x80, (n >> 7) as u8];
        if n < 1 << 14 { low.to_vec() } else { vec![low[0], low[1] | 0x80, (n >> 14) as u8] }
    };
    let mut body = [vec![0], number(TENSORS.into())].concat();
    for index in 0..TENSORS {
        body.extend([&[0, 8], format!("{index:04}").as_bytes()].concat());
        // Coded, one code of each width from 1 to 8, all of them 0: eight frequency tables of one symbol.
        body.extend([&[2, 1, 8, 1, 1, 8], &[1; 7][..], &[0, 0x55, 0x55], &[4, 0].repeat(8)].concat());
        body.extend([0, 0, 0, 0, 0, 0, 0x80, 0x3f]);
    }
    let mut bytes = [&GOLDEN[..10], &number(body.len()), &body].concat();
    bytes.extend(crc32fast::hash(&bytes).to_le_bytes());
    bytes.extend(crc32fast::hash(&bytes).to_le_bytes());
    let taken = peak(|| {
        let error = ContainerReader::new(&bytes).unwrap_err();
        assert!(matches!(error, ReadError::OverLimit { what: "bytes of header and table", .. }), "{error}");
    });
    assert!(taken < 64 << 20, "{taken} bytes for a file of {}", bytes.len());
}
