//! What a downloaded file has to be.

use std::fmt;

/// A SHA-256.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct CheckSum([u8; 32]);

impl CheckSum {
    /// The checksum with these bytes.
    pub const fn new(bytes: [u8; 32]) -> Self {
        Self(bytes)
    }

    /// The checksum that is written like this, as `sha256sum` does.
    ///
    /// # Panics
    /// Unless they are 64 hexadecimal digits.
    pub const fn from_hex(digits: &str) -> Self {
        let digits = digits.as_bytes();
        assert!(digits.len() == 64, "a SHA-256 has 64 digits");
        let mut bytes = [0; 32];
        let mut index = 0;
        while index < bytes.len() {
            bytes[index] = value_of(digits[2 * index]) << 4 | value_of(digits[2 * index + 1]);
            index += 1;
        }
        Self(bytes)
    }
}

const fn value_of(digit: u8) -> u8 {
    match digit {
        b'0'..=b'9' => digit - b'0',
        b'a'..=b'f' => digit - b'a' + 10,
        b'A'..=b'F' => digit - b'A' + 10,
        _ => panic!("not a hexadecimal digit"),
    }
}

impl fmt::Display for CheckSum {
    fn fmt(&self, out: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.0.iter().try_for_each(|byte| write!(out, "{byte:02x}"))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_checksum_is_written_as_it_is_read() {
        let digits = "00ff0123456789abcdef0123456789abcdef0123456789abcdef0123456789ab";
        assert_eq!(CheckSum::from_hex(digits).to_string(), digits);
        assert_eq!(CheckSum::from_hex(&digits.to_uppercase()), CheckSum::from_hex(digits));
    }
}
