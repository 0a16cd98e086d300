//! As much of a bundle as a stand-in has to read: its manifest, which a signed bundle carries as text near its end.

use std::fs::File;
use std::io::{self, Read as _, Seek as _, SeekFrom};
use std::path::Path;

/// A signature with its manifest and certificates is smaller, in bytes.
const TAIL: u64 = 256 << 10;

/// What a manifest says.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Manifest {
    pub compatible: String,
    pub version: String,
}

/// `None`: no valid signature.
pub(super) fn manifest(path: &Path) -> io::Result<Option<Manifest>> {
    let mut file = File::open(path)?;
    let len = file.metadata()?.len();
    file.seek(SeekFrom::Start(len.saturating_sub(TAIL)))?;
    let mut tail = Vec::new();
    file.read_to_end(&mut tail)?;
    Ok(parse(&String::from_utf8_lossy(&tail)))
}

fn parse(text: &str) -> Option<Manifest> {
    let (_, update) = text.split_once("[update]")?;
    let field = |name: &str| {
        let line = update.lines().skip(1).take_while(|line| !line.starts_with('['));
        let value = line.filter_map(|line| line.split_once('=')).find(|(key, _)| key.trim() == name)?.1;
        Some(value.trim().to_owned())
    };
    Some(Manifest { compatible: field("compatible")?, version: field("version")? })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_manifest_is_found_behind_the_image() {
        let directory = tempfile::tempdir().unwrap();
        let path = directory.path().join("bundle");
        let mut bytes = vec![0xf5; 300 << 10];
        bytes.extend(
            b"..[update]\ncompatible=nodi-x\nversion = 2.0.0\n\n[bundle]\nformat=verity\n[image.rootfs]\n..",
        );
        std::fs::write(&path, &bytes).unwrap();
        let manifest = Manifest { compatible: "nodi-x".to_owned(), version: "2.0.0".to_owned() };
        assert_eq!(super::manifest(&path).unwrap(), Some(manifest));
        bytes.truncate(300 << 10);
        std::fs::write(&path, &bytes).unwrap();
        assert_eq!(super::manifest(&path).unwrap(), None);
        assert!(super::manifest(&directory.path().join("none")).is_err());
    }
}
