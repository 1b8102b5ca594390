//! An index that data holds and no table has.

use std::fmt;

/// A class or a row of a table that does not exist.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct OutOfRange {
    /// Place of the first such index in the slice.
    pub place: usize,
    /// Its value.
    pub found: i64,
    /// How many there are: `0..count` would have been right.
    pub count: usize,
}

impl OutOfRange {
    /// # Errors
    /// [`OutOfRange`] with the first index that is not in `0..count`.
    pub(crate) fn check(indices: &[i64], count: usize) -> Result<(), Self> {
        // Negative ones are above all as unsigned numbers.
        match indices.iter().position(|&index| index as u64 >= count as u64) {
            Some(place) => Err(Self { place, found: indices[place], count }),
            None => Ok(()),
        }
    }
}

impl fmt::Display for OutOfRange {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self { place, found, count } = self;
        write!(formatter, "index {found} at place {place}, one of 0..{count} is needed")
    }
}

impl std::error::Error for OutOfRange {}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_first_index_out_of_range_is_named() {
        assert_eq!(OutOfRange::check(&[0, 4, 2], 5), Ok(()));
        assert_eq!(OutOfRange::check(&[], 0), Ok(()));
        for (indices, place, found) in
            [([0, 5, -1], 1, 5), ([1, 2, -1], 2, -1), ([i64::MIN, 0, 0], 0, i64::MIN)]
        {
            assert_eq!(OutOfRange::check(&indices, 5), Err(OutOfRange { place, found, count: 5 }));
        }
        let error = OutOfRange { place: 1, found: -7, count: 5 };
        assert_eq!(error.to_string(), "index -7 at place 1, one of 0..5 is needed");
    }
}
