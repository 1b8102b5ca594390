//! One picture of the set to planes of red, green and blue.

use super::DataError;
use super::collect::Encoded;
use crate::data::{ImageShape, picture};

/// Fills `planes`, `[3, height, width]`, from an encoded picture of exactly that size.
pub(super) fn decode(file: &Encoded, shape: ImageShape, planes: &mut [u8]) -> Result<(), DataError> {
    let needed = (shape.height, shape.width);
    let picture = picture::decode(&file.place, &file.bytes, |height, width| {
        let found = (height, width);
        if found == needed {
            return Ok(());
        }
        Err(DataError::ImageSize { path: file.place.clone(), found, needed })
    })?;
    let pixels = shape.height * shape.width;
    for (channel, plane) in planes.chunks_exact_mut(pixels).enumerate() {
        for (value, pixel) in plane.iter_mut().zip(picture.rgb.chunks_exact(3)) {
            *value = pixel[channel];
        }
    }
    Ok(())
}
