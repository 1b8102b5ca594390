//! The body is `fewbit::arbitrary::unpack`, which `tests/mutations.rs` also calls.
#![no_main]
libfuzzer_sys::fuzz_target!(|data: &[u8]| fewbit::arbitrary::unpack(data));
