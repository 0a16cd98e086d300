//! File systems that the box needs, and how worn the memory below them is.

use std::path::{Path, PathBuf};

use nodi_protocol::fleet::telemetry::Disk;

use super::source::{Source, text};

/// Where a file system is, and what it is on.
#[derive(Debug, Clone, PartialEq, Eq)]
struct Mount {
    point: PathBuf,
    /// Major and minor number.
    device: String,
    /// The whole file system, not only as this process sees it.
    read_only: bool,
}

/// One entry per file system that holds at least one of `paths` and that fills: an image that nobody writes to is as full as
/// it was made.
pub(super) fn disks(source: &Source, paths: &[PathBuf]) -> Vec<Disk> {
    let Some(mounts) = source.text("proc/self/mountinfo").map(|text| parse_mounts(&text)) else {
        return Vec::new();
    };
    let mut seen: Vec<&Mount> = Vec::new();
    let mut disks = Vec::new();
    for path in paths {
        let holding = mounts.iter().filter(|mount| path.starts_with(&mount.point));
        // The one that was mounted last hides those before it.
        let Some(mount) = holding.max_by_key(|mount| mount.point.as_os_str().len()) else { continue };
        if mount.read_only || seen.contains(&mount) {
            continue;
        }
        seen.push(mount);
        let here = source.at(mount.point.to_string_lossy().trim_start_matches('/'));
        let Ok(space) = rustix::fs::statvfs(&here) else { continue };
        disks.push(Disk {
            mount: mount.point.display().to_string(),
            total_bytes: space.f_blocks.saturating_mul(space.f_frsize),
            free_bytes: space.f_bavail.saturating_mul(space.f_frsize),
            wear: wear(source, &mount.device),
        });
    }
    disks
}

/// Lines of `/proc/self/mountinfo`: id, parent, major:minor, root, mount point, …, `-`, type, source, options of the file system
/// (proc_pid_mountinfo(5)).
fn parse_mounts(text: &str) -> Vec<Mount> {
    let mount = |line: &str| {
        let mut fields = line.split(' ').skip(2);
        let device = fields.next()?.to_owned();
        let point = PathBuf::from(unescape(fields.nth(1)?));
        let options = fields.skip_while(|field| *field != "-").nth(3)?;
        Some(Mount { point, device, read_only: options.split(',').any(|option| option == "ro") })
    };
    text.lines().filter_map(mount).collect()
}

/// Spaces and the like are octal.
fn unescape(text: &str) -> String {
    ["040", "011", "012", "134"]
        .into_iter()
        .zip([" ", "\t", "\n", "\\"])
        .fold(text.to_owned(), |text, (code, plain)| text.replace(&format!("\\{code}"), plain))
}

/// Share of the rated life that is used up. eMMC tells it in tenths (JEDEC JESD84-B51, DEVICE_LIFE_TIME_EST): 1 is up
/// to 10 %, 11 is beyond. Of its two kinds of memory the worse one counts.
fn wear(source: &Source, device: &str) -> Option<f32> {
    let partition = std::fs::canonicalize(source.at(&format!("sys/dev/block/{device}"))).ok()?;
    // A partition is a directory below its disk's.
    let told = partition.ancestors().take(2).find_map(|disk: &Path| text(&disk.join("device/life_time")))?;
    let tenth = |word: &str| u8::from_str_radix(word.trim_start_matches("0x"), 16).ok();
    let worst = told.split_whitespace().filter_map(tenth).filter(|tenths| (1..=11).contains(tenths)).max()?;
    Some(f32::from(worst) / 10.0)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn mount_points_may_have_spaces() {
        let text = "36 35 98:0 /mnt1 /mnt2 rw,noatime master:1 - ext3 /dev/root rw\n37 35 0:5 / /a\\040b rw - tmpfs t rw\nx";
        let mounts = parse_mounts(text);
        assert_eq!(mounts[0], Mount { point: "/mnt2".into(), device: "98:0".into(), read_only: false });
        assert_eq!((mounts[1].point.as_path(), mounts.len()), (Path::new("/a b"), 2));
    }
}
