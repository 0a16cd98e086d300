//! The seeds, and every input that was ever a finding, through their targets: what was fixed stays fixed.

#![allow(clippy::unwrap_used, clippy::panic, reason = "tests fail by panicking")]

use std::path::Path;

#[test]
fn every_target_stands_its_seeds() {
    for (name, target) in nodi_chat_fuzz::TARGETS {
        let directory = Path::new(env!("CARGO_MANIFEST_DIR")).join("seeds").join(name);
        let mut seen = 0;
        for entry in std::fs::read_dir(&directory).unwrap() {
            let bytes = std::fs::read(entry.unwrap().path()).unwrap();
            target(&bytes);
            // Cut short in a few places, they are other inputs.
            for len in [0, 1, bytes.len() / 3, bytes.len() / 2, bytes.len().saturating_sub(1)] {
                target(bytes.get(..len).unwrap());
            }
            seen += 1;
        }
        assert!(seen > 0, "{name} has no seeds");
    }
}
