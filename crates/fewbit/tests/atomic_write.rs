//! A file appears whole or not at all, and every refusal names the path.

use std::error::Error;
use std::fs;
use std::path::Path;

use fewbit::atomic::{AtomicWriteError, write_atomically};
use fewbit::{ContainerWriter, ReadError, ReadFileError, WriteError, read_bytes, read_file};

fn names_in(folder: &Path) -> Vec<String> {
    let mut names: Vec<_> = fs::read_dir(folder)
        .unwrap()
        .map(|entry| entry.unwrap().file_name().into_string().unwrap())
        .collect();
    names.sort();
    names
}

#[test]
fn a_file_is_written_and_replaced_whole() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("a.bin");
    write_atomically(&path, b"old").unwrap();
    write_atomically(&path, b"newer").unwrap();
    assert_eq!(fs::read(&path).unwrap(), b"newer");
    assert_eq!(names_in(folder.path()), ["a.bin"]);
}

#[test]
fn the_longest_name_can_be_written() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("n".repeat(255));
    write_atomically(&path, b"x").unwrap();
    assert_eq!(fs::read(&path).unwrap(), b"x");
}

#[test]
fn writers_at_the_same_time_do_not_meet() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("shared");
    std::thread::scope(|scope| {
        for content in [[b'a'; 5000], [b'b'; 5000], [b'c'; 5000]] {
            let path = &path;
            scope.spawn(move || (0..20).for_each(|_| write_atomically(path, &content).unwrap()));
        }
    });
    let found = fs::read(&path).unwrap();
    assert!(found.len() == 5000 && found.iter().all(|byte| *byte == found[0]));
    assert_eq!(names_in(folder.path()), ["shared"]);
}

#[test]
fn a_path_that_cannot_be_written_is_named_with_its_cause() {
    let folder = tempfile::tempdir().unwrap();
    let file = folder.path().join("file");
    fs::write(&file, b"kept").unwrap();
    for path in [file.join("under"), folder.path().join("missing/under")] {
        let error = write_atomically(&path, b"x").unwrap_err();
        assert!(error.to_string().contains(path.to_str().unwrap()), "{error}");
        assert!(error.source().is_some(), "the system's own reason is kept");
        let written = ContainerWriter::new().write_file(&path);
        assert!(matches!(written, Err(WriteError::File(AtomicWriteError::Io { .. }))));
    }
    let error = write_atomically(folder.path(), b"x").unwrap_err();
    assert!(matches!(error, AtomicWriteError::NotAFile { found: "a folder", .. }), "{error}");
    assert!(matches!(write_atomically(Path::new("/"), b"x"), Err(AtomicWriteError::NoFileName { .. })));
    assert_eq!(fs::read(&file).unwrap(), b"kept");
    assert_eq!(names_in(folder.path()), ["file"]);
}

#[cfg(unix)]
mod unix {
    use std::os::unix::fs::{FileTypeExt, PermissionsExt, symlink};

    use super::*;

    #[test]
    fn a_device_is_refused_and_stays_a_device() {
        for path in ["/dev/full", "/dev/null"].map(Path::new) {
            let error = write_atomically(path, b"x").unwrap_err();
            assert!(matches!(error, AtomicWriteError::NotAFile { .. }), "{error}");
            assert!(error.to_string().contains(path.to_str().unwrap()), "{error}");
            assert!(fs::metadata(path).unwrap().file_type().is_char_device());
        }
    }

    #[test]
    fn a_link_is_followed_and_stays_a_link() {
        let folder = tempfile::tempdir().unwrap();
        let (file, link) = (folder.path().join("file"), folder.path().join("link"));
        fs::write(&file, b"old").unwrap();
        symlink("file", &link).unwrap();
        write_atomically(&link, b"new").unwrap();
        assert_eq!(fs::read(&file).unwrap(), b"new");
        assert!(fs::symlink_metadata(&link).unwrap().is_symlink());

        let to_device = folder.path().join("device");
        symlink("/dev/full", &to_device).unwrap();
        assert!(write_atomically(&to_device, b"x").is_err());
        let nowhere = folder.path().join("nowhere");
        symlink("missing", &nowhere).unwrap();
        assert!(write_atomically(&nowhere, b"x").is_err());
    }

    #[test]
    fn permissions_are_kept_and_respected() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("file");
        fs::write(&path, b"old").unwrap();
        fs::set_permissions(&path, fs::Permissions::from_mode(0o640)).unwrap();
        write_atomically(&path, b"new").unwrap();
        assert_eq!(fs::metadata(&path).unwrap().permissions().mode() & 0o777, 0o640);
        fs::set_permissions(&path, fs::Permissions::from_mode(0o440)).unwrap();
        assert!(write_atomically(&path, b"newer").is_err());
        assert_eq!(fs::read(&path).unwrap(), b"new");
    }
}

#[test]
fn a_file_that_cannot_be_read_is_named_with_what_it_was() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("model.fewbit");
    let cause = |content: &[u8]| {
        fs::write(&path, content).unwrap();
        let error = read_file(&path).unwrap_err();
        assert!(error.to_string().contains(path.to_str().unwrap()), "{error}");
        match error {
            ReadFileError::Format { source, .. } => source,
            other => panic!("{other:?}"),
        }
    };
    let whole = ContainerWriter::new().to_bytes();
    assert_eq!(cause(b""), ReadError::Empty);
    assert!(matches!(cause(b"not one of ours"), ReadError::NotFewbit { .. }));
    assert!(matches!(cause(&whole[..whole.len() - 1]), ReadError::Truncated { .. }));

    assert_eq!(read_bytes(&path).unwrap(), &whole[..whole.len() - 1]);

    let missing = folder.path().join("missing");
    assert!(matches!(read_file(&missing), Err(ReadFileError::Io { .. })));
    assert!(matches!(read_file(folder.path()), Err(ReadFileError::NotAFile { found: "a folder", .. })));
    #[cfg(unix)]
    assert!(matches!(read_file(Path::new("/dev/zero")), Err(ReadFileError::NotAFile { .. })));
}

#[test]
fn a_written_file_has_the_length_that_was_told() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("model.fewbit");
    let mut writer = ContainerWriter::new();
    writer.float("a", &[2], &[1.0, 2.0]).unwrap();
    let length = writer.write_file(&path).unwrap();
    let reader = read_file(&path).unwrap();
    assert_eq!((reader.as_bytes().len() as u64, reader.size().bytes()), (length, length));
}
