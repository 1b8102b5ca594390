//! The body is `fewbit::arbitrary::read_table`, which `tests/mutations.rs` also calls.
#![no_main]
libfuzzer_sys::fuzz_target!(|data: &[u8]| fewbit::arbitrary::read_table(data));
