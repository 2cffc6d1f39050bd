//! libFuzzer's door to `quantities`.
#![no_main]

libfuzzer_sys::fuzz_target!(|bytes: &[u8]| pilothouse_fuzz::quantities(bytes));
