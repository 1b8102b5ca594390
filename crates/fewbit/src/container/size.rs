//! Where a file's bytes go.

use std::ops::AddAssign;

use crate::ModelSize;

/// Bytes that one tensor takes in a file, by part.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct TensorBytes {
    /// Its entry of the table, but for the range: name, kind, shape, group size.
    pub table: u64,
    /// Its smallest and largest value.
    pub ranges: u64,
    /// Each group's width.
    pub widths: u64,
    /// Each weight's code.
    pub codes: u64,
    /// Each value that is stored as a float.
    pub unquantized: u64,
}

impl TensorBytes {
    /// All parts together.
    pub const fn total(self) -> u64 {
        self.table + self.ranges + self.widths + self.codes + self.unquantized
    }
}

/// Bytes of a whole file, by part; together they are its length.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct FileSize {
    pub(super) header: u64,
    pub(super) tensors: TensorBytes,
    pub(super) checksum: u64,
}

impl FileSize {
    /// The mark, the version, the metadata and the number of tensors.
    pub const fn header(self) -> u64 {
        self.header
    }

    /// Names, kinds, shapes and group sizes of all tensors.
    pub const fn table(self) -> u64 {
        self.tensors.table
    }

    /// Ranges of all tensors.
    pub const fn ranges(self) -> u64 {
        self.tensors.ranges
    }

    /// Packed widths of all tensors, each in whole bytes.
    pub const fn widths(self) -> u64 {
        self.tensors.widths
    }

    /// Packed codes of all tensors, each in whole bytes.
    pub const fn codes(self) -> u64 {
        self.tensors.codes
    }

    /// Values that are stored as floats.
    pub const fn unquantized(self) -> u64 {
        self.tensors.unquantized
    }

    /// The check sum.
    pub const fn checksum(self) -> u64 {
        self.checksum
    }

    /// All parts together: the file's length.
    pub const fn bytes(self) -> u64 {
        self.header + self.tensors.total() + self.checksum
    }

    /// Mebibytes (2^20 bytes), the unit of the result tables.
    pub fn mebibytes(self) -> f64 {
        self.bytes() as f64 / f64::from(1 << 20)
    }

    /// Every part by its name, in the file's order.
    pub const fn parts(self) -> [(&'static str, u64); 7] {
        [
            ("header", self.header),
            ("table", self.tensors.table),
            ("ranges", self.tensors.ranges),
            ("widths", self.tensors.widths),
            ("codes", self.tensors.codes),
            ("unquantized", self.tensors.unquantized),
            ("checksum", self.checksum),
        ]
    }
}

impl AddAssign<TensorBytes> for FileSize {
    fn add_assign(&mut self, tensor: TensorBytes) {
        self.tensors.table += tensor.table;
        self.tensors.ranges += tensor.ranges;
        self.tensors.widths += tensor.widths;
        self.tensors.codes += tensor.codes;
        self.tensors.unquantized += tensor.unquantized;
    }
}

/// The same size in bits; the check sum counts as header.
impl From<FileSize> for ModelSize {
    fn from(size: FileSize) -> Self {
        Self {
            codes: 8 * size.codes(),
            widths: 8 * size.widths(),
            ranges: 8 * size.ranges(),
            tables: 8 * size.table(),
            header: 8 * (size.header + size.checksum),
            unquantized: 8 * size.unquantized(),
        }
    }
}
