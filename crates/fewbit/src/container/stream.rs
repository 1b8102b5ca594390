//! A file from front to back, one section in memory at a time.

use std::io::{self, Read};

use crc32fast::Hasher;

use super::decode::Source;
use super::head::{CHECKSUM_BYTES, Head, check_sum, compare, read_prefix};
use super::layout::Section;
use super::{FileSize, Limits, ReadError, TensorEntry};

/// Why a stream could not be read on.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum StreamError {
    /// The stream failed.
    #[error("the stream failed")]
    Io(#[from] io::Error),
    /// What it brought is no `.fewbit` file.
    #[error(transparent)]
    Format(#[from] ReadError),
}

/// A `.fewbit` file that is read as it comes: the head first, then each tensor in the table's order.
///
/// Beside the head it holds one section, which is one tensor, or several that are short together.
///
/// ```
/// # use fewbit::{ContainerWriter, Limits, StreamReader};
/// # let mut writer = ContainerWriter::new();
/// # writer.float("bias", &[2], &[0.5, 1.0])?;
/// # let file = writer.to_bytes();
/// let mut stream = StreamReader::new(file.as_slice(), &Limits::default())?;
/// let mut values = Vec::new();
/// while let Some(index) = stream.next_values(&mut values)? {
///     assert_eq!(stream.tensors()[index].len(), values.len());
/// }
/// # Ok::<(), Box<dyn std::error::Error>>(())
/// ```
#[derive(Debug)]
pub struct StreamReader<R> {
    stream: R,
    head: Vec<u8>,
    metadata: Vec<(String, String)>,
    tensors: Vec<TensorEntry>,
    /// The sections to come, the last first, with their names and sums.
    sections: Vec<(Section, String, u32)>,
    size: FileSize,
    whole: Hasher,
    /// The section that was read last, and where it lies.
    data: Vec<u8>,
    data_at: u64,
    /// The next tensor of the table.
    next: usize,
    ended: bool,
}

impl<R: Read> StreamReader<R> {
    /// The reader of a stream, after its head was read and nothing beyond it.
    ///
    /// # Errors
    /// [`StreamError`]: the stream failed, or does not begin as a file does.
    pub fn new(mut stream: R, limits: &Limits) -> Result<Self, StreamError> {
        /// The mark and the version.
        const FIXED: u64 = 10;
        /// Most bytes of a number.
        const NUMBER: usize = 10;
        let mut bytes = Vec::new();
        read_up_to(&mut stream, FIXED, &mut bytes)?;
        for _ in 0..NUMBER {
            let before = bytes.len();
            read_up_to(&mut stream, 1, &mut bytes)?;
            if bytes.len() == before || bytes[before] < 0x80 {
                break;
            }
        }
        let body = read_prefix(&bytes, limits).map_err(|fault| fault.error)?;
        // Whoever sets no limit may be told any length.
        let missing = (body.end as u64).saturating_add(CHECKSUM_BYTES as u64) - bytes.len() as u64;
        read_up_to(&mut stream, missing, &mut bytes)?;
        let head = Head::read(&bytes, limits).map_err(|fault| fault.error)?;
        let owned = |(key, value): &(&str, &str)| ((*key).to_owned(), (*value).to_owned());
        let metadata = head.metadata.iter().map(owned).collect();
        let sections = head.sections.iter().zip(&head.sums).rev();
        let sections =
            sections.map(|(section, sum)| (section.clone(), head.section_name(section), *sum)).collect();
        let mut whole = Hasher::new();
        whole.update(head.bytes);
        let (tensors, size) = (head.tensors, head.size);
        Ok(Self {
            stream,
            head: bytes,
            metadata,
            tensors,
            sections,
            size,
            whole,
            data: Vec::new(),
            data_at: 0,
            next: 0,
            ended: false,
        })
    }

    /// All metadata, in the order it was written.
    pub fn metadata_entries(&self) -> &[(String, String)] {
        &self.metadata
    }

    /// All tensors, aliases included, in the order they were written.
    pub fn tensors(&self) -> &[TensorEntry] {
        &self.tensors
    }

    /// Where the file's bytes go, to the last one.
    pub fn size(&self) -> FileSize {
        self.size
    }

    /// Reads the next tensor that is no alias and not raw, makes `values` its values and returns its place
    /// among [`tensors`](Self::tensors); `None` after the last, once the sum of the whole was compared and
    /// nothing was found to follow.
    ///
    /// # Errors
    /// [`StreamError`]; the stream cannot be read on then.
    pub fn next_values(&mut self, values: &mut Vec<f32>) -> Result<Option<usize>, StreamError> {
        while let Some(place) = self.next_stored()? {
            if !self.tensors[place].has_values() {
                continue;
            }
            let entry = &self.tensors[place];
            values.clear();
            if values.try_reserve_exact(entry.elements).is_err() {
                let (name, elements) = (entry.name.clone(), entry.elements);
                return Err(ReadError::OutOfMemory { name, elements }.into());
            }
            values.resize(entry.elements, 0.0);
            let source = Source { head: &self.head, data: self.data_of(place) };
            entry.decode_into(source, values).map_err(|fault| fault.error)?;
            return Ok(Some(place));
        }
        Ok(None)
    }

    /// Reads the next tensor that is no alias, whatever it is, and returns its place among
    /// [`tensors`](Self::tensors) and its data as they lie in the file; `None` after the last, as for
    /// [`next_values`](Self::next_values). Of raw tensors the data are the elements.
    ///
    /// # Errors
    /// [`StreamError`]; the stream cannot be read on then.
    pub fn next_data(&mut self) -> Result<Option<(usize, &[u8])>, StreamError> {
        let place = self.next_stored()?;
        Ok(place.map(|place| (place, self.data_of(place))))
    }

    /// Has the section of the next tensor that is no alias in memory.
    fn next_stored(&mut self) -> Result<Option<usize>, StreamError> {
        while self.tensors.get(self.next).is_some_and(|entry| !entry.is_stored()) {
            self.next += 1;
        }
        let place = self.next;
        if place == self.tensors.len() {
            self.end()?;
            return Ok(None);
        }
        self.next += 1;
        if self.tensors[place].data_bytes > 0 && !self.holds(place) {
            self.read_section()?;
        }
        Ok(Some(place))
    }

    /// The data of a tensor in the section that was read last.
    fn data_of(&self, place: usize) -> &[u8] {
        let entry = &self.tensors[place];
        let start = entry.data_at.start.saturating_sub(self.data_at) as usize;
        self.data.get(start..start + entry.data_bytes as usize).unwrap_or_default()
    }

    /// Whether the section that was read last has the data of a tensor.
    fn holds(&self, place: usize) -> bool {
        let end = self.data_at + self.data.len() as u64;
        self.tensors[place].data_at.start >= self.data_at && self.tensors[place].data_at.end <= end
    }

    fn read_section(&mut self) -> Result<(), StreamError> {
        let Some((section, name, sum)) = self.sections.pop() else {
            return Ok(());
        };
        self.take(section.fill, &name, section.at.start - section.fill)?;
        if self.data.iter().any(|byte| *byte != 0) {
            let name = self.tensors[section.tensors.start].name.clone();
            return Err(ReadError::FillNotZero { name }.into());
        }
        self.whole.update(&self.data);
        self.take(section.at.end - section.at.start, &name, section.at.start)?;
        check_sum(name, &self.data, sum)?;
        self.whole.update(&self.data);
        self.data_at = section.at.start;
        Ok(())
    }

    fn end(&mut self) -> Result<(), StreamError> {
        if self.ended {
            return Ok(());
        }
        let at = self.size.bytes() - CHECKSUM_BYTES as u64;
        self.take(CHECKSUM_BYTES as u64, "the check sum of the whole", at)?;
        let expected = self.data.first_chunk::<CHECKSUM_BYTES>().copied().unwrap_or_default();
        compare("the whole", self.whole.clone().finalize(), u32::from_le_bytes(expected))?;
        self.data.clear();
        read_up_to(&mut self.stream, 1, &mut self.data)?;
        if !self.data.is_empty() {
            return Err(ReadError::TrailingBytes { found: 1 }.into());
        }
        self.ended = true;
        Ok(())
    }

    /// Makes `data` the next so many bytes of the stream.
    fn take(&mut self, needed: u64, what: &str, offset: u64) -> Result<(), StreamError> {
        self.data.clear();
        read_up_to(&mut self.stream, needed, &mut self.data)?;
        let found = self.data.len();
        if (found as u64) < needed {
            let (what, offset) = (what.to_owned(), offset as usize);
            return Err(ReadError::Truncated { what, offset, needed, found }.into());
        }
        Ok(())
    }
}

/// Appends so many bytes of a stream, or what there is. Memory grows with what comes, not with what is
/// asked for.
fn read_up_to(stream: &mut impl Read, count: u64, bytes: &mut Vec<u8>) -> io::Result<()> {
    stream.take(count).read_to_end(bytes)?;
    Ok(())
}
