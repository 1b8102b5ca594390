//! Numbers of a few bits, one after the other: what a table of frequencies is written in.
//!
//! Bits fill bytes from the lowest up.

/// Bits that are being written.
#[derive(Default)]
pub(super) struct BitWriter {
    bytes: Vec<u8>,
    pending: u64,
    pending_bits: u32,
}

impl BitWriter {
    /// Appends the `bits` low bits of a number, 32 at most.
    pub(super) fn put(&mut self, number: u32, bits: u32) {
        self.pending |= u64::from(number) << self.pending_bits;
        self.pending_bits += bits;
        while self.pending_bits >= 8 {
            self.bytes.push(self.pending as u8);
            self.pending >>= 8;
            self.pending_bits -= 8;
        }
    }

    /// Appends a positive number in Elias' gamma code: as many zeros as it has bits after the first,
    /// a one, then those bits.
    pub(super) fn put_gamma(&mut self, number: u32) {
        let bits = number.ilog2();
        self.put(1 << bits, bits + 1);
        self.put(number - (1 << bits), bits);
    }

    /// All bits, the last byte filled up with zeros.
    pub(super) fn finish(mut self) -> Vec<u8> {
        if self.pending_bits > 0 {
            self.bytes.push(self.pending as u8);
        }
        self.bytes
    }
}

/// Bits that are being read. All methods give `None` where the bytes end too early.
pub(super) struct BitReader<'a> {
    bytes: &'a [u8],
    position: usize,
}

impl<'a> BitReader<'a> {
    pub(super) const fn new(bytes: &'a [u8]) -> Self {
        Self { bytes, position: 0 }
    }

    /// The next bit.
    pub(super) fn bit(&mut self) -> Option<bool> {
        let byte = self.bytes.get(self.position / 8)?;
        let bit = byte >> (self.position % 8) & 1 == 1;
        self.position += 1;
        Some(bit)
    }

    /// The next number of `bits` bits, 32 at most.
    pub(super) fn take(&mut self, bits: u32) -> Option<u32> {
        let mut number = 0;
        for place in 0..bits {
            number |= u32::from(self.bit()?) << place;
        }
        Some(number)
    }

    /// Counts equal bits up to the first other one, which is taken too; stops at `most`.
    pub(super) fn run(&mut self, of: bool, most: u32) -> Option<u32> {
        let mut run = 0;
        while run < most && self.bit()? == of {
            run += 1;
        }
        Some(run)
    }

    /// The next number in Elias' gamma code; `None` for one of more than `most_bits + 1` bits, too.
    pub(super) fn take_gamma(&mut self, most_bits: u32) -> Option<u32> {
        let bits = self.run(false, most_bits + 1)?;
        if bits > most_bits { None } else { Some(1 << bits | self.take(bits)?) }
    }

    /// The bytes that were begun; `None` when the last has more than zeros in what is left of it.
    pub(super) fn finish(mut self) -> Option<usize> {
        while !self.position.is_multiple_of(8) {
            if self.bit()? {
                return None;
            }
        }
        Some(self.position / 8)
    }
}
