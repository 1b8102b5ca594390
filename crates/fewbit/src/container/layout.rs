//! Where each tensor's data lie: nothing of it is written, it follows from the table.
//!
//! Data follow each other in the table's order. A tensor with more than [`SHARED`] bytes of data is a
//! section of its own; smaller ones that follow each other share one as long as it has no more than that.
//! Packed tensors with a section of their own begin at a multiple of [`ALIGNMENT`].

use std::ops::Range;

/// Most bytes of a section that holds several tensors.
pub(super) const SHARED: u64 = 4096;
/// Where long packed data begin.
pub(super) const ALIGNMENT: u64 = 64;

/// The data of one or several tensors, with one checksum.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Section {
    /// Their places in the table; those between the first and the last may have no data.
    pub(super) tensors: Range<usize>,
    /// Bytes of zero in front of it.
    pub(super) fill: u64,
    /// Where it lies in the file.
    pub(super) at: Range<u64>,
}

/// The data of one tensor, as the table describes it.
#[derive(Clone, Copy, Debug)]
pub(super) struct Data {
    pub(super) bytes: u64,
    /// Whether a section of its own is to be aligned.
    pub(super) packed: bool,
}

/// The sections of tensors in the table's order, and where each tensor's data lie. `start` is where the
/// first section begins; `None` when the end cannot be counted.
pub(super) fn lay_out(start: u64, tensors: &[Data]) -> Option<(Vec<Section>, Vec<Range<u64>>)> {
    let mut sections: Vec<Section> = Vec::new();
    let mut places = Vec::with_capacity(tensors.len());
    let mut end = start;
    for (index, data) in tensors.iter().enumerate() {
        if data.bytes == 0 {
            places.push(end..end);
            continue;
        }
        let open = sections.last_mut().filter(|section| {
            let length = section.at.end - section.at.start;
            length.saturating_add(data.bytes) <= SHARED
        });
        let alone = data.bytes > SHARED;
        let fill = if alone && data.packed { end.wrapping_neg() % ALIGNMENT } else { 0 };
        let begin = end.checked_add(fill)?;
        end = begin.checked_add(data.bytes)?;
        places.push(begin..end);
        match open {
            Some(section) => {
                section.tensors.end = index + 1;
                section.at.end = end;
            }
            None => sections.push(Section { tensors: index..index + 1, fill, at: begin..end }),
        }
    }
    Some((sections, places))
}

/// The number of sections, which does not depend on where they begin.
pub(super) fn section_count(tensors: &[Data]) -> Option<usize> {
    Some(lay_out(0, tensors)?.0.len())
}
