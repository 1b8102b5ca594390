//! What a run is given beside its recipe and its data: weights to start from, and who teaches.

use std::path::Path;

use fewbit::{ContainerReader, StoredModel};
use fewbit_burn::LoadError;
use fewbit_burn::train::{INITIAL_FILE, TEACHER_FILE};
use sha2::{Digest, Sha256};

use super::ExperimentError;
use super::teacher::TeacherNetwork;
use crate::recipe::Recipe;

/// What files are told apart by, under the names that a checkpoint has for it.
pub(super) type Checksums = Vec<(&'static str, String)>;

/// What a run is given beside its recipe and its data.
#[derive(Clone, Debug, Default)]
pub struct Beginning {
    /// The weights to start from, in place of random ones.
    pub initial: Option<StoredModel>,
    /// Who teaches beside the labels.
    pub teacher: Option<TeacherNetwork>,
}

impl Beginning {
    /// What the run folder at `folder` keeps for a run of `recipe`.
    ///
    /// # Errors
    /// [`ExperimentError`]: a file that is damaged, or a teacher of something else.
    pub fn in_folder(folder: &Path, recipe: &Recipe) -> Result<Self, ExperimentError> {
        Ok(Self::with_checksums(folder, recipe)?.0)
    }

    /// As [`in_folder`](Self::in_folder), and what its files are told apart by.
    pub(super) fn with_checksums(
        folder: &Path,
        recipe: &Recipe,
    ) -> Result<(Self, Checksums), ExperimentError> {
        let initial = reader_of(&folder.join(INITIAL_FILE))?;
        let teacher = reader_of(&folder.join(TEACHER_FILE))?;
        let files = [("initial weights", &initial), ("teacher", &teacher)];
        let sum = |reader: &ContainerReader<Vec<u8>>| checksum(reader.as_bytes());
        let sums = files.into_iter().filter_map(|(name, reader)| Some((name, sum(reader.as_ref()?))));
        let sums = sums.collect();
        let initial = initial.map(|reader| StoredModel::from_reader(&reader)).transpose();
        let teacher = teacher.map(|reader| TeacherNetwork::of_reader(&reader, recipe)).transpose()?;
        Ok((Self { initial: initial.map_err(LoadError::from)?, teacher }, sums))
    }
}

/// A number that no other file has.
///
/// Not a CRC-32: a `.fewbit` file has its own behind its head and at its end, and that of a text with its own behind it is
/// the same for all texts.
fn checksum(file: &[u8]) -> String {
    Sha256::digest(file).iter().take(8).map(|byte| format!("{byte:02x}")).collect()
}

/// What is in a file, if it exists.
fn reader_of(file: &Path) -> Result<Option<ContainerReader<Vec<u8>>>, ExperimentError> {
    match file.is_file() {
        true => Ok(Some(fewbit::read_file(file).map_err(LoadError::from)?)),
        false => Ok(None),
    }
}

#[cfg(test)]
mod tests {
    use fewbit::ContainerWriter;

    use super::*;

    /// Two files whose tensors have the same bytes under other names.
    #[test]
    fn files_that_differ_in_a_name_alone_have_other_checksums() {
        let [first, second] = ["a", "b"].map(|name| {
            let mut writer = ContainerWriter::new();
            writer.float(name, &[2], &[1.0, 2.0]).unwrap();
            checksum(&writer.to_bytes())
        });
        assert_ne!(first, second);
        assert_eq!(first.len(), 16);
    }
}
