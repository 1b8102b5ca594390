//! One tensor's data to widths, codes and values; what is wrong gets the tensor's name.

use super::ReadError;
use super::entry::{QuantizedEntry, TensorEntry};
use super::head::Fault;
use crate::encoding::codes::StoredCodes;
use crate::encoding::levels::LevelsEntry;
use crate::encoding::{EncodingFault, floats, reserved};
use crate::tensor::Levels;
use crate::{Codes, Encoding, FloatEncoding, QuantizedTensor};

impl TensorEntry {
    /// The tensor with its codes; an error where there are none.
    pub(super) fn decode_codes(&self, data: &[u8]) -> Result<QuantizedTensor, Fault> {
        let Some(quantized) = self.quantized.as_deref() else {
            let name = self.name.clone();
            return Err(Fault::new(self.data_at.start, ReadError::NotQuantized { name }));
        };
        quantized.tensor(&self.shape, data).map_err(|fault| self.fault(fault))
    }

    /// Writes its values, as many as it has.
    pub(super) fn decode_into(&self, data: &[u8], values: &mut [f32]) -> Result<(), Fault> {
        match self.quantized.as_deref() {
            Some(quantized) => {
                quantized.values_into(&self.shape, data, values).map_err(|fault| self.fault(fault))
            }
            None => {
                floats::read(data, self.float_encoding()?, values);
                Ok(())
            }
        }
    }

    /// How its floats are written; an error for elements that are not floats.
    pub(super) fn float_encoding(&self) -> Result<FloatEncoding, Fault> {
        match self.encoding {
            Encoding::Float16 => Ok(FloatEncoding::Float16),
            Encoding::BFloat16 => Ok(FloatEncoding::BFloat16),
            Encoding::Float32 | Encoding::Packed | Encoding::Coded => Ok(FloatEncoding::Float32),
            Encoding::Raw(found) => {
                let name = self.name.clone();
                Err(Fault::new(self.data_at.start, ReadError::NotFloats { name, found }))
            }
        }
    }

    /// Whether its data decode.
    pub(super) fn check_data(&self, data: &[u8]) -> Result<(), Fault> {
        match self.quantized.as_deref() {
            Some(quantized) => quantized.check(data).map_err(|fault| self.fault(fault)),
            // Any bytes are floats and other elements, and the layout has as many as are needed.
            None => Ok(()),
        }
    }

    /// An error unless there is memory for its values.
    pub(super) fn check_memory(&self) -> Result<(), Fault> {
        reserved::<f32>(self.elements).map(drop).map_err(|fault| self.fault(fault))
    }

    fn fault(&self, fault: EncodingFault) -> Fault {
        let error = ReadError::of_tensor(&self.name, self.elements, fault.error);
        Fault::new(self.data_at.start + fault.offset as u64, error)
    }
}

impl QuantizedEntry {
    /// The codes, and the data of what they mean.
    fn split<'d>(&'d self, data: &'d [u8]) -> (StoredCodes<'d>, &'d [u8]) {
        let LevelsEntry::Uniform(ranges) = &self.levels;
        let bytes = usize::try_from(ranges.data_bytes()).unwrap_or(usize::MAX).min(data.len());
        let (codes, levels) = data.split_at(data.len() - bytes);
        (self.codes.of(codes), levels)
    }

    fn tensor(&self, shape: &[usize], data: &[u8]) -> Result<QuantizedTensor, EncodingFault> {
        let LevelsEntry::Uniform(entry) = &self.levels;
        let (stored, levels) = self.split(data);
        let widths = stored.widths()?;
        let codes = stored.codes(widths.as_deref())?;
        let widths = stored.all_widths(widths)?;
        let ranges = entry
            .all(levels, widths.iter().map(|width| width.get()))
            .map_err(|fault| fault.after(stored.bytes()))?;
        let codes = Codes::from_unpacked(self.codes.group_size, widths, codes);
        let levels = Levels::Uniform(entry.ranges(ranges));
        Ok(QuantizedTensor::from_unpacked(shape.to_vec(), codes, levels))
    }

    fn values_into(&self, shape: &[usize], data: &[u8], values: &mut [f32]) -> Result<(), EncodingFault> {
        let LevelsEntry::Uniform(ranges) = &self.levels;
        let (codes, levels) = self.split(data);
        ranges.values_into(levels, codes, (shape, self.codes.classes.grouping()), values)
    }

    /// In the order in which the data lie.
    fn check(&self, data: &[u8]) -> Result<(), EncodingFault> {
        let LevelsEntry::Uniform(ranges) = &self.levels;
        let (codes, levels) = self.split(data);
        codes.check()?;
        ranges.stored(levels).map(drop).map_err(|fault| fault.after(codes.bytes()))
    }
}
