//! Forged and damaged checkpoints: values or errors, never a panic, never much memory. Alone in its binary,
//! as it counts every allocation.

mod forge;

use std::fs;
use std::path::Path;
use std::sync::Mutex;

use fewbit_checkpoint::{Checkpoint, CheckpointError, Limits};
use fewbit_testing::Numbers;
use forge::{Files, Pickle, archive, archive_of, legacy_of, safetensors, state_dict, zip};
use peak_alloc::PeakAlloc;

#[global_allocator]
static MEMORY: PeakAlloc = PeakAlloc;

/// Two tests at once would count each other's.
static ONE_AT_A_TIME: Mutex<()> = Mutex::new(());

/// Small limits, so that keeping them is a claim.
const LIMITS: Limits =
    Limits { header_bytes: 64 << 10, tensors: 64, elements: 1 << 20, repeated_elements: 1 << 10 };

/// Opens a checkpoint and reads everything of it.
fn probe(path: &Path, limits: &Limits) -> Result<(), CheckpointError> {
    let checkpoint = Checkpoint::open_with_limits(path, limits)?;
    let (mut floats, mut bytes) = (Vec::new(), Vec::new());
    for info in checkpoint.tensors() {
        if info.dtype().is_float() {
            checkpoint.read_f32(info.name(), &mut floats)?;
            assert_eq!(floats.len() as u64, info.elements());
        }
        checkpoint.read_bytes(info.name(), &mut bytes)?;
        assert_eq!(bytes.len() as u64, info.elements() * info.dtype().bytes() as u64);
    }
    let _ = (checkpoint.stripped_names(), checkpoint.aliases());
    Ok(())
}

/// What any file may cost within [`LIMITS`]: its head some dozens of times over, the buffers of a tensor.
const ALLOWED: usize = 64 * (64 << 10) + 2 * (256 << 10);

/// Most bytes that `work` had at once, beyond what there was before.
fn peak(work: impl FnOnce()) -> usize {
    let before = MEMORY.current_usage();
    MEMORY.reset_peak_usage();
    work();
    MEMORY.peak_usage() - before
}

/// Reads a file to its end or first fault, which must not be a panic.
fn read_whatever_it_is(path: &Path, limits: &Limits) -> bool {
    let mut whole = false;
    let taken = peak(|| match probe(path, limits) {
        Err(CheckpointError::Panicked { .. }) => panic!("the reader panicked"),
        result => whole = result.is_ok(),
    });
    assert!(taken < ALLOWED, "{taken} bytes");
    whole
}

fn fixtures() -> Vec<Vec<u8>> {
    vec![
        archive_of(&state_dict()),
        archive(&state_dict(), true),
        legacy_of(&state_dict(), true),
        safetensors(),
    ]
}

#[test]
fn every_prefix_is_an_error() {
    let _alone = ONE_AT_A_TIME.lock();
    let files = Files::new();
    for fixture in fixtures() {
        for length in 0..fixture.len() {
            let path = files.write("prefix", &fixture[..length]);
            assert!(!read_whatever_it_is(&path, &LIMITS), "{length} of {} bytes", fixture.len());
        }
        assert!(read_whatever_it_is(&files.write("prefix", &fixture), &LIMITS));
    }
}

#[test]
fn mutated_files_give_values_or_errors_in_little_memory() {
    let _alone = ONE_AT_A_TIME.lock();
    let files = Files::new();
    let mut numbers = Numbers::seeded(7);
    let (mut whole, mut refused) = (0, 0);
    for fixture in fixtures() {
        for _ in 0..5_000 {
            let mut bytes = fixture.clone();
            for _ in 0..=numbers.below(4) {
                let at = numbers.below(bytes.len());
                match numbers.below(4) {
                    0 => bytes[at] ^= 1 << numbers.below(8),
                    1 => bytes[at] = numbers.bits() as u8,
                    // Full or empty numbers.
                    2 => bytes[at..].iter_mut().take(8).for_each(|byte| *byte = 0xff),
                    _ => {
                        let from = numbers.below(bytes.len());
                        let count = numbers.below(16).min(bytes.len() - from.max(at));
                        bytes.copy_within(from..from + count, at);
                    }
                }
            }
            *(if read_whatever_it_is(&files.write("mutated", &bytes), &LIMITS) {
                &mut whole
            } else {
                &mut refused
            }) += 1;
        }
    }
    // Both happen, or the test tests nothing.
    assert!(whole > 1000 && refused > 1000, "{whole} read, {refused} refused");
}

/// Pickles of operations at random, each of which the machine knows.
#[test]
fn random_programs_do_nothing_bad() {
    let _alone = ONE_AT_A_TIME.lock();
    let files = Files::new();
    let mut numbers = Numbers::seeded(11);
    let known = b"(012N\x88\x89)\x85\x86\x87t]\x8fl\x91ae\x90}dsu\x94R\x81\x92bQ\x93";
    for _ in 0..10_000 {
        let mut pickle = Pickle::new().raw(b"NNN");
        for _ in 0..numbers.below(200) {
            pickle = match numbers.below(12) {
                0 => pickle.raw(&[b'h', numbers.below(6) as u8]),
                1 => pickle.raw(&[b'q', numbers.below(6) as u8]),
                2 => pickle.global("collections", "OrderedDict"),
                3 => pickle.global("builtins", "set"),
                4 => pickle.storage("FloatStorage", "0", numbers.below(8) as i32),
                5 => {
                    let size = |numbers: &mut Numbers| numbers.below(4) as i32;
                    let (shape, strides) =
                        ([(); 2].map(|()| size(&mut numbers)), [(); 2].map(|()| size(&mut numbers)));
                    pickle.tensor("FloatStorage", ("0", 6), size(&mut numbers), &shape, &strides)
                }
                6 => pickle.text(["storage", "a", "b.c", "neg"][numbers.below(4)]),
                7 => pickle.raw(b"}").text("k").raw(b"h\x00s"),
                _ => pickle.raw(&[known[numbers.below(known.len())]]),
            };
        }
        let path = files.write("random", &archive_of(&pickle.end()));
        read_whatever_it_is(&path, &LIMITS);
    }
}

/// Pickles as large as the limit allows, of whatever takes most memory for a byte.
#[test]
fn no_operation_costs_much_memory() {
    let _alone = ONE_AT_A_TIME.lock();
    let files = Files::new();
    let generous = Limits { tensors: 1 << 16, ..LIMITS };
    let pairs = Pickle::new().raw(b"](").raw(&b"NN\x86".repeat(4000)).raw(b"eq\x00");
    let copies =
        (0..4000).fold(pairs, |pickle, _| pickle.global("collections", "OrderedDict").raw(b"h\x00\x85R0"));
    let bombs = [
        b"]".repeat(60_000),
        b")".repeat(60_000),
        b"}".repeat(60_000),
        b"N\x85".repeat(30_000),
        b"}NNs".repeat(15_000),
        b"]Na".repeat(20_000),
        b"N\x94".repeat(30_000),
        b"(".repeat(60_000),
        b"N2\x86".repeat(20_000),
        copies.0[2..].to_vec(),
    ];
    for bomb in bombs {
        let pickle = Pickle::new().raw(&bomb).end();
        read_whatever_it_is(&files.write("bomb", &archive_of(&pickle)), &generous);
        read_whatever_it_is(&files.write("bomb", &legacy_of(&pickle, true)), &generous);
    }
}

/// A dict of many entries in a list many times over: each look at an entry takes time, whatever it holds.
#[test]
fn what_is_referred_to_again_and_again_is_not_looked_at_for_ever() {
    let _alone = ONE_AT_A_TIME.lock();
    let files = Files::new();
    let dict = Pickle::new().raw(b"](}(").raw(&b"NN".repeat(3000)).raw(b"uq\x00");
    let pickle = dict.raw(&b"h\x00".repeat(1000)).raw(b"e").end();
    let found = probe(&files.write("again", &archive_of(&pickle)), &LIMITS);
    let error = std::error::Error::source(&found.unwrap_err()).map(ToString::to_string).unwrap_or_default();
    assert!(error.contains("values of a pickle"), "{error}");
}

/// Lengths that nothing stands behind are refused before memory is asked for.
#[test]
fn what_is_not_there_takes_no_memory() {
    let _alone = ONE_AT_A_TIME.lock();
    let files = Files::new();
    let huge = u32::MAX.to_le_bytes();
    let header = |length: u64| [&length.to_le_bytes()[..], b"{}"].concat();
    let cases = [
        archive_of(&Pickle::new().raw(b"X").raw(&huge).end()),
        archive_of(&Pickle::new().raw(b"\x8e").raw(&u64::MAX.to_le_bytes()).end()),
        archive_of(&Pickle::new().raw(b"\x8b").raw(&huge).end()),
        archive_of(&Pickle::new().tensor("FloatStorage", ("0", i32::MAX), 0, &[i32::MAX], &[1]).end()),
        header(u64::MAX),
        header(1 << 40),
        header((16 << 20) - 1),
    ];
    for bytes in cases {
        let path = files.write("huge", &bytes);
        let taken = peak(|| assert!(probe(&path, &Limits::default()).is_err()));
        assert!(taken < 128 << 10, "{taken} bytes");
    }
}

/// A column of a matrix costs its values and a buffer, not the matrix.
#[test]
fn memory_is_bounded_by_the_tensor_not_by_its_storage() {
    let _alone = ONE_AT_A_TIME.lock();
    let files = Files::new();
    let (rows, columns) = (1 << 11, 1 << 11);
    let pickle = Pickle::new().tensor("FloatStorage", ("0", rows * columns), 5, &[rows], &[columns]).end();
    let matrix = vec![0u8; (rows * columns * 4) as usize];
    let path = files.write("column", &zip(&[("data.pkl", &pickle, 0, 0), ("data/0", &matrix, 0, 0)], false));
    drop(matrix);
    let limits = Limits { elements: 1 << 30, ..LIMITS };
    let taken = peak(|| probe(&path, &limits).unwrap());
    assert!(taken < 1 << 20, "{taken} bytes");
    fs::remove_file(path).unwrap();
}
