//! libFuzzer's door to `yaml`.
#![no_main]

libfuzzer_sys::fuzz_target!(|bytes: &[u8]| pilothouse_fuzz::yaml(bytes));
