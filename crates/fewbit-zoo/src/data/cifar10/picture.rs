//! One JPEG or PNG picture to planes of red, green and blue.

use std::error::Error;
use std::io::Cursor;

use zune_jpeg::JpegDecoder;
use zune_jpeg::zune_core::colorspace::ColorSpace;
use zune_jpeg::zune_core::options::DecoderOptions;

use super::DataError;
use super::collect::Encoded;
use crate::data::ImageShape;

const JPEG_MAGIC: [u8; 3] = [0xff, 0xd8, 0xff];
const PNG_MAGIC: [u8; 8] = *b"\x89PNG\r\n\x1a\n";

type Cause = Box<dyn Error + Send + Sync>;

/// Why a picture cannot be had; the place is added by the caller.
enum Refusal {
    Size { height: usize, width: usize },
    Damaged(Cause),
}

impl<E: Into<Cause>> From<E> for Refusal {
    fn from(cause: E) -> Self {
        Self::Damaged(cause.into())
    }
}

/// Fills `planes`, `[3, height, width]`, from an encoded picture of exactly that size.
///
/// Its kind is told by its first bytes, not by its name. Grey becomes three equal planes; transparency is dropped.
pub(super) fn decode(file: &Encoded, shape: ImageShape, planes: &mut [u8]) -> Result<(), DataError> {
    let (format, decoded) = if file.bytes.starts_with(&JPEG_MAGIC) {
        ("JPEG", decode_jpeg(&file.bytes, shape))
    } else if file.bytes.starts_with(&PNG_MAGIC) {
        ("PNG", decode_png(&file.bytes, shape))
    } else {
        return Err(DataError::NotAPicture { path: file.place.clone() });
    };
    let rgb = decoded.map_err(|refusal| match refusal {
        Refusal::Size { height, width } => DataError::ImageSize {
            path: file.place.clone(),
            found: (height, width),
            needed: (shape.height, shape.width),
        },
        Refusal::Damaged(source) => DataError::Picture { path: file.place.clone(), format, source },
    })?;
    let pixels = shape.height * shape.width;
    for (channel, plane) in planes.chunks_exact_mut(pixels).enumerate() {
        for (value, pixel) in plane.iter_mut().zip(rgb.chunks_exact(3)) {
            *value = pixel[channel];
        }
    }
    Ok(())
}

/// Refuses a size before anything of that size is allocated.
fn check_size(height: usize, width: usize, shape: ImageShape) -> Result<(), Refusal> {
    if (height, width) == (shape.height, shape.width) { Ok(()) } else { Err(Refusal::Size { height, width }) }
}

fn decode_jpeg(bytes: &[u8], shape: ImageShape) -> Result<Vec<u8>, Refusal> {
    if !is_whole_jpeg(bytes) {
        return Err("no end mark after the last scan".into());
    }
    let options = DecoderOptions::new_safe()
        // Else a picture that is cut comes back grey from there on.
        .set_strict_mode(true)
        // The same bytes on every machine, whichever instructions it has.
        .set_use_unsafe(false)
        .jpeg_set_out_colorspace(ColorSpace::RGB);
    let mut decoder = JpegDecoder::new_with_options(Cursor::new(bytes), options);
    decoder.decode_headers()?;
    let (width, height) = decoder.dimensions().ok_or("no size in the header")?;
    check_size(height, width, shape)?;
    let rgb = decoder.decode()?;
    if rgb.len() != 3 * height * width {
        return Err("its colours are not red, green and blue".into());
    }
    Ok(rgb)
}

/// Whether an end mark follows the last scan: the decoder does not miss a few last bytes.
///
/// Within a scan 0xff is followed by 0, so neither mark can occur there by chance; a small preview kept in the header
/// has marks of its own, but the last scan is not among them.
fn is_whole_jpeg(bytes: &[u8]) -> bool {
    let last = |mark: u8| bytes.windows(2).rposition(|pair| pair == [0xff, mark]);
    last(0xd9) > last(0xda)
}

fn decode_png(bytes: &[u8], shape: ImageShape) -> Result<Vec<u8>, Refusal> {
    let mut decoder = png::Decoder::new(Cursor::new(bytes));
    // Palettes become colours, 16 bits become 8, so that each sample is one byte.
    decoder.set_transformations(png::Transformations::normalize_to_color8());
    let mut reader = decoder.read_info()?;
    let (height, width) = (reader.info().height as usize, reader.info().width as usize);
    check_size(height, width, shape)?;
    let mut samples = vec![0; reader.output_buffer_size().ok_or("too large")?];
    let frame = reader.next_frame(&mut samples)?;
    // The check sums of what follows the pixels: the end mark tells a whole file from a cut one.
    reader.finish()?;
    samples.truncate(frame.buffer_size());
    let samples_per_pixel = frame.color_type.samples();
    let first_of_each = match frame.color_type {
        png::ColorType::Grayscale | png::ColorType::GrayscaleAlpha => [0, 0, 0],
        _ => [0, 1, 2],
    };
    Ok(samples
        .chunks_exact(samples_per_pixel)
        .flat_map(|pixel| first_of_each.map(|sample| pixel[sample]))
        .collect())
}
