//! See [`nodi_fuzz::stream_key`].
#![no_main]

libfuzzer_sys::fuzz_target!(|bytes: &[u8]| nodi_fuzz::stream_key(bytes));
