//! See [`nodi_fuzz::rtmp_preauth`].
#![no_main]

libfuzzer_sys::fuzz_target!(|bytes: &[u8]| nodi_fuzz::rtmp_preauth(bytes));
