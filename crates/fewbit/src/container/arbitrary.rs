//! What a fuzzer calls: any bytes in, no panic out. Ordinary tests call the same functions.

use super::head::{CHECKSUM_BYTES, Head};
use super::header::mark;
use super::sums::section_sums;
use super::{ContainerReader, Encoding, Limits, verify_with_limits};
use crate::encoding::cursor::{Cursor, put_number};

/// Small enough that each of many million files is read in no time.
pub const LIMITS: Limits =
    Limits { header_bytes: 1 << 14, tensors: 64, elements: 1 << 14, output_bytes: 1 << 16, metadata: 8 };

/// Reads a header of which everything but the mark, the length and the checksum is `data`.
pub fn read_header(data: &[u8]) {
    let mut head = mark();
    put_number(&mut head, data.len() as u64);
    head.extend_from_slice(data);
    head.extend_from_slice(&crc32fast::hash(&head).to_le_bytes());
    if let Ok(read) = Head::read(&head, &LIMITS) {
        assert!(read.size.bytes() == read.file_bytes(), "every byte is counted");
    }
}

/// Reads a table without metadata: the number of its tensors, then `data`.
pub fn read_table(data: &[u8]) {
    let Some((&count, entries)) = data.split_first() else {
        return;
    };
    read_header(&[&[0, count % 64], entries].concat());
}

/// Unpacks codes, and gives values for them, with every instruction set; see
/// [`fewbit_kernels::packed::unpack_arbitrary`].
pub fn unpack(data: &[u8]) {
    fewbit_kernels::packed::unpack_arbitrary(data);
}

/// Decodes an entropy coded stream with every instruction set; see
/// [`fewbit_kernels::rans::decode_arbitrary`].
pub fn decode_entropy(data: &[u8]) {
    fewbit_kernels::rans::decode_arbitrary(data);
}

/// Reads a whole file; as it is, and once more with its checksums made right.
pub fn read_arbitrary(data: &[u8]) {
    read_file(data);
    let mut repaired = data.to_vec();
    repair(&mut repaired);
    read_file(&repaired);
}

/// A file that [`verify`](super::verify()) finds sound gives all its values, in every way the same.
fn read_file(data: &[u8]) {
    let sound = verify_with_limits(data, &LIMITS).is_ok();
    let Ok(reader) = ContainerReader::with_limits(data, &LIMITS) else {
        assert!(!sound, "what is sound can be opened");
        return;
    };
    assert_eq!(reader.size().bytes(), data.len() as u64, "every byte is counted");
    for entry in reader.tensors() {
        let values = reader.values(entry.name());
        let codes = reader.quantized(entry.name());
        let has_all = if matches!(entry.encoding(), Encoding::Raw(_)) {
            reader.raw(entry.name()).is_ok()
        } else {
            values.is_ok()
        };
        assert!(!sound || has_all, "what is sound has all its values");
        if let (Ok(values), Ok(codes)) = (values, codes) {
            let bits = |values: &[f32]| values.iter().map(|value| value.to_bits()).collect::<Vec<_>>();
            assert_eq!(bits(&values), bits(&codes.dequantize()), "{entry:?}");
            assert_eq!(entry.width_histogram(), codes.width_histogram(), "{entry:?}");
        }
    }
}

/// Makes every checksum of a file right, as far as its structure allows.
pub fn repair(data: &mut Vec<u8>) {
    // A file may have fewer bytes than it says, or more.
    let Some((sums, end)) = head_sums(data) else {
        return;
    };
    let first = end - CHECKSUM_BYTES - 4 * sums.len();
    for (place, sum) in sums.iter().enumerate() {
        data[first + 4 * place..][..4].copy_from_slice(&sum.to_le_bytes());
    }
    let sum = crc32fast::hash(&data[..end - CHECKSUM_BYTES]);
    data[end - CHECKSUM_BYTES..end].copy_from_slice(&sum.to_le_bytes());
    let body = data.len().saturating_sub(CHECKSUM_BYTES).max(end);
    let sum = crc32fast::hash(&data[..body]);
    data.truncate(body);
    data.extend_from_slice(&sum.to_le_bytes());
}

/// Makes a file as long as its table says, where that is not long, and every checksum right.
pub fn fit(data: &mut Vec<u8>) {
    const LONG: u64 = 1 << 17;
    let end = Head::read_unchecked(data, &LIMITS).map(|head| head.data_end());
    if let Ok(end) = end
        && end < LONG
    {
        data.resize(end as usize + CHECKSUM_BYTES, 0);
    }
    repair(data);
}

/// The sums of a file's sections as they are, none where it is too short, and where its head ends.
fn head_sums(data: &[u8]) -> Option<(Vec<u32>, usize)> {
    match Head::read_unchecked(data, &LIMITS) {
        Ok(head) => {
            let whole = data.len() as u64 >= head.data_end();
            let sums = if whole { section_sums(&head, data) } else { head.sums.clone() };
            Some((sums, head.end))
        }
        Err(_) => {
            // The structure is wrong already; then at least it is the structure that is refused.
            let body = super::head::read_prefix(data, &LIMITS).ok()?;
            let end = body.end.checked_add(CHECKSUM_BYTES)?;
            Cursor::new(data).take(end as u64, "the head").ok()?;
            Some((Vec::new(), end))
        }
    }
}
