//! See [`nodi_chat_fuzz::chat_token`].
#![no_main]

libfuzzer_sys::fuzz_target!(|bytes: &[u8]| nodi_chat_fuzz::chat_token(bytes));
