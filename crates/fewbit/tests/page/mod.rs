//! A reader of `.fewbit` files, written from `docs/format.md` alone: none of the crate's code, no speed, and no
//! care for files that are not sound. What it asserts is what the page says of sound ones.

mod streams;

use std::collections::HashMap;

use streams::{FrequencyTable, Symbols};

/// A file's content.
pub(crate) struct File {
    pub(crate) metadata: Vec<(String, String)>,
    pub(crate) tensors: Vec<Tensor>,
}

#[derive(Clone, Debug)]
pub(crate) struct Tensor {
    pub(crate) name: String,
    pub(crate) shape: Vec<usize>,
    pub(crate) content: Content,
}

#[derive(Clone, Debug)]
pub(crate) enum Content {
    Floats(Vec<f32>),
    /// Codes, a width per group, and values.
    Quantized {
        codes: Vec<u32>,
        widths: Vec<u8>,
        values: Vec<f32>,
    },
    /// The number of the element type, and the bytes.
    Raw {
        elements: u8,
        bytes: Vec<u8>,
    },
    Alias(usize),
}

/// Bytes read from the front.
#[derive(Clone)]
pub(crate) struct Bytes<'a> {
    pub(crate) bytes: &'a [u8],
    pub(crate) at: usize,
}

impl<'a> Bytes<'a> {
    pub(crate) fn take(&mut self, count: usize) -> &'a [u8] {
        self.at += count;
        &self.bytes[self.at - count..self.at]
    }

    pub(crate) fn byte(&mut self) -> u8 {
        self.take(1)[0]
    }

    /// A number of so many bytes, the lowest first.
    pub(crate) fn little(&mut self, count: usize) -> u64 {
        self.take(count).iter().rev().fold(0, |number, byte| number << 8 | u64::from(*byte))
    }

    pub(crate) fn number(&mut self) -> usize {
        let (mut number, mut shift) = (0, 0);
        loop {
            let byte = usize::from(self.byte());
            number |= (byte & 0x7f) << shift;
            shift += 7;
            if byte < 0x80 {
                assert!(byte > 0 || shift == 7, "the shortest form only");
                return number;
            }
        }
    }

    fn text(&mut self) -> String {
        let length = self.number();
        String::from_utf8(self.take(length).to_vec()).unwrap()
    }

    /// Packed numbers of so many bits each.
    fn packed(&mut self, widths: impl IntoIterator<Item = u32>) -> Vec<u32> {
        let (start, mut bit) = (self.at, 0);
        let numbers = widths.into_iter().map(|width| {
            let number = (0..width).map(|i| self.bit(start, bit + i as usize) << i).sum();
            bit += width as usize;
            number
        });
        let numbers = numbers.collect();
        self.at += bit.div_ceil(8);
        (bit..(self.at - start) * 8).for_each(|bit| assert_eq!(self.bit(start, bit), 0, "padding"));
        numbers
    }

    fn bit(&self, start: usize, bit: usize) -> u32 {
        u32::from(self.bytes[start + bit / 8] >> (bit % 8) & 1)
    }
}

fn checksum(bytes: &[u8]) -> u64 {
    let crc = bytes.iter().fold(u32::MAX, |crc, byte| {
        (0..8).fold(crc ^ u32::from(*byte), |crc, _| crc >> 1 ^ (0xedb8_8320 & (crc & 1).wrapping_neg()))
    });
    u64::from(!crc)
}

/// A 16-bit float of IEEE 754.
fn half(bits: u64) -> f32 {
    let (sign, exponent, fraction) = (bits >> 15, bits >> 10 & 31, (bits & 1023) as f32);
    let magnitude = match exponent {
        0 => fraction * 2f32.powi(-24),
        31 if fraction == 0.0 => f32::INFINITY,
        31 => f32::NAN,
        _ => (1024.0 + fraction) * 2f32.powi(exponent as i32 - 25),
    };
    if sign == 1 { -magnitude } else { magnitude }
}

/// What the table says of one tensor.
struct Entry {
    name: String,
    encoding: u8,
    levels: u8,
    shape: Vec<usize>,
    codes: Option<Codes>,
    alias: usize,
    /// Of granularity 0, the numbers of the range.
    range: Vec<f32>,
    planes: Vec<Model<FrequencyTable>>,
    data: usize,
}

struct Codes {
    group_size: usize,
    groups: usize,
    least: u8,
    most: u8,
    /// Number of groups of each width, and the width of the last.
    histogram: [usize; 17],
    last: u8,
    width_streams: Vec<usize>,
    models: Vec<(u8, Model<Symbols>)>,
}

/// How a run of symbols is written: stored, or in streams of these lengths.
enum Model<T> {
    Stored,
    Coded(T, Vec<usize>),
}

impl Codes {
    fn count(&self, width: u8, elements: usize) -> usize {
        let missing = self.groups * self.group_size - elements;
        self.histogram[usize::from(width)] * self.group_size - if width == self.last { missing } else { 0 }
    }
}

/// What later entries may refer to.
#[derive(Default)]
struct Shared {
    suffixes: Vec<Vec<u8>>,
    symbols: HashMap<u8, Symbols>,
    planes: HashMap<(bool, u8), FrequencyTable>,
}

impl Entry {
    fn granularity(&self) -> u8 {
        self.levels & 3
    }

    fn is_half(&self) -> bool {
        self.levels >> 2 & 1 == 1
    }

    fn kind(&self) -> u8 {
        self.levels >> 3
    }

    /// Numbers of a range.
    fn numbers(&self) -> usize {
        if self.kind() == 0 { 2 } else { 1 }
    }

    fn number_bytes(&self) -> usize {
        if self.is_half() { 2 } else { 4 }
    }

    fn elements(&self) -> usize {
        self.shape.iter().product()
    }

    /// Ranges in the data.
    fn ranges(&self) -> usize {
        let codes = self.codes.as_ref().unwrap();
        match self.granularity() {
            0 => 0,
            1 if self.elements() == 0 => 0,
            1 => self.shape.first().copied().unwrap_or(1),
            _ => codes.groups - codes.histogram[0],
        }
    }

    fn float(&self, bytes: &mut Bytes<'_>) -> f32 {
        match self.number_bytes() {
            2 => half(bytes.little(2)),
            _ => f32::from_bits(bytes.little(4) as u32),
        }
    }

    fn read(bytes: &mut Bytes<'_>, previous: &str, shared: &mut Shared) -> Self {
        let common = bytes.number();
        let suffix = match bytes.number() {
            n if n % 2 == 0 => bytes.take(n / 2).to_vec(),
            n => shared.suffixes[shared.suffixes.len() - (n - 1) / 2 - 1].clone(),
        };
        let name = String::from_utf8([&previous.as_bytes()[..common], &suffix].concat()).unwrap();
        shared.suffixes.push(suffix);
        let first = bytes.byte();
        let mut entry = Self {
            name,
            encoding: first & 7,
            levels: first >> 3,
            shape: vec![],
            codes: None,
            alias: 0,
            range: vec![],
            planes: vec![],
            data: 0,
        };
        if entry.encoding == 5 {
            entry.alias = bytes.number();
            return entry;
        }
        let rank = bytes.number();
        entry.shape = (0..rank).map(|_| bytes.number()).collect();
        entry.data = match entry.encoding {
            0 => 4 * entry.elements(),
            3 | 4 => 2 * entry.elements(),
            6 => entry.elements() * [1, 1, 2, 2, 4, 4, 8, 8, 1, 8, 1, 1, 8][usize::from(entry.levels)],
            _ => entry.read_quantized(bytes, shared),
        };
        entry
    }

    /// Codes and levels; how many bytes of data they have.
    fn read_quantized(&mut self, bytes: &mut Bytes<'_>, shared: &mut Shared) -> usize {
        let (elements, coded) = (self.elements(), self.encoding == 2);
        let group_size = match bytes.number() {
            0 => elements,
            size => size.min(elements),
        };
        let groups = if elements == 0 { 0 } else { elements.div_ceil(group_size) };
        let [least, most] = [bytes.byte(), bytes.byte()];
        let mut histogram = [0; 17];
        let mut rest = groups;
        for width in least..most {
            histogram[usize::from(width)] = bytes.number();
            rest -= histogram[usize::from(width)];
        }
        histogram[usize::from(most)] = rest;
        let ragged = groups * group_size > elements;
        let last = if least < most && ragged { bytes.byte() } else { most };
        let mut codes =
            Codes { group_size, groups, least, most, histogram, last, width_streams: vec![], models: vec![] };
        let mut data = 0;
        let with_codes: Vec<u8> = (1..=16)
            .filter(|width| codes.histogram[usize::from(*width)] > 0 && codes.count(*width, elements) > 0)
            .collect();
        if coded {
            if least < most {
                codes.width_streams = (0..groups.div_ceil(STREAM)).map(|_| bytes.number()).collect();
                data += codes.width_streams.iter().sum::<usize>();
            }
            let models = bytes.packed(with_codes.iter().map(|_| 2));
            for (&width, model) in with_codes.iter().zip(models) {
                let count = codes.count(width, elements);
                let model = match model {
                    0 => Model::Stored,
                    own => {
                        if own == 1 {
                            shared.symbols.insert(width, Symbols::read(bytes, width));
                        }
                        let symbols = shared.symbols[&width].clone();
                        let lengths = lengths(bytes, &symbols.table, count);
                        Model::Coded(symbols, lengths)
                    }
                };
                data += match &model {
                    Model::Stored => (count * usize::from(width)).div_ceil(8),
                    Model::Coded(symbols, lengths) => {
                        lengths.iter().sum::<usize>() + (count * symbols.raw_bits as usize).div_ceil(8)
                    }
                };
                codes.models.push((width, model));
            }
        } else {
            let bits: usize =
                with_codes.iter().map(|width| usize::from(*width) * codes.count(*width, elements)).sum();
            data += bits.div_ceil(8) + (groups * bits_to_tell(most - least) as usize).div_ceil(8);
        }
        self.codes = Some(codes);
        if self.granularity() == 0 {
            self.range = (0..self.numbers()).map(|_| self.float(bytes)).collect();
        }
        let ranges = self.ranges();
        if !coded || ranges == 0 {
            return data + ranges * self.numbers() * self.number_bytes();
        }
        let in_column = self.number_bytes() / 2;
        let models = bytes.packed(vec![2; self.numbers() * in_column]);
        data += ranges * self.numbers() * in_column;
        for (plane, model) in models.into_iter().enumerate() {
            let minima = self.numbers() == 2 && plane < in_column;
            let byte = if self.is_half() { 0 } else { 1 + (plane % in_column) as u8 };
            let model = match model {
                0 => Model::Stored,
                own => {
                    if own == 1 {
                        shared.planes.insert((minima, byte), FrequencyTable::read(bytes));
                    }
                    let table = shared.planes[&(minima, byte)].clone();
                    let lengths = lengths(bytes, &table, ranges);
                    Model::Coded(table, lengths)
                }
            };
            data += match &model {
                Model::Stored => ranges,
                Model::Coded(_, lengths) => lengths.iter().sum(),
            };
            self.planes.push(model);
        }
        data
    }

    /// The content of its data.
    fn decode(&self, data: &[u8]) -> Content {
        let mut bytes = Bytes { bytes: data, at: 0 };
        let elements = self.elements();
        let content = match self.encoding {
            0 => Content::Floats((0..elements).map(|_| f32::from_bits(bytes.little(4) as u32)).collect()),
            3 => Content::Floats((0..elements).map(|_| half(bytes.little(2))).collect()),
            4 => Content::Floats(
                (0..elements).map(|_| f32::from_bits((bytes.little(2) as u32) << 16)).collect(),
            ),
            5 => Content::Alias(self.alias),
            6 => Content::Raw { elements: self.levels, bytes: bytes.take(data.len()).to_vec() },
            _ => {
                let (codes, widths) = if self.encoding == 1 {
                    self.packed_codes(&mut bytes)
                } else {
                    self.coded_codes(&mut bytes)
                };
                let ranges = self.stored_ranges(&mut bytes);
                let values = self.values(&codes, &widths, &ranges);
                Content::Quantized { codes, widths, values }
            }
        };
        assert_eq!(bytes.at, data.len(), "{}: no byte is left", self.name);
        content
    }

    fn packed_codes(&self, bytes: &mut Bytes<'_>) -> (Vec<u32>, Vec<u8>) {
        let codes = self.codes.as_ref().unwrap();
        // The widths come behind the codes, and tell how long these are.
        let bits: usize = (1..=16u8)
            .filter(|width| codes.histogram[usize::from(*width)] > 0)
            .map(|width| usize::from(width) * codes.count(width, self.elements()))
            .sum();
        let mut behind = Bytes { bytes: bytes.bytes, at: bits.div_ceil(8) };
        let offsets = behind.packed(vec![bits_to_tell(codes.most - codes.least); codes.groups]);
        let widths: Vec<u8> = offsets.iter().map(|offset| codes.least + *offset as u8).collect();
        let each = (0..self.elements()).map(|index| u32::from(widths[index / codes.group_size]));
        let found = bytes.packed(each.collect::<Vec<_>>());
        bytes.at = behind.at;
        (found, widths)
    }

    fn coded_codes(&self, bytes: &mut Bytes<'_>) -> (Vec<u32>, Vec<u8>) {
        let codes = self.codes.as_ref().unwrap();
        let mut widths = vec![codes.least; codes.groups];
        if codes.least < codes.most {
            let table = width_frequencies(&codes.histogram, codes.groups);
            let most = table.frequencies.iter().max().copied().unwrap();
            let lanes = |count: usize| match (count * ((1 << table.precision) - most)) >> table.precision {
                0..4096 => 1,
                4096..65_536 => 4,
                _ => 32,
            };
            widths = table.decode_run(bytes, &codes.width_streams, codes.groups, lanes);
        }
        let mut sorted: Vec<std::vec::IntoIter<u32>> = vec![vec![].into_iter(); 17];
        for (width, model) in &codes.models {
            let count = codes.count(*width, self.elements());
            let found = match model {
                Model::Stored => bytes.packed(vec![u32::from(*width); count]),
                Model::Coded(symbols, lengths) => symbols.decode(bytes, lengths, count),
            };
            sorted[usize::from(*width)] = found.into_iter();
        }
        let each = (0..self.elements()).map(|index| match widths[index / codes.group_size] {
            0 => 0,
            width => sorted[usize::from(width)].next().unwrap(),
        });
        (each.collect(), widths)
    }

    /// The numbers of each range in the data.
    fn stored_ranges(&self, bytes: &mut Bytes<'_>) -> Vec<Vec<f32>> {
        let (count, width) = (self.ranges(), self.number_bytes());
        let mut columns = vec![];
        for column in 0..self.numbers() {
            let mut numbers = vec![vec![0; width]; count];
            let in_column = if self.encoding == 2 && count > 0 { width / 2 } else { 0 };
            for plane in 0..in_column {
                let symbols = match &self.planes[column * in_column + plane] {
                    Model::Stored => bytes.take(count).to_vec(),
                    Model::Coded(table, lengths) => table.decode_run(bytes, lengths, count, streams::lanes),
                };
                numbers.iter_mut().zip(symbols).for_each(|(number, byte)| number[width - 1 - plane] = byte);
            }
            for number in &mut numbers {
                number[..width - in_column].copy_from_slice(bytes.take(width - in_column));
            }
            let floats = numbers.iter().map(|number| self.float(&mut Bytes { bytes: number, at: 0 }));
            columns.push(floats.collect::<Vec<_>>());
        }
        (0..count).map(|index| columns.iter().map(|column| column[index]).collect()).collect()
    }

    fn values(&self, codes: &[u32], widths: &[u8], stored: &[Vec<f32>]) -> Vec<f32> {
        let entry = self.codes.as_ref().unwrap();
        let channel = (codes.len() / self.shape.first().copied().unwrap_or(1).max(1)).max(1);
        // Groups of no bits have no range in the data.
        let mut of_group = vec![];
        let mut next = stored.iter();
        for width in widths.iter().filter(|_| self.granularity() == 2) {
            of_group.push(if *width == 0 { vec![0.0; 2] } else { next.next().unwrap().clone() });
        }
        let value = |(index, code): (usize, &u32)| {
            let group = index / entry.group_size;
            let range = match self.granularity() {
                0 => &self.range,
                1 => &stored[index / channel],
                _ => &of_group[group],
            };
            value(self.kind(), range, widths[group], *code)
        };
        codes.iter().enumerate().map(value).collect()
    }
}

/// What a code means.
fn value(kind: u8, range: &[f32], width: u8, code: u32) -> f32 {
    if width == 0 {
        return 0.0;
    }
    let finite = |value: f64| value.clamp(f32::MIN.into(), f32::MAX.into()) as f32;
    let level = f64::from(code) - 2f64.powi(i32::from(width) - 1);
    match kind {
        0 | 1 => {
            let [minimum, maximum] =
                if kind == 0 { [range[0], range[1]] } else { [0.0 - range[0], range[0]] };
            let last = 2f64.powi(width.into()) - 1.0;
            if f64::from(code) == last || minimum == maximum {
                return maximum;
            }
            let step = (f64::from(maximum) - f64::from(minimum)) / last;
            (f64::from(minimum) + f64::from(code) * step) as f32
        }
        _ if range[0] == 0.0 => 0.0,
        2 => finite(level * f64::from(range[0])),
        _ => finite(level * f64::from(range[0]) / 2f64.powi(i32::from(width) - 1)),
    }
}

/// Symbols of a stream.
const STREAM: usize = 1 << 18;

fn lengths(bytes: &mut Bytes<'_>, table: &FrequencyTable, symbols: usize) -> Vec<usize> {
    let streams = if table.only().is_some() { 0 } else { symbols.div_ceil(STREAM) };
    (0..streams).map(|_| bytes.number()).collect()
}

/// Bits of an offset from the smallest width, where the largest offset is `largest`.
fn bits_to_tell(largest: u8) -> u32 {
    u8::BITS - largest.leading_zeros()
}

fn width_frequencies(histogram: &[usize; 17], groups: usize) -> FrequencyTable {
    let most = histogram.iter().max().copied().unwrap();
    let precision = if 16 * most >= 15 * groups { 14 } else { 12 };
    let mut frequencies = vec![0; 256];
    for (width, &count) in histogram.iter().enumerate().filter(|(_, count)| **count > 0) {
        frequencies[width] = ((count << precision) / groups).max(1);
    }
    let place = histogram.iter().position(|count| *count == most).unwrap();
    let others = frequencies.iter().sum::<usize>() - frequencies[place];
    frequencies[place] = (1 << precision) - others;
    FrequencyTable { precision, frequencies, rare: None }
}

/// Reads a whole file.
pub(crate) fn read(file: &[u8]) -> File {
    let mut bytes = Bytes { bytes: file, at: 0 };
    assert_eq!(bytes.take(8), [0x8b, 0x46, 0x57, 0x42, 0x0d, 0x0a, 0x1a, 0x0a]);
    assert_eq!(bytes.little(2), 1);
    let body = bytes.number();
    let body_end = bytes.at + body;
    let count = bytes.number();
    let metadata = (0..count).map(|_| (bytes.text(), bytes.text())).collect();
    let mut entries: Vec<Entry> = vec![];
    let mut shared = Shared::default();
    for _ in 0..bytes.number() {
        let previous = entries.last().map_or(String::new(), |entry| entry.name.clone());
        entries.push(Entry::read(&mut bytes, &previous, &mut shared));
    }

    // Where the data lie, and the sections that they are in.
    let mut at = body_end + 4;
    let mut sections: Vec<(usize, usize)> = vec![];
    let mut places = vec![];
    for entry in &entries {
        let alone = entry.data > 4096;
        if alone && entry.encoding == 1 {
            let padded = at.next_multiple_of(64);
            assert!(file[at..padded].iter().all(|byte| *byte == 0));
            at = padded;
        }
        let end = at + entry.data;
        match sections.last_mut() {
            _ if entry.data == 0 => {}
            Some(section) if end - section.0 <= 4096 => section.1 = end,
            _ => sections.push((at, end)),
        }
        places.push(at..end);
        at = end;
    }
    for (start, end) in sections {
        assert_eq!(bytes.little(4), checksum(&file[start..end]), "section at {start}");
    }
    assert_eq!(bytes.at, body_end);
    assert_eq!(bytes.little(4), checksum(&file[..body_end]));
    assert_eq!(Bytes { bytes: file, at }.little(4), checksum(&file[..at]));
    assert_eq!(at + 4, file.len());

    let tensor = |(entry, place): (&Entry, std::ops::Range<usize>)| Tensor {
        name: entry.name.clone(),
        shape: entry.shape.clone(),
        content: entry.decode(&file[place]),
    };
    File { metadata, tensors: entries.iter().zip(places).map(tensor).collect() }
}
