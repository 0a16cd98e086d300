//! See [`nodi_fuzz::avc_config`].
#![no_main]

libfuzzer_sys::fuzz_target!(|bytes: &[u8]| nodi_fuzz::avc_config(bytes));
