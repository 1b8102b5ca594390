//! Checksums of everything: each section by itself, and the whole from them without a second pass.

use crc32fast::Hasher;
use rayon::prelude::*;

use super::ReadError;
use super::head::{CHECKSUM_BYTES, Fault, Head, compare};
use super::layout::Section;
use super::reader::in_memory;

/// Longer parts are summed on several cores.
const PART: usize = 1 << 22;

/// The first sum that is wrong, in the file's order; the bytes must be as long as the file.
pub(super) fn check_all_sums(head: &Head, bytes: &[u8]) -> Result<(), Fault> {
    let sums = section_sums(head, bytes);
    for (place, found) in sums.iter().enumerate() {
        check_section(head, bytes, place, *found)?;
    }
    check_whole(head, bytes, &sums)
}

/// The sum of each section as it is.
pub(super) fn section_sums(head: &Head, bytes: &[u8]) -> Vec<u32> {
    let sum = |section: &Section| hash(&bytes[in_memory(&section.at)]);
    if bytes.len() < PART {
        head.sections.iter().map(sum).collect()
    } else {
        head.sections.par_iter().map(sum).collect()
    }
}

/// What fills up to a section, and the section's own sum.
pub(super) fn check_section(head: &Head, bytes: &[u8], place: usize, found: u32) -> Result<(), Fault> {
    let section = &head.sections[place];
    let fill = section.at.start - section.fill..section.at.start;
    if let Some(offset) = bytes[in_memory(&fill)].iter().position(|byte| *byte != 0) {
        let name = head.tensors[section.tensors.start].name.clone();
        return Err(Fault::new(fill.start + offset as u64, ReadError::FillNotZero { name }));
    }
    compare(head.section_name(section), found, head.sums[place])
        .map_err(|error| Fault::new(section.at.start, error))
}

/// The sum at the end of the file, from those of the sections.
pub(super) fn check_whole(head: &Head, bytes: &[u8], sums: &[u32]) -> Result<(), Fault> {
    let mut whole = Hasher::new();
    whole.update(&bytes[..head.end]);
    for (section, &sum) in head.sections.iter().zip(sums) {
        whole.update(&bytes[in_memory(&(section.at.start - section.fill..section.at.start))]);
        whole.combine(&Hasher::new_with_initial_len(sum, section.at.end - section.at.start));
    }
    let end = in_memory(&(head.data_end()..head.file_bytes()));
    let expected = bytes[end].first_chunk::<CHECKSUM_BYTES>().copied().unwrap_or_default();
    compare("the whole", whole.finalize(), u32::from_le_bytes(expected))
        .map_err(|error| Fault::new(head.data_end(), error))
}

fn hash(bytes: &[u8]) -> u32 {
    if bytes.len() <= PART {
        return crc32fast::hash(bytes);
    }
    let parts: Vec<Hasher> = bytes
        .par_chunks(PART)
        .map(|part| {
            let mut hasher = Hasher::new();
            hasher.update(part);
            hasher
        })
        .collect();
    let mut whole = Hasher::new();
    parts.iter().for_each(|part| whole.combine(part));
    whole.finalize()
}
