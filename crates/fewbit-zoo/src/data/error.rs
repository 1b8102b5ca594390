//! Everything that can be wrong with a data set, each with the file, what was found and what was needed.

use std::io;
use std::path::{Path, PathBuf};

use thiserror::Error;

use super::DataSetKind;
use super::stems::SoundFormat;

/// Why a data set could not be loaded.
///
/// A place inside an archive is written as a path too: `cifar.tar.gz/train/cat/0007.jpg`.
#[derive(Debug, Error)]
#[non_exhaustive]
pub enum DataError {
    /// The set needs a path and none was given.
    #[error(
        "data set `{kind}` needs a path: pass `--data {}`{}; get {}",
        kind.path_hint(), if kind.sources().is_empty() { "" } else { ", or `--download`" }, kind.where_to_get()
    )]
    PathNotGiven {
        /// The set that was asked for.
        kind: DataSetKind,
    },
    /// The path is not there, or does not hold the set's files.
    #[error(
        "no data set `{kind}` at `{}`: looked for {looked_for}; pass `--data {}`; get {}",
        path.display(), kind.path_hint(), kind.where_to_get()
    )]
    NotFound {
        /// The set that was asked for.
        kind: DataSetKind,
        /// The path that was given.
        path: PathBuf,
        /// The files that would have done.
        looked_for: String,
    },
    /// The name is none of [`DataSetKind::ALL`].
    #[error("unknown data set `{found}`: known are {}", DataSetKind::NAMES.join(", "))]
    UnknownKind {
        /// The name as given.
        found: String,
    },
    /// Images were asked of a text set.
    #[error("data set `{kind}` has no images: an image model needs glyphs, mnist or cifar10")]
    NotImages {
        /// The set that was asked for.
        kind: DataSetKind,
    },
    /// The operating system, or the decompressor, could not read on.
    #[error("cannot read `{}`: {source}", path.display())]
    Read {
        /// The file or folder.
        path: PathBuf,
        /// The cause.
        source: io::Error,
    },
    /// The file holds more than a reader is willing to keep in memory.
    #[error("`{}`: more than {limit} {unit}, the most that is read", path.display())]
    TooLarge {
        /// The file or folder.
        path: PathBuf,
        /// The most that is read.
        limit: u64,
        /// What is counted: bytes, images, …
        unit: &'static str,
    },
    /// The file's length does not fit what it says it holds.
    #[error("`{}`: {} bytes found, {needed} needed for {contents}", path.display(), ByteCount(*found, *needed))]
    Length {
        /// The file.
        path: PathBuf,
        /// Bytes in the file; reading stops one byte after `needed`.
        found: u64,
        /// Bytes it should have.
        needed: u64,
        /// What those bytes would have been.
        contents: String,
    },
    /// The first four bytes of an IDX file are not those of its kind.
    #[error("`{}`: begins with {found:#010x}, not with {needed:#010x}, the mark of IDX {contents}", path.display())]
    IdxMagic {
        /// The file.
        path: PathBuf,
        /// The first four bytes, big-endian.
        found: u32,
        /// The mark of an IDX file of this kind.
        needed: u32,
        /// `images` or `labels`.
        contents: &'static str,
    },
    /// An image has another size than the set's.
    #[error("`{}`: {} × {} pixels found, {} × {} needed (height × width)", path.display(), found.0, found.1, needed.0, needed.1)]
    ImageSize {
        /// The file.
        path: PathBuf,
        /// Height and width found.
        found: (usize, usize),
        /// Height and width of every image of the set.
        needed: (usize, usize),
    },
    /// The file of images and the file of labels are of different sets.
    #[error("`{}` has {image_count} images but `{}` has {label_count} labels: one label per image needed", images.display(), labels.display())]
    CountMismatch {
        /// The file of images.
        images: PathBuf,
        /// The file of labels.
        labels: PathBuf,
        /// Number of images.
        image_count: usize,
        /// Number of labels.
        label_count: usize,
    },
    /// A label in a file is not one of the set's classes.
    #[error("`{}`: record {record} has label {found}, labels are 0..={}", path.display(), classes - 1)]
    Label {
        /// The file.
        path: PathBuf,
        /// Number of the record in the file, from 0.
        record: usize,
        /// Its label.
        found: u8,
        /// Number of classes.
        classes: usize,
    },
    /// A file without a single record.
    #[error("`{}`: no records, at least 1 needed", path.display())]
    NoRecords {
        /// The file or folder.
        path: PathBuf,
    },
    /// The class folders are not the set's classes.
    #[error("`{}`: {} class folders under {split}/ ({}), {needed} needed", path.display(), found.len(), found.join(", "))]
    Classes {
        /// The folder or archive.
        path: PathBuf,
        /// `train` or `test`.
        split: &'static str,
        /// The classes found.
        found: Vec<String>,
        /// How many, or which ones.
        needed: String,
    },
    /// A picture that its decoder rejects: cut short, damaged or of an unusual kind.
    #[error("`{}`: not a whole {format} picture: {source}", path.display())]
    Picture {
        /// The file, or its place in an archive.
        path: PathBuf,
        /// `JPEG` or `PNG`.
        format: &'static str,
        /// The decoder's reason.
        source: Box<dyn std::error::Error + Send + Sync>,
    },
    /// A file that is named like a picture but is none.
    #[error("`{}`: begins with neither the mark of a JPEG nor that of a PNG picture", path.display())]
    NotAPicture {
        /// The file, or its place in an archive.
        path: PathBuf,
    },
    /// Too little text to train on and to hold out from.
    #[error("`{}`: {found} bytes of text, at least {needed} needed", path.display())]
    TextTooShort {
        /// The file.
        path: PathBuf,
        /// Bytes found.
        found: usize,
        /// Bytes needed.
        needed: usize,
    },
    /// A folder with several texts, or none.
    #[error("`{}`: {} text files ({}), exactly 1 or an `input.txt` needed; pass the file itself", path.display(), found.len(), found.join(", "))]
    WhichText {
        /// The folder.
        path: PathBuf,
        /// The names found.
        found: Vec<String>,
    },
    /// The classes to be judged by are not those that were learned.
    #[error(
        "`{}`: {} classes of train/ missing ({}), {} that train/ has not ({})",
        path.display(), missing.len(), FirstFew(missing), unknown.len(), FirstFew(unknown)
    )]
    ClassesDiffer {
        /// The folder of the test set.
        path: PathBuf,
        /// Classes of the training set alone.
        missing: Vec<String>,
        /// Classes of the test set alone.
        unknown: Vec<String>,
    },
    /// Bytes that are no text.
    #[error("`{}`: not text in UTF-8: {source}", path.display())]
    NotUtf8 {
        /// The file.
        path: PathBuf,
        /// Where, and why.
        source: std::str::Utf8Error,
    },
    /// A part of a text with nothing to predict.
    #[error("`{}`: {found} words, line ends included, at least {needed} needed", path.display())]
    TooFewWords {
        /// The file.
        path: PathBuf,
        /// Words found.
        found: usize,
        /// Words needed.
        needed: usize,
    },
    /// A file of sound that is cut, damaged or none.
    #[error("`{}`: not a whole WAV recording: {source}", path.display())]
    Wav {
        /// The file.
        path: PathBuf,
        /// The decoder's reason.
        source: hound::Error,
    },
    /// A file of sound in a form that is not read.
    #[error(
        "`{}`: {bits} bits {}, {channels} channels, {sample_rate} samples a second; 16 or 24 bits integer or 32 bits float in 1 or 2 channels needed",
        path.display(), if *is_float { "float" } else { "integer" }
    )]
    WavFormat {
        /// The file.
        path: PathBuf,
        /// Bits of a sample.
        bits: u16,
        /// Whether samples are floats.
        is_float: bool,
        /// Channels.
        channels: u16,
        /// Samples a second.
        sample_rate: u32,
    },
    /// A sound is sampled in another way than those before it.
    #[error("`{}`: {found} found, {needed} needed as in the sounds before", path.display())]
    SoundFormat {
        /// The file or the track's folder.
        path: PathBuf,
        /// Its format.
        found: SoundFormat,
        /// That of the first sound.
        needed: SoundFormat,
    },
    /// The sounds of one track are not equally long.
    #[error("track `{track}`: `{sound}` has {found} samples in each channel, {needed} needed as in `drums`")]
    TrackLength {
        /// The track.
        track: String,
        /// The source, or `mixture`.
        sound: &'static str,
        /// Its length.
        found: usize,
        /// That of the first source.
        needed: usize,
    },
    /// A track without one of its sources.
    #[error("`{}`: no `{source_name}.wav`: every source of a track is needed", track.display())]
    SourceMissing {
        /// The track's folder.
        track: PathBuf,
        /// The source.
        source_name: &'static str,
    },
    /// No recording of a word.
    #[error(
        "`{}`: no recordings of words: looked for WORD/NAME.wav with a testing_list.txt, train/WORD/NAME.wav, or WORD_SPEAKER_NUMBER.wav",
        path.display()
    )]
    NoRecordings {
        /// The folder or archive.
        path: PathBuf,
    },
    /// No recording for one of the parts.
    #[error("`{}`: no recordings that can be used in the {part} part, at least 1 needed", path.display())]
    EmptyPart {
        /// The folder or archive.
        path: PathBuf,
        /// `train` or `test`.
        part: &'static str,
    },
    /// Too few or too many words to tell apart.
    #[error("`{}`: {found} word{} in the train part, 2 to 256 needed", path.display(), if *found == 1 { "" } else { "s" })]
    WordCount {
        /// The folder or archive.
        path: PathBuf,
        /// Words found.
        found: usize,
    },
    /// A word to test that cannot have been learned.
    #[error("`{}`: the word `{word}` has no recording in the train part", path.display())]
    UnknownWord {
        /// The recording.
        path: PathBuf,
        /// Its word.
        word: String,
    },
    /// A recording unlike the others.
    #[error("`{}`: {found} samples a second, {needed} needed as in the recordings before", path.display())]
    SampleRate {
        /// The recording.
        path: PathBuf,
        /// Its rate.
        found: u32,
        /// That of the others.
        needed: u32,
    },
    /// Pixels or labels that do not make a set.
    #[error(
        "an image set of {labels} labels and {values_per_image} values per image needs {} pixel values, {pixels} found",
        u128::from(*labels) * u128::from(*values_per_image)
    )]
    PixelCount {
        /// Number of labels, one per image.
        labels: u64,
        /// Channels × height × width.
        values_per_image: u64,
        /// Pixel values found.
        pixels: u64,
    },
    /// A label that is no class, in a set made in memory.
    #[error("record {record} has label {found}, the set has {classes} classes")]
    LabelOutOfRange {
        /// Number of the record, from 0.
        record: usize,
        /// Its label.
        found: u8,
        /// Number of classes.
        classes: usize,
    },
    /// Statistics that cannot normalise the set's channels.
    #[error(
        "normalisation with {means} means and {deviations} deviations: equally many needed, all finite, deviations above 0"
    )]
    Normalization {
        /// Number of means.
        means: usize,
        /// Number of deviations.
        deviations: usize,
    },
}

impl DataError {
    /// Turns an [`io::Error`] into an error that names the path.
    pub(super) fn read(path: &Path) -> impl FnOnce(io::Error) -> Self + '_ {
        move |source| Self::Read { path: path.to_owned(), source }
    }
}

/// Prints a count of bytes; one above the need is where reading stopped, so "more than" is all that is known.
struct ByteCount(u64, u64);

impl std::fmt::Display for ByteCount {
    fn fmt(&self, out: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        let Self(found, needed) = *self;
        if found > needed { write!(out, "more than {needed}") } else { write!(out, "{found}") }
    }
}

/// Prints at most three names, and whether there are more.
struct FirstFew<'n>(&'n [String]);

impl std::fmt::Display for FirstFew<'_> {
    fn fmt(&self, out: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        let few = self.0.len().min(3);
        out.write_str(&self.0[..few].join(", "))?;
        if few < self.0.len() { out.write_str(", …") } else { Ok(()) }
    }
}
