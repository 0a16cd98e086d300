//! See [`nodi_chat_fuzz::chat_frame`].
#![no_main]

libfuzzer_sys::fuzz_target!(|bytes: &[u8]| nodi_chat_fuzz::chat_frame(bytes));
