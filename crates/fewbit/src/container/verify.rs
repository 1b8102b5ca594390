//! The first fault of a file, and where it is.

use std::fmt;

use super::head::{Fault, Head};
use super::reader::{in_memory, read_structure};
use super::sums::{check_section, check_whole};
use super::{Limits, ReadError};

/// A part of a file, as [`VerifyError`] names it.
#[derive(Clone, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub enum Section {
    /// The mark, the version, the metadata, the table.
    Head,
    /// The data of a tensor.
    Data {
        /// The section's place, from 0.
        index: usize,
        /// The tensor; the section's first where a fault is not of one tensor.
        tensor: String,
    },
    /// The checksum at the end, and whatever follows.
    End,
}

impl fmt::Display for Section {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Head => f.write_str("header and table"),
            Self::Data { index, tensor } => write!(f, "section {index}, tensor `{tensor}`"),
            Self::End => f.write_str("the end"),
        }
    }
}

/// The first fault of a file. The message says where it is; its `source()` says what is wrong.
#[derive(Clone, Debug, PartialEq, thiserror::Error)]
#[error("fault in {section}, at byte {offset}")]
pub struct VerifyError {
    /// The part it is in.
    pub section: Section,
    /// Where what is wrong begins: of a checksum that differs, what it is the sum of.
    pub offset: u64,
    /// What is wrong.
    pub source: ReadError,
}

/// Checks everything that can be wrong with a file: structure, every checksum, every width and code.
///
/// # Errors
/// The first fault in the file's order.
pub fn verify(bytes: &[u8]) -> Result<(), VerifyError> {
    verify_with_limits(bytes, &Limits::default())
}

/// As [`verify`], within limits.
///
/// # Errors
/// The first fault in the file's order.
pub fn verify_with_limits(bytes: &[u8], limits: &Limits) -> Result<(), VerifyError> {
    let head = read_structure(bytes, limits).map_err(|fault| {
        let head = Head::read(bytes, limits).ok();
        located(head.as_ref(), fault)
    })?;
    first_fault(&head, bytes).map_err(|fault| located(Some(&head), fault))
}

fn first_fault(head: &Head, bytes: &[u8]) -> Result<(), Fault> {
    let mut sums = Vec::with_capacity(head.sections.len());
    let mut checked = 0;
    for (place, section) in head.sections.iter().enumerate() {
        let sum = crc32fast::hash(&bytes[in_memory(&section.at)]);
        check_section(head, bytes, place, sum)?;
        sums.push(sum);
        // Tensors before it that have no data are checked with it.
        check_tensors(head, bytes, checked..section.tensors.end)?;
        checked = section.tensors.end;
    }
    check_tensors(head, bytes, checked..head.tensors.len())?;
    check_whole(head, bytes, &sums)
}

fn check_tensors(head: &Head, bytes: &[u8], places: std::ops::Range<usize>) -> Result<(), Fault> {
    let mut stored = head.tensors[places].iter().filter(|entry| entry.is_stored());
    stored.try_for_each(|entry| entry.check_data(&bytes[in_memory(&entry.data_at)]))
}

/// The fault with the part it is in.
fn located(head: Option<&Head>, fault: Fault) -> VerifyError {
    let Fault { offset, error } = fault;
    let section = match head {
        None => Section::Head,
        Some(head) if offset < head.end as u64 => Section::Head,
        Some(head) if offset >= head.data_end() => Section::End,
        Some(head) => {
            let found = head.sections.iter().enumerate().find(|(_, section)| offset < section.at.end);
            let Some((index, section)) = found else {
                return VerifyError { section: Section::End, offset, source: error };
            };
            let tensors = &head.tensors[section.tensors.clone()];
            let at_fault = tensors.iter().find(|entry| entry.is_stored() && entry.data_at.contains(&offset));
            // What fills up to a section belongs to none of its tensors.
            let tensor = at_fault.or(tensors.first()).map_or(String::new(), |entry| entry.name.clone());
            Section::Data { index, tensor }
        }
    };
    VerifyError { section, offset, source: error }
}
