//! One JPEG or PNG picture, decoded to bytes of red, green and blue.

use std::error::Error;
use std::io::Cursor;
use std::path::Path;

use zune_jpeg::JpegDecoder;
use zune_jpeg::zune_core::colorspace::ColorSpace;
use zune_jpeg::zune_core::options::DecoderOptions;

use super::DataError;

const JPEG_MAGIC: [u8; 3] = [0xff, 0xd8, 0xff];
const PNG_MAGIC: [u8; 8] = *b"\x89PNG\r\n\x1a\n";

/// A decoded picture.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Picture {
    /// Rows.
    pub(super) height: usize,
    /// Columns.
    pub(super) width: usize,
    /// `[height, width, 3]`.
    pub(super) rgb: Vec<u8>,
}

/// How a picture is encoded, told by its first bytes, not by its name.
#[derive(Clone, Copy)]
pub(super) enum Format {
    Jpeg,
    Png,
}

impl Format {
    /// The format of a file that begins with these bytes.
    pub(super) fn of(first_bytes: &[u8]) -> Option<Self> {
        if first_bytes.starts_with(&JPEG_MAGIC) {
            Some(Self::Jpeg)
        } else {
            first_bytes.starts_with(&PNG_MAGIC).then_some(Self::Png)
        }
    }

    const fn name(self) -> &'static str {
        match self {
            Self::Jpeg => "JPEG",
            Self::Png => "PNG",
        }
    }
}

/// Decodes the file at `place`; grey becomes three equal colours, transparency is dropped, 16 bits become 8.
///
/// `check_size` is asked with height and width before anything of that size is allocated.
///
/// # Errors
/// [`DataError::NotAPicture`], [`DataError::Picture`] with the decoder's reason, and what `check_size` returns.
pub(super) fn decode(
    place: &Path,
    contents: &[u8],
    check_size: impl FnOnce(usize, usize) -> Result<(), DataError>,
) -> Result<Picture, DataError> {
    let format = Format::of(contents).ok_or_else(|| DataError::NotAPicture { path: place.to_owned() })?;
    let decoded = match format {
        Format::Jpeg => decode_jpeg(contents, check_size),
        Format::Png => decode_png(contents, check_size),
    };
    decoded.map_err(|refusal| match refusal {
        Refusal::Size(error) => error,
        Refusal::Damaged(source) => {
            DataError::Picture { path: place.to_owned(), format: format.name(), source }
        }
    })
}

type Cause = Box<dyn Error + Send + Sync>;

/// Why a picture cannot be had.
enum Refusal {
    Size(DataError),
    /// The place is added by the caller.
    Damaged(Cause),
}

impl<E: Into<Cause>> From<E> for Refusal {
    fn from(cause: E) -> Self {
        Self::Damaged(cause.into())
    }
}

fn decode_jpeg(
    contents: &[u8],
    check_size: impl FnOnce(usize, usize) -> Result<(), DataError>,
) -> Result<Picture, Refusal> {
    if !is_whole_jpeg(contents) {
        return Err("no end mark after the last scan".into());
    }
    let options = DecoderOptions::new_safe()
        // Else a picture that is cut comes back grey from there on.
        .set_strict_mode(true)
        // The same bytes on every machine, whichever instructions it has.
        .set_use_unsafe(false)
        .jpeg_set_out_colorspace(ColorSpace::RGB);
    let mut decoder = JpegDecoder::new_with_options(Cursor::new(contents), options);
    decoder.decode_headers()?;
    let (width, height) = decoder.dimensions().ok_or("no size in the header")?;
    check_size(height, width).map_err(Refusal::Size)?;
    let rgb = decoder.decode()?;
    if rgb.len() != 3 * height * width {
        return Err("its colours are not red, green and blue".into());
    }
    Ok(Picture { height, width, rgb })
}

/// Whether an end mark follows the last scan: the decoder does not miss a few last bytes.
///
/// Within a scan 0xff is followed by 0, so neither mark can occur there by chance; a small preview kept in the header
/// has marks of its own, but the last scan is not among them.
fn is_whole_jpeg(contents: &[u8]) -> bool {
    let last = |mark: u8| contents.windows(2).rposition(|pair| pair == [0xff, mark]);
    last(0xd9) > last(0xda)
}

fn decode_png(
    contents: &[u8],
    check_size: impl FnOnce(usize, usize) -> Result<(), DataError>,
) -> Result<Picture, Refusal> {
    let mut decoder = png::Decoder::new(Cursor::new(contents));
    // Palettes become colours, 16 bits become 8, so that each sample is one byte.
    decoder.set_transformations(png::Transformations::normalize_to_color8());
    let (width, height) = decoder.read_header_info()?.size();
    let (width, height) = (width as usize, height as usize);
    check_size(height, width).map_err(Refusal::Size)?;
    let mut reader = decoder.read_info()?;
    let mut samples = vec![0; reader.output_buffer_size().ok_or("too large")?];
    let frame = reader.next_frame(&mut samples)?;
    // The checksums of what follows the pixels: the end mark tells a whole file from a cut one.
    reader.finish()?;
    samples.truncate(frame.buffer_size());
    let samples_per_pixel = frame.color_type.samples();
    let first_of_each = match frame.color_type {
        png::ColorType::Grayscale | png::ColorType::GrayscaleAlpha => [0, 0, 0],
        _ => [0, 1, 2],
    };
    let rgb = samples
        .chunks_exact(samples_per_pixel)
        .flat_map(|pixel| first_of_each.map(|sample| pixel[sample]))
        .collect();
    Ok(Picture { height, width, rgb })
}
