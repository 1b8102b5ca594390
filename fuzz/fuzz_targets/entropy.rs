//! The body is `fewbit::arbitrary::decode_entropy`, which `tests/mutations.rs` also calls.
#![no_main]
libfuzzer_sys::fuzz_target!(|data: &[u8]| fewbit::arbitrary::decode_entropy(data));
