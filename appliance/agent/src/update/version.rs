//! Which version of the software runs on this box: that of the image, not of this program.

use std::path::Path;

use crate::telemetry::source::Source;

/// A version longer than that is none.
const LONGEST: usize = 64;

/// From `file`, from `os-release` where that is an image's, or this build's own.
pub(crate) fn running(file: &Path, source: &Source) -> String {
    std::fs::read_to_string(file)
        .ok()
        .and_then(|text| text.lines().next().map(|line| line.trim().to_owned()))
        .filter(|version| is_one(version))
        .or_else(|| of_image(&source.text("etc/os-release")?))
        .unwrap_or_else(|| env!("CARGO_PKG_VERSION").to_owned())
}

/// `IMAGE_VERSION`; `VERSION_ID` only of a distribution of our own, since Debian's is not a version of Nodi.
fn of_image(os_release: &str) -> Option<String> {
    let field = |name: &str| {
        let value = os_release.lines().find_map(|line| line.strip_prefix(name)?.strip_prefix('='))?;
        Some(value.trim().trim_matches(['"', '\'']).to_owned())
    };
    field("IMAGE_VERSION")
        .or_else(|| field("VERSION_ID").filter(|_| field("ID").as_deref() == Some("nodi")))
        .filter(|version| is_one(version))
}

fn is_one(version: &str) -> bool {
    !version.is_empty() && version.len() <= LONGEST && version.chars().all(|c| c.is_ascii_graphic())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_images_version_is_the_one() {
        assert_eq!(of_image("ID=debian\nVERSION_ID=\"12\"\n"), None);
        assert_eq!(of_image("ID=nodi\nVERSION_ID=\"1.4.0\"\n").as_deref(), Some("1.4.0"));
        assert_eq!(of_image("ID=debian\nVERSION_ID=\"12\"\nIMAGE_VERSION=2.0.1\n").as_deref(), Some("2.0.1"));
        assert_eq!(of_image("ID=nodi\nVERSION_ID=\"\"\n"), None);
    }

    #[test]
    fn a_file_wins_and_without_anything_it_is_the_build() {
        let directory = tempfile::tempdir().unwrap();
        let (file, source) = (directory.path().join("version"), Source::new(directory.path()));
        assert_eq!(running(&file, &source), env!("CARGO_PKG_VERSION"));
        std::fs::create_dir(directory.path().join("etc")).unwrap();
        std::fs::write(directory.path().join("etc/os-release"), "IMAGE_VERSION=\"3\"\n").unwrap();
        assert_eq!(running(&file, &source), "3");
        std::fs::write(&file, "1.2.3-rc.1\n").unwrap();
        assert_eq!(running(&file, &source), "1.2.3-rc.1");
        std::fs::write(&file, "no version\n").unwrap();
        assert_eq!(running(&file, &source), "3");
    }
}
