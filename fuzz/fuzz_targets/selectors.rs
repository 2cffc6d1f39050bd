//! libFuzzer's door to `selectors`.
#![no_main]

libfuzzer_sys::fuzz_target!(|bytes: &[u8]| pilothouse_fuzz::selectors(bytes));
