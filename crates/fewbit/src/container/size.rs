//! Where a file's bytes go.

use std::ops::AddAssign;

use crate::ModelSize;

/// Bytes that one tensor takes in a file, by part.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct TensorBytes {
    /// Its entry of the table, but for what is counted below: name, encoding, shape, group size.
    pub table: u64,
    /// Its ranges, packed or coded, and what their coding takes.
    pub ranges: u64,
    /// Each group's width, and how many groups have each.
    pub widths: u64,
    /// Frequency tables of its coded codes.
    pub frequency_tables: u64,
    /// Each weight's code.
    pub codes: u64,
    /// Each value that is stored as a float or byte for byte.
    pub unquantized: u64,
    /// What fills up to where it begins.
    pub unused: u64,
}

impl TensorBytes {
    /// All parts together.
    pub const fn total(self) -> u64 {
        self.table
            + self.ranges
            + self.widths
            + self.frequency_tables
            + self.codes
            + self.unquantized
            + self.unused
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
    /// The mark, the version, the metadata and the numbers of bytes, entries and tensors.
    pub const fn header(self) -> u64 {
        self.header
    }

    /// Names, encodings, shapes and group sizes of all tensors.
    pub const fn table(self) -> u64 {
        self.tensors.table
    }

    /// Ranges of all tensors.
    pub const fn ranges(self) -> u64 {
        self.tensors.ranges
    }

    /// Widths of all groups, packed or coded, and how many groups have each.
    pub const fn widths(self) -> u64 {
        self.tensors.widths
    }

    /// Frequency tables of the coded codes.
    pub const fn frequency_tables(self) -> u64 {
        self.tensors.frequency_tables
    }

    /// Codes of all tensors, packed or coded.
    pub const fn codes(self) -> u64 {
        self.tensors.codes
    }

    /// Values that are stored as floats or byte for byte.
    pub const fn unquantized(self) -> u64 {
        self.tensors.unquantized
    }

    /// Zeros in front of long packed tensors, which begin at a multiple of 64 bytes.
    pub const fn unused(self) -> u64 {
        self.tensors.unused
    }

    /// The checksums: of header and table, of each section, of the whole.
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
    pub const fn parts(self) -> [(&'static str, u64); 9] {
        [
            ("header", self.header),
            ("table", self.tensors.table),
            ("ranges", self.tensors.ranges),
            ("widths", self.tensors.widths),
            ("frequency tables", self.tensors.frequency_tables),
            ("codes", self.tensors.codes),
            ("unquantized", self.tensors.unquantized),
            ("unused", self.tensors.unused),
            ("checksum", self.checksum),
        ]
    }
}

impl AddAssign<TensorBytes> for FileSize {
    fn add_assign(&mut self, tensor: TensorBytes) {
        self.tensors.table += tensor.table;
        self.tensors.ranges += tensor.ranges;
        self.tensors.widths += tensor.widths;
        self.tensors.frequency_tables += tensor.frequency_tables;
        self.tensors.codes += tensor.codes;
        self.tensors.unquantized += tensor.unquantized;
        self.tensors.unused += tensor.unused;
    }
}

/// The same size in bits; frequency tables count as tables, checksums and what is unused as header.
impl From<FileSize> for ModelSize {
    fn from(size: FileSize) -> Self {
        Self {
            codes: 8 * size.codes(),
            widths: 8 * size.widths(),
            ranges: 8 * size.ranges(),
            tables: 8 * (size.table() + size.frequency_tables()),
            header: 8 * (size.header + size.checksum + size.unused()),
            unquantized: 8 * size.unquantized(),
        }
    }
}
