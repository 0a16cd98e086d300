//! Notes when the software was built: no clock that is right can show an earlier time.

use std::time::{SystemTime, UNIX_EPOCH};

fn main() {
    println!("cargo:rerun-if-env-changed=SOURCE_DATE_EPOCH");
    println!("cargo:rerun-if-changed=build.rs");
    // Images are built reproducibly, and name the time of their sources.
    let named = std::env::var("SOURCE_DATE_EPOCH").ok().and_then(|text| text.parse::<u64>().ok());
    let seconds = named
        .or_else(|| SystemTime::now().duration_since(UNIX_EPOCH).ok().map(|since| since.as_secs()))
        .unwrap_or(0);
    println!("cargo:rustc-env=NODI_BUILT_S={seconds}");
}
