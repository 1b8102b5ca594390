//! What a file is, from its first bytes.

use std::io;

use crate::file::ByteFile;
use crate::torch::MAGIC;

/// The kinds of files that are read, and what others are.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) enum Recognised {
    Safetensors,
    SafetensorsIndex,
    Archive,
    Legacy,
    Other(String),
}

/// What a file is.
pub(crate) fn recognise(file: &ByteFile) -> io::Result<Recognised> {
    let mut start = vec![0; file.len.min(512) as usize];
    file.read_at(0, &mut start)?;
    let safetensors = start.first_chunk().is_some_and(|length| {
        // The header's length, then the header, which is a JSON object. A length beyond the file is one of
        // a file that was cut, if it could be a length at all: the format allows 10^8.
        let longest = 100_000_000.max(file.len - 8);
        u64::from_le_bytes(*length) <= longest && start.get(8) == Some(&b'{')
    });
    let other = |found: &str| Recognised::Other(found.to_owned());
    Ok(match start.as_slice() {
        [] => other("empty"),
        _ if safetensors => Recognised::Safetensors,
        [b'P', b'K', 3, 4, ..] | [b'P', b'K', 5, 6, ..] => Recognised::Archive,
        // A pickle whose first value is the magic number, in whichever protocol.
        [0x80, ..] if start[..start.len().min(32)].windows(MAGIC.len()).any(|bytes| bytes == MAGIC) => {
            Recognised::Legacy
        }
        [0x80, 2..=5, ..] => other("a Python pickle, but not one of torch.save"),
        text if text.trim_ascii_start().starts_with(b"{") => {
            let named = file.path.to_string_lossy().to_ascii_lowercase();
            if named.ends_with(".json") { Recognised::SafetensorsIndex } else { other("a text like JSON") }
        }
        text if text.starts_with(b"version https://git-lfs") => other("a pointer of git-lfs"),
        [0x1f, 0x8b, ..] => other("compressed with gzip"),
        [0x89, b'H', b'D', b'F', ..] => other("an HDF5 file"),
        [b'G', b'G', b'U', b'F', ..] => other("a GGUF file"),
        [_, _, _, _, b'T', b'F', b'L', b'3', ..] => other("a TensorFlow Lite file"),
        tar if tar.get(257..262) == Some(b"ustar") => other("a tar archive"),
        bytes => {
            let first = &bytes[..bytes.len().min(8)];
            Recognised::Other(format!("a file that begins with the bytes {first:02x?}"))
        }
    })
}
