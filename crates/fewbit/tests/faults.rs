//! Whatever goes wrong while a file is written, the old one or the new one is there, whole.

use std::fs;

use fewbit::disk::{Fault, FaultyDisk};
use fewbit::{ContainerWriter, read_file};

fn container(values: usize) -> ContainerWriter {
    let mut writer = ContainerWriter::new();
    // Of some length: buffers are written out more than once.
    let values: Vec<f32> = (0..values).map(|i| i as f32).collect();
    writer.float("weight", &[values.len()], &values).unwrap();
    writer
}

/// Replaces a file with the fault at every operation that it concerns. `may_fail` says whether an error may come back.
fn replace_under(fault: Fault, may_fail: bool) {
    let (old, new) = (container(9_000), container(10_000));
    let mut struck = 0;
    for at in 0.. {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("model.fewbit");
        old.write_file(&path).unwrap();
        let disk = FaultyDisk::new(fault, at);
        let written = new.write_file_on(&disk, &path);
        let found = read_file(&path).unwrap().into_bytes();
        assert!(found == old.to_bytes() || found == new.to_bytes(), "{fault:?} at {at}");
        if !disk.has_struck() {
            assert!(written.is_ok() && found == new.to_bytes());
            break;
        }
        struck += 1;
        assert!(may_fail || written.is_ok(), "{fault:?} at {at}");
        match written {
            Ok(_) => assert!(found == new.to_bytes(), "{fault:?} at {at} was not told"),
            Err(error) => assert!(error.to_string().contains("model.fewbit"), "{error}"),
        }
        if fault != Fault::Death {
            assert_eq!(fs::read_dir(folder.path()).unwrap().count(), 1, "a scratch file is left");
        } else {
            fewbit::atomic::remove_scratch_files(folder.path());
            assert_eq!(fs::read_dir(folder.path()).unwrap().count(), 1, "it is not found again");
        }
    }
    assert!(struck > 0, "{fault:?} was never there");
}

#[test]
fn a_short_write_of_a_container_is_completed() {
    replace_under(Fault::ShortWrite, false);
}

#[test]
fn a_full_disk_leaves_the_old_container() {
    replace_under(Fault::DiskFull, true);
}

#[test]
fn a_broken_write_leaves_the_old_container() {
    replace_under(Fault::BrokenWrite, true);
}

#[test]
fn a_failed_sync_leaves_the_old_container_or_the_new() {
    replace_under(Fault::FailedSync, true);
}

#[test]
fn a_failed_rename_leaves_the_old_container() {
    replace_under(Fault::FailedRename, true);
}

#[test]
fn death_at_any_moment_leaves_the_old_container_or_the_new() {
    replace_under(Fault::Death, true);
}
