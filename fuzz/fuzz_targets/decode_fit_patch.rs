//! libFuzzer's door to `decode_fit_patch`.
#![no_main]

libfuzzer_sys::fuzz_target!(|bytes: &[u8]| pilothouse_fuzz::decode_fit_patch(bytes));
