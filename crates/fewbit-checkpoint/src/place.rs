//! Where a tensor's elements are in a file, and how they get from there in the order of its shape.

use crate::error::{Fault, FormatError};
use crate::file::ByteFile;

/// Bytes that are read at once, a multiple of every element.
const CHUNK: usize = 256 << 10;

/// Where a tensor's elements are. That the file has them all was checked.
#[derive(Debug)]
pub(crate) struct Place {
    /// Which file of the checkpoint.
    pub(crate) file: usize,
    /// The byte of the first element.
    pub(crate) start: u64,
    pub(crate) layout: Layout,
}

/// How the elements follow one another.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub(crate) enum Layout {
    /// In the order of the shape, the last dimension fastest. The checksum is that of all of them.
    Contiguous { sum: Option<u32> },
    /// From one to the next, in each dimension, so many elements.
    Strided(Vec<usize>),
}

/// Number of elements of a shape, if they can be counted and their bytes too.
pub(crate) fn element_count(shape: &[usize]) -> Option<u64> {
    // A dimension of 0 comes first, so that what no tensor needs does not overflow.
    if shape.contains(&0) {
        return Some(0);
    }
    let count = shape.iter().try_fold(1u64, |count, &size| count.checked_mul(size as u64))?;
    (count <= i64::MAX as u64 / 16).then_some(count)
}

/// One more than the farthest element that a strided tensor reaches, counted from its first.
pub(crate) fn reach(shape: &[usize], strides: &[usize]) -> Option<u64> {
    if shape.contains(&0) {
        return Some(0);
    }
    shape.iter().zip(strides).try_fold(1u64, |reach, (&size, &stride)| {
        reach.checked_add((size as u64 - 1).checked_mul(stride as u64)?)
    })
}

/// Whether strided elements lie as the shape says; dimensions of 1 have no stride.
pub(crate) fn is_contiguous(shape: &[usize], strides: &[usize]) -> bool {
    let mut expected = 1usize;
    shape.contains(&0)
        || shape.iter().zip(strides).rev().filter(|(size, _)| **size != 1).all(|(&size, &stride)| {
            let fits = stride == expected;
            expected = expected.saturating_mul(size);
            fits
        })
}

/// Hands on a tensor's bytes as they lie, piece by piece, whole elements each; compares their checksum if
/// there is one.
pub(crate) fn read_contiguous(
    file: &ByteFile,
    start: u64,
    bytes: u64,
    sum: Option<u32>,
    mut take: impl FnMut(&[u8]),
) -> Result<(), Fault> {
    let mut chunk = vec![0; CHUNK.min(bytes as usize)];
    let mut hasher = sum.map(|_| crc32fast::Hasher::new());
    let mut done = 0;
    while done < bytes {
        let count = (chunk.len() as u64).min(bytes - done) as usize;
        let part = &mut chunk[..count];
        file.read_at(start + done, part)?;
        if let Some(hasher) = &mut hasher {
            hasher.update(part);
        }
        take(part);
        done += count as u64;
    }
    if let (Some(expected), Some(hasher)) = (sum, hasher) {
        let found = hasher.finalize();
        if found != expected {
            return Err(FormatError::ChecksumMismatch { part: "a tensor".into(), expected, found }.into());
        }
    }
    Ok(())
}

/// One dimension of a strided tensor.
#[derive(Clone, Copy)]
struct Dimension {
    size: usize,
    /// Elements from one to the next in the file.
    stride: u64,
    /// Elements from one to the next in what is read.
    step: usize,
}

/// Hands on a strided tensor's elements with their index in the order of the shape.
///
/// They come in the file's order, so that the file is read once from front to back through a small buffer,
/// however large the storage is that the tensor is a part of.
pub(crate) fn read_strided(
    file: &ByteFile,
    start: u64,
    shape: &[usize],
    strides: &[usize],
    element: usize,
    mut put: impl FnMut(usize, &[u8]),
) -> Result<(), Fault> {
    if shape.contains(&0) {
        return Ok(());
    }
    let mut dimensions = Vec::with_capacity(shape.len());
    let mut step = 1;
    for (&size, &stride) in shape.iter().zip(strides).rev() {
        if size > 1 {
            dimensions.push(Dimension { size, stride: stride as u64, step });
        }
        step *= size;
    }
    dimensions.sort_by_key(|dimension| dimension.stride);

    // How far the inner dimensions reach; where an outer one steps less, the order goes back and forth.
    let mut span = 1;
    let mut forward = true;
    for dimension in dimensions.iter().filter(|dimension| dimension.stride > 0) {
        forward &= dimension.stride >= span;
        span += (dimension.size as u64 - 1) * dimension.stride;
    }
    let window = span * element as u64;
    let room = if forward { window.min(CHUNK as u64) } else { window };

    let mut page = Page { file, start, window, room: room as usize, at: 0, bytes: Vec::new() };
    let mut digits = vec![0; dimensions.len()];
    let (mut from, mut to) = (0u64, 0usize);
    loop {
        put(to, page.element(from * element as u64, element)?);
        // An odometer whose fastest digit is the smallest stride.
        let mut turned = 0;
        for (digit, dimension) in digits.iter_mut().zip(&dimensions) {
            *digit += 1;
            from += dimension.stride;
            to += dimension.step;
            if *digit < dimension.size {
                break;
            }
            from -= dimension.stride * dimension.size as u64;
            to -= dimension.step * dimension.size;
            *digit = 0;
            turned += 1;
        }
        if turned == dimensions.len() {
            return Ok(());
        }
    }
}

/// The part of a tensor's window that is in memory.
struct Page<'a> {
    file: &'a ByteFile,
    start: u64,
    window: u64,
    room: usize,
    at: u64,
    bytes: Vec<u8>,
}

impl Page<'_> {
    /// One element's bytes, from its place in the window.
    fn element(&mut self, at: u64, count: usize) -> Result<&[u8], Fault> {
        if at < self.at || at + count as u64 > self.at + self.bytes.len() as u64 {
            // A page that holds the whole window begins with it.
            self.at = if self.room as u64 == self.window { 0 } else { at };
            let count = (self.room as u64).min(self.window - self.at) as usize;
            self.bytes.resize(count, 0);
            self.file.read_at(self.start + self.at, &mut self.bytes)?;
        }
        let from = (at - self.at) as usize;
        Ok(&self.bytes[from..from + count])
    }
}

#[cfg(test)]
mod tests {
    use std::io::Write;

    use fewbit_testing::Numbers;

    use super::*;

    /// Elements in the order of the shape, one index at a time, as a definition.
    fn gather(data: &[u16], shape: &[usize], strides: &[usize]) -> Vec<u16> {
        let count: usize = shape.iter().product();
        let of_index = |mut index: usize| {
            let mut at = 0;
            for (&size, &stride) in shape.iter().zip(strides).rev() {
                at += index % size * stride;
                index /= size;
            }
            data[at]
        };
        (0..count).map(of_index).collect()
    }

    fn file_of(data: &[u16]) -> (tempfile::NamedTempFile, ByteFile) {
        let mut file = tempfile::NamedTempFile::new().unwrap();
        file.write_all(&data.iter().flat_map(|value| value.to_le_bytes()).collect::<Vec<_>>()).unwrap();
        let opened = ByteFile::open(file.path()).unwrap();
        (file, opened)
    }

    fn read(file: &ByteFile, shape: &[usize], strides: &[usize]) -> Vec<u16> {
        let mut out = vec![0; shape.iter().product()];
        read_strided(file, 0, shape, strides, 2, |index, bytes| {
            out[index] = u16::from_le_bytes(bytes.try_into().unwrap());
        })
        .unwrap();
        out
    }

    #[test]
    fn strided_elements_come_in_the_order_of_the_shape() {
        let data: Vec<u16> = (0..2000).collect();
        let (_kept, file) = file_of(&data);
        let mut numbers = Numbers::seeded(5);
        for _ in 0..2000 {
            let rank = numbers.below(5);
            let shape: Vec<usize> = (0..rank).map(|_| 1 + numbers.below(5)).collect();
            // Any strides: transposed, stepping, repeating (0) and overlapping.
            let strides: Vec<usize> = (0..rank).map(|_| numbers.below(100)).collect();
            assert_eq!(
                read(&file, &shape, &strides),
                gather(&data, &shape, &strides),
                "{shape:?} {strides:?}"
            );
        }
    }

    #[test]
    fn a_tensor_larger_than_the_buffer_is_read_through_it() {
        let (rows, columns) = (700, 600);
        let data: Vec<u16> = (0..rows * columns).map(|value| value as u16).collect();
        let (_kept, file) = file_of(&data);
        assert!(data.len() * 2 > CHUNK);
        for (shape, strides) in [([columns, rows], [1, columns]), ([rows, 3], [columns, 7])] {
            assert_eq!(read(&file, &shape, &strides), gather(&data, &shape, &strides));
        }
    }

    #[test]
    fn contiguous_is_what_the_shape_says_whatever_the_strides_of_ones() {
        let cases: [(&[usize], &[usize], bool); 6] = [
            (&[], &[], true),
            (&[2, 3], &[3, 1], true),
            (&[2, 3], &[1, 2], false),
            (&[2, 1, 3], &[3, 77, 1], true),
            (&[4], &[0], false),
            (&[0, 5], &[9, 9], true),
        ];
        for (shape, strides, expected) in cases {
            assert_eq!(is_contiguous(shape, strides), expected, "{shape:?} {strides:?}");
        }
    }
}
