//! See [`nodi_fuzz::flv`].
#![no_main]

libfuzzer_sys::fuzz_target!(|bytes: &[u8]| nodi_fuzz::flv(bytes));
