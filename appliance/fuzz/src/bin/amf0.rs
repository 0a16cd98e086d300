//! See [`nodi_fuzz::amf0`].
#![no_main]

libfuzzer_sys::fuzz_target!(|bytes: &[u8]| nodi_fuzz::amf0(bytes));
