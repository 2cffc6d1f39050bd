//! libFuzzer's door to `request_line`.
#![no_main]

libfuzzer_sys::fuzz_target!(|bytes: &[u8]| pilothouse_fuzz::request_line(bytes));
