//! Streams of symbols, and what says how likely each is.

use super::{Bytes, STREAM};

/// Bits from the front of bytes, each byte from the lowest up.
struct Bits<'b, 'a> {
    bytes: &'b mut Bytes<'a>,
    bit: usize,
}

impl<'b, 'a> Bits<'b, 'a> {
    fn new(bytes: &'b mut Bytes<'a>) -> Self {
        Self { bytes, bit: 0 }
    }

    fn next(&mut self) -> usize {
        let byte = self.bytes.bytes[self.bytes.at + self.bit / 8];
        self.bit += 1;
        usize::from(byte >> ((self.bit - 1) % 8) & 1)
    }

    fn take(&mut self, count: usize) -> usize {
        (0..count).map(|i| self.next() << i).sum()
    }

    fn gamma(&mut self) -> usize {
        let mut k = 0;
        while self.next() == 0 {
            k += 1;
        }
        (1 << k) + self.take(k)
    }

    /// Goes to the next byte.
    fn end(mut self) {
        while !self.bit.is_multiple_of(8) {
            assert_eq!(self.next(), 0, "padding");
        }
        self.bytes.at += self.bit / 8;
    }
}

#[derive(Clone)]
pub(crate) struct FrequencyTable {
    pub(crate) precision: u32,
    pub(crate) frequencies: Vec<usize>,
    pub(crate) rare: Option<Box<FrequencyTable>>,
}

impl FrequencyTable {
    pub(crate) fn read(bytes: &mut Bytes<'_>) -> Self {
        let first = bytes.byte();
        let (precision, form) = (u32::from(first & 7) + 8, first >> 3);
        let total = 1 << precision;
        let mut table = Self { precision, frequencies: vec![0; 256], rare: None };
        match form {
            0 => table.frequencies[usize::from(bytes.byte())] = total,
            1 => table.frequencies = listed(bytes, total),
            2 => table.frequencies = shaped(bytes.take(6)),
            3 => {
                table.frequencies = listed(bytes, total);
                table.rare = Some(Box::new(Self::read(bytes)));
            }
            _ => panic!("form {form}"),
        }
        assert_eq!(table.frequencies.iter().sum::<usize>(), total);
        table
    }

    /// The symbol that has all.
    pub(crate) fn only(&self) -> Option<u8> {
        let symbol = self.frequencies.iter().position(|frequency| *frequency == 1 << self.precision)?;
        Some(symbol as u8)
    }

    /// The largest symbol, rare or not.
    fn largest(&self) -> usize {
        let largest = self.frequencies.iter().rposition(|frequency| *frequency > 0).unwrap();
        self.rare.as_ref().map_or(largest, |rare| largest.max(rare.largest()))
    }

    /// A run of symbols in streams of these lengths.
    pub(crate) fn decode_run(
        &self,
        bytes: &mut Bytes<'_>,
        lengths: &[usize],
        count: usize,
        lanes: impl Fn(usize) -> usize,
    ) -> Vec<u8> {
        if let Some(symbol) = self.only() {
            return vec![symbol; count];
        }
        let mut symbols = vec![];
        for length in lengths {
            let here = STREAM.min(count - symbols.len());
            let mut stream = Bytes { bytes: bytes.take(*length), at: 0 };
            symbols.extend(self.decode(&mut stream, here, lanes(here)));
            assert_eq!(stream.at, *length, "no byte is left");
        }
        symbols
    }

    fn decode(&self, stream: &mut Bytes<'_>, count: usize, lanes: usize) -> Vec<u8> {
        let total = 1u64 << self.precision;
        // Which symbol each part of the total is, and where the symbol's part begins.
        let mut slots = vec![];
        for (symbol, &frequency) in self.frequencies.iter().enumerate() {
            let start = slots.len() as u64;
            slots.extend(std::iter::repeat_n((symbol as u8, start), frequency));
        }
        let mut states: Vec<u64> = (0..lanes).map(|_| stream.little(4)).collect();
        assert!(states.iter().all(|state| *state >= 1 << 16));
        let mut symbols = vec![];
        for i in 0..count {
            let x = &mut states[i % lanes];
            let (symbol, start) = slots[(*x % total) as usize];
            *x = self.frequencies[usize::from(symbol)] as u64 * (*x / total) + *x % total - start;
            if *x < 1 << 16 {
                *x = *x << 16 | stream.little(2);
            }
            symbols.push(symbol);
        }
        assert!(states.iter().all(|state| *state == 1 << 16));
        if let Some(rare) = &self.rare {
            let stand_in = rare.frequencies.iter().position(|frequency| *frequency > 0).unwrap() as u8;
            let places: Vec<usize> = (0..count).filter(|i| symbols[*i] == stand_in).collect();
            if !places.is_empty() {
                let found = rare.decode(stream, places.len(), self::lanes(places.len()));
                places.into_iter().zip(found).for_each(|(place, symbol)| symbols[place] = symbol);
            }
        }
        symbols
    }
}

/// The lanes of a stream of so many symbols that are not widths.
pub(crate) fn lanes(symbols: usize) -> usize {
    match symbols {
        0..1024 => 1,
        1024..32_768 => 4,
        _ => 32,
    }
}

fn listed(bytes: &mut Bytes<'_>, total: usize) -> Vec<usize> {
    let largest = usize::from(bytes.byte());
    let mut bits = Bits::new(bytes);
    let mut occurring = vec![];
    let mut symbol = bits.gamma() - 1;
    loop {
        let run = bits.gamma();
        occurring.extend(symbol..symbol + run);
        symbol += run;
        if symbol > largest {
            break;
        }
        symbol += bits.gamma();
    }
    assert_eq!(occurring.last(), Some(&largest));
    let mut frequencies = vec![0; 256];
    let (last, others) = occurring.split_last().unwrap();
    let mut a = total / occurring.len();
    let mut b = a;
    let mut z = 16 * a;
    let mut rest = total;
    for symbol in others {
        let guess = a.midpoint(b + 1);
        assert_eq!(guess, (a + b).div_ceil(2));
        let y = 11 * z / 256;
        let k = if y == 0 { 0 } else { (y.ilog2() as usize + 1).min(14) };
        let mut q = 0;
        while q < 12 && bits.next() == 1 {
            q += 1;
        }
        let u = if q < 12 { (q << k) + bits.take(k) } else { bits.take(15) };
        let f = if u.is_multiple_of(2) { guess + u / 2 } else { guess - u.div_ceil(2) };
        (z, a, b) = ((3 * z + 16 * u) / 4, b, f);
        frequencies[*symbol] = f;
        rest -= f;
    }
    frequencies[*last] = rest;
    bits.end();
    frequencies
}

fn shaped(bytes: &[u8]) -> Vec<usize> {
    let [v, t, low, high, h, w] = *bytes else { panic!("six bytes") };
    let centre = f64::from(u16::from_le_bytes([low, high]));
    let sigma = f64::from(8 + h % 8) * 2f64.powi(i32::from(h / 8)) / 64.0;
    let weight = |s: u8| {
        let d = (f64::from(s) - centre / 256.0).abs() / sigma;
        let u = if w < 8 { d * d } else { d };
        let j = w % 8;
        (0..j).fold(1.0 / (1.0 + u / 2f64.powi(j.into())), |y, _| y * y)
    };
    let weights: Vec<f64> = (v..=t).map(weight).collect();
    let sum = |weights: &mut dyn Iterator<Item = f64>| weights.fold(0.0, |sum, weight| sum + weight);
    let least = 1.5 * sum(&mut weights.iter().copied()) / 4096.0;
    let small = weights.iter().filter(|weight| **weight < least).count();
    let rest = (4096 - small) as f64;
    let large = sum(&mut weights.iter().copied().filter(|weight| *weight >= least));
    let mut frequencies = vec![0; 256];
    let (mut s, mut before) = (0.0, 0);
    for (symbol, &weight) in (usize::from(v)..).zip(&weights) {
        frequencies[symbol] = 1;
        if weight >= least {
            s += weight;
            let until = (s / large * rest + 0.5).floor() as usize;
            frequencies[symbol] = until - before;
            before = until;
        }
    }
    frequencies
}

/// The symbols of the codes of one width.
#[derive(Clone)]
pub(crate) struct Symbols {
    pub(crate) table: FrequencyTable,
    pub(crate) raw_bits: u32,
    palette: Option<Vec<u32>>,
}

impl Symbols {
    pub(crate) fn read(bytes: &mut Bytes<'_>, width: u8) -> Self {
        let table = FrequencyTable::read(bytes);
        let most = u32::from(width.saturating_sub(8));
        let raw_bits = if width > 8 { u32::from(bytes.byte()) } else { 0 };
        let mut symbols = Self { table, raw_bits, palette: None };
        if raw_bits < most {
            let mut bits = Bits::new(bytes);
            let order = bits.take(4);
            let mut least = 0;
            let parts = (0..=symbols.table.largest()).map(|_| {
                let above = ((bits.gamma() - 1) << order) + bits.take(order);
                least += above + 1;
                least as u32 - 1
            });
            symbols.palette = Some(parts.collect());
            bits.end();
        }
        symbols
    }

    pub(crate) fn decode(&self, bytes: &mut Bytes<'_>, lengths: &[usize], count: usize) -> Vec<u32> {
        let symbols = self.table.decode_run(bytes, lengths, count, lanes);
        let raw = bytes.packed(vec![self.raw_bits; count]);
        let upper =
            |symbol: u8| self.palette.as_ref().map_or(symbol.into(), |parts| parts[usize::from(symbol)]);
        symbols.into_iter().zip(raw).map(|(symbol, raw)| upper(symbol) << self.raw_bits | raw).collect()
    }
}
