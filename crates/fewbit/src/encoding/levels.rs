//! The value of each code of each width: looked up where that is faster than computed.

use crate::encoding::classes::WidthClasses;
use crate::{BitWidth, UniformGrid, ValueRange};

/// Widths up to this have a table.
const LOOKED_UP: BitWidth = match BitWidth::new(8) {
    Some(width) => width,
    None => BitWidth::MAX,
};

/// The values of all codes of a tensor, equal to [`UniformGrid::dequantize`] to the last bit.
pub(crate) struct Levels {
    grids: [UniformGrid; BitWidth::COUNT],
    tables: [Vec<f32>; BitWidth::COUNT],
}

impl Levels {
    /// The levels of the widths that occur.
    pub(crate) fn new(range: ValueRange, classes: &WidthClasses) -> Self {
        let grids = std::array::from_fn(|bits| {
            UniformGrid::new(range, BitWidth::new(bits as u8).unwrap_or(BitWidth::MAX))
        });
        let mut tables: [Vec<f32>; BitWidth::COUNT] = Default::default();
        for width in classes.widths().filter(|width| *width <= LOOKED_UP && classes.codes(*width) > 0) {
            let bits = usize::from(width.get());
            let grid: &UniformGrid = &grids[bits];
            tables[bits] = (0..width.levels()).map(|code| grid.dequantize(code as u16)).collect();
        }
        Self { grids, tables }
    }

    /// The value of a code.
    #[inline]
    pub(crate) fn value(&self, width: BitWidth, code: u16) -> f32 {
        let bits = usize::from(width.get());
        match self.tables[bits].get(usize::from(code)) {
            Some(value) => *value,
            None => self.grids[bits].dequantize(code),
        }
    }
}
