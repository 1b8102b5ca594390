//! How the codes of a tensor are written, without what they mean: their groups' widths, and packed or coded.
//!
//! [`CodesEntry`] is what the table says; [`StoredCodes`] are the data with it. Who knows what codes mean is a
//! [`Sink`]: it is given all codes in order, a run of whole groups at a time, in the form that they are decoded
//! to.

use std::num::NonZeroUsize;

use fewbit_kernels::packed::{
    self as kernels, Levels, PackedError, SortedGroups, dequantize, dequantize_channels, place_channels,
    place_codes, place_weights,
};

use super::classes::WidthClasses;
use super::coded::{Directory, SharedModels, SortedCodes};
use super::cursor::{Cursor, put_number};
use super::packed::Part;
use super::{EncodingError, EncodingFault, packed, reserved, widths};
use crate::{BitWidth, GroupSize, Grouping};

/// What the table says of a tensor's codes.
#[derive(Debug, PartialEq)]
pub(crate) struct CodesEntry {
    pub(crate) group_size: GroupSize,
    pub(crate) classes: WidthClasses,
    pub(crate) form: CodesForm,
}

/// How the codes are written.
#[derive(Debug, PartialEq)]
pub(crate) enum CodesForm {
    /// Side by side at their widths; then the widths.
    Packed,
    /// Entropy coded, in streams that are divided like this: of widths, then of codes.
    Coded(Directory),
}

/// Bytes of codes and widths, in the table and in the data.
#[derive(Clone, Copy, Debug, Default)]
pub(crate) struct CodesBytes {
    pub(crate) frequency_tables: u64,
    pub(crate) widths: u64,
    pub(crate) codes: u64,
    /// Bytes of the tensor's data.
    pub(crate) data: u64,
}

/// Appends group size and widths.
pub(crate) fn put(table: &mut Vec<u8>, group_size: GroupSize, classes: &WidthClasses) {
    let group_size = match group_size {
        GroupSize::Weights(weights) => weights.get() as u64,
        GroupSize::WholeTensor => 0,
    };
    put_number(table, group_size);
    table.extend([classes.minimum().get(), classes.maximum().get()]);
    if !classes.is_uniform() {
        let counts = &classes.histogram()[usize::from(classes.minimum().get())..];
        let but_the_last = classes.widths().count() - 1;
        counts[..but_the_last].iter().for_each(|count| put_number(table, *count as u64));
        if classes.missing() > 0 {
            table.push(classes.last().get());
        }
    }
}

impl CodesEntry {
    /// The entry of so many codes, and the bytes that they take. `shared` are the models of earlier tensors that
    /// were coded, or `None` for packed codes.
    pub(crate) fn read(
        cursor: &mut Cursor<'_>,
        codes: usize,
        shared: Option<&mut SharedModels>,
    ) -> Result<(Self, CodesBytes), EncodingError> {
        // 0 is not a group size, so it can stand for the whole tensor.
        let group_size = GroupSize::new(cursor.count("a group size")?).unwrap_or(GroupSize::WholeTensor);
        let start = cursor.position();
        let classes = read_classes(cursor, Grouping::new(group_size, codes))?;
        let in_table = (cursor.position() - start) as u64;
        let Some(shared) = shared else {
            let (codes, widths) = (packed::packed_bytes(&classes), widths::packed_bytes(&classes));
            let data = codes.saturating_add(widths);
            let bytes = CodesBytes { frequency_tables: 0, widths: in_table + widths, codes, data };
            return Ok((Self { group_size, classes, form: CodesForm::Packed }, bytes));
        };
        let directory = Directory::read(cursor, &classes, shared)?;
        let size = directory.size();
        let bytes = CodesBytes {
            frequency_tables: size.frequency_tables,
            widths: size.widths.saturating_add(in_table),
            codes: size.codes,
            data: size.streams,
        };
        Ok((Self { group_size, classes, form: CodesForm::Coded(directory) }, bytes))
    }

    /// The codes in these data.
    pub(crate) const fn of<'d>(&'d self, data: &'d [u8]) -> StoredCodes<'d> {
        StoredCodes { entry: self, data }
    }
}

/// The histogram of widths.
fn read_classes(cursor: &mut Cursor<'_>, grouping: Grouping) -> Result<WidthClasses, EncodingError> {
    let [minimum, maximum] = cursor.array("a tensor's smallest and largest width")?;
    let (minimum, maximum) = BitWidth::new(minimum)
        .zip(BitWidth::new(maximum))
        .filter(|(minimum, maximum)| minimum <= maximum)
        .ok_or(EncodingError::WidthBounds { minimum, maximum })?;
    let [first, last] = [minimum, maximum].map(|width| usize::from(width.get()));
    let mut groups = [0; BitWidth::COUNT];
    let mut left = Some(grouping.count());
    for count in &mut groups[first..last] {
        *count = cursor.count("the number of groups of a width")?;
        left = left.and_then(|left| left.checked_sub(*count));
    }
    groups[last] = left.unwrap_or(usize::MAX);
    let ragged = grouping.count() * grouping.size() > grouping.len();
    let mut width_of_last = Some(maximum);
    if ragged && minimum < maximum {
        let [width] = cursor.array("the width of the last group")?;
        width_of_last = BitWidth::new(width);
    }
    let classes =
        width_of_last.and_then(|last| WidthClasses::counted(grouping, minimum, maximum, groups, last));
    classes.ok_or(EncodingError::WidthCounts { groups: grouping.count() })
}

/// What becomes of decoded codes.
pub(crate) trait Sink<T>: Sync {
    /// Takes packed codes.
    fn packed(&self, part: Part<'_>, out: &mut [T]) -> Result<(), PackedError>;
    /// Takes codes that are sorted by width, the first of which has the number `first`.
    fn sorted(&self, first: usize, groups: SortedGroups<'_>, out: &mut [T]);
}

/// Codes as they are.
struct AsCodes;

impl Sink<u16> for AsCodes {
    fn packed(&self, part: Part<'_>, out: &mut [u16]) -> Result<(), PackedError> {
        kernels::unpack(part.codes, part.widths, out)
    }

    fn sorted(&self, _first: usize, groups: SortedGroups<'_>, out: &mut [u16]) {
        place_codes(groups, out);
    }
}

/// Weights on the levels of the whole tensor.
pub(crate) struct OneGrid(pub(crate) Levels);

impl Sink<f32> for OneGrid {
    fn packed(&self, part: Part<'_>, out: &mut [f32]) -> Result<(), PackedError> {
        dequantize(part.codes, part.widths, self.0, out)
    }

    fn sorted(&self, _first: usize, groups: SortedGroups<'_>, out: &mut [f32]) {
        place_weights(groups, self.0, out);
    }
}

/// Weights on levels of their own for each run of `size` weights.
pub(crate) struct GridPerRun<F> {
    pub(crate) size: NonZeroUsize,
    pub(crate) levels: F,
}

impl<F: Fn(usize) -> Levels + Sync> Sink<f32> for GridPerRun<F> {
    fn packed(&self, part: Part<'_>, out: &mut [f32]) -> Result<(), PackedError> {
        dequantize_channels(part.codes, part.widths, part.first, self.size, &self.levels, out)
    }

    fn sorted(&self, first: usize, groups: SortedGroups<'_>, out: &mut [f32]) {
        place_channels(groups, first, self.size, &self.levels, out);
    }
}

/// The data of a tensor's codes, and how to read them.
#[derive(Clone, Copy)]
pub(crate) struct StoredCodes<'d> {
    entry: &'d CodesEntry,
    /// Exactly as many bytes as the entry says.
    data: &'d [u8],
}

impl<'d> StoredCodes<'d> {
    /// One width per group, as the histogram counts them; `None` where all are the smallest.
    pub(crate) fn widths(&self) -> Result<Option<Vec<u8>>, EncodingFault> {
        let classes = &self.entry.classes;
        match &self.entry.form {
            CodesForm::Packed => {
                let [codes, widths] = self.packed();
                widths::unpack(widths, classes).map_err(|fault| fault.after(codes.len()))
            }
            CodesForm::Coded(directory) => directory.widths(self.data, classes),
        }
    }

    /// One width per group, of what [`widths`](Self::widths) returned.
    pub(crate) fn all_widths(&self, widths: Option<Vec<u8>>) -> Result<Vec<BitWidth>, EncodingFault> {
        let classes = &self.entry.classes;
        match widths {
            // None is above the largest: they match the histogram.
            Some(widths) => {
                let width = |width| BitWidth::new(width).unwrap_or(BitWidth::MAX);
                Ok(widths.into_iter().map(width).collect())
            }
            None => {
                let count = classes.grouping().count();
                let mut widths = reserved(count)?;
                widths.resize(count, classes.minimum());
                Ok(widths)
            }
        }
    }

    /// How many bytes they are.
    pub(crate) const fn bytes(&self) -> usize {
        self.data.len()
    }

    /// The smallest width of a group.
    pub(crate) const fn least_width(&self) -> u8 {
        self.entry.classes.minimum().get()
    }

    /// All codes, in order; `widths` are those of [`widths`](Self::widths).
    pub(crate) fn codes(&self, widths: Option<&[u8]>) -> Result<Vec<u16>, EncodingFault> {
        let count = self.entry.classes.grouping().len();
        let mut codes = reserved(count)?;
        codes.resize(count, 0);
        self.decode(widths, &mut codes, &AsCodes)?;
        Ok(codes)
    }

    /// Gives all codes to `sink`, each with its place in `out`. `widths` are those of [`widths`](Self::widths),
    /// or `None` where the caller has no need of them.
    pub(crate) fn decode<T: Send>(
        &self,
        widths: Option<&[u8]>,
        out: &mut [T],
        sink: &impl Sink<T>,
    ) -> Result<(), EncodingFault> {
        let classes = &self.entry.classes;
        match &self.entry.form {
            CodesForm::Packed => self.decode_packed(widths, out, sink),
            CodesForm::Coded(directory) => {
                let found = if widths.is_none() { self.widths()? } else { None };
                let place = |first, groups: SortedGroups<'_>, out: &mut [T]| sink.sorted(first, groups, out);
                directory.codes(self.data)?.place(classes, widths.or(found.as_deref()), out, place)
            }
        }
    }

    fn decode_packed<T>(
        &self,
        widths: Option<&[u8]>,
        out: &mut [T],
        sink: &impl Sink<T>,
    ) -> Result<(), EncodingFault> {
        let ([codes, packed_widths], classes) = (self.packed(), &self.entry.classes);
        let mut found = None;
        if widths.is_none() && !classes.is_uniform() {
            let work = |part: Part<'_>, out: &mut [T]| sink.packed(part, out);
            if packed::each_part([codes, packed_widths], classes, out, work) {
                return Ok(());
            }
            // As a whole it is found what is wrong.
            found = self.widths()?;
        }
        let widths = packed::kernel_widths(classes, widths.or(found.as_deref()));
        sink.packed(Part { first: 0, codes, widths }, out)
            .map_err(|source| EncodingFault::packing(0, "codes", source))
    }

    /// Whether codes and widths decode, in the order in which they lie.
    pub(crate) fn check(&self) -> Result<(), EncodingFault> {
        match &self.entry.form {
            CodesForm::Packed => {
                packed::check_bits(self.packed()[0], self.entry.classes.code_bits())
                    .map_err(|source| EncodingFault::packing(0, "codes", source))?;
                self.widths().map(drop)
            }
            CodesForm::Coded(directory) => {
                self.widths()?;
                directory.codes(self.data).and_then(|codes: SortedCodes<'_>| codes.check())
            }
        }
    }

    /// Packed codes, and packed widths.
    fn packed(&self) -> [&'d [u8]; 2] {
        let codes = usize::try_from(packed::packed_bytes(&self.entry.classes)).unwrap_or(usize::MAX);
        let (codes, widths) = self.data.split_at(codes.min(self.data.len()));
        [codes, widths]
    }
}
