//! The boot loader: which slot comes up after a reboot or a power cut.

use std::io;

use super::files::{ATTEMPTS, Boot, Files};

/// More tries than any two slots have.
const MOST_TRIES: u32 = 2 * ATTEMPTS + 2;

/// Starts the box anew: another boot id, and the version of the slot that came up. An installation under way is cut off.
pub(super) fn boot(files: &Files) -> io::Result<()> {
    match std::fs::remove_file(files.at("reboot")) {
        Err(error) if error.kind() != io::ErrorKind::NotFound => return Err(error),
        _ => {}
    }
    let control = files.control();
    let mut tried = Vec::new();
    let (boots, booted, version) = files.change(|state| {
        for _ in 0..MOST_TRIES {
            state.boots += 1;
            let name = state.primary.clone();
            let other = if name == "A" { "B" } else { "A" };
            let slot = state.slot(&name);
            if slot.bad || slot.version.is_empty() {
                slot.bad = true;
                state.primary = other.to_owned();
                continue;
            }
            if !slot.proven {
                if slot.attempts == 0 {
                    slot.bad = true;
                    state.primary = other.to_owned();
                    tried.push(format!("give up {name}"));
                    continue;
                }
                slot.attempts -= 1;
                if control.boot == Boot::Never {
                    tried.push(format!("try {name} in vain"));
                    continue;
                }
            }
            let version = slot.version.clone();
            state.booted.clone_from(&name);
            return (state.boots, name, version);
        }
        (state.boots, String::new(), String::new())
    })?;
    for line in tried {
        files.note(&line);
    }
    if booted.is_empty() {
        files.note("dead");
        return Err(io::Error::other("neither slot boots"));
    }
    super::files::replace(&files.at("version"), format!("{version}\n").as_bytes())?;
    super::files::replace(&files.at("boot_id"), format!("{}\n", files.boot_name(boots)).as_bytes())?;
    files.note(&format!("boot {booted}"));
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;

    fn files() -> (tempfile::TempDir, Files) {
        let directory = tempfile::tempdir().unwrap();
        let files = Files(directory.path().join("b1"));
        files.prepare("1").unwrap();
        (directory, files)
    }

    fn install(files: &Files) {
        files
            .change(|state| {
                let slot = state.slot("B");
                slot.version = "2".to_owned();
                slot.bad = false;
                slot.proven = false;
                slot.attempts = ATTEMPTS;
                state.primary = "B".to_owned();
            })
            .unwrap();
    }

    fn booted(files: &Files) -> String {
        boot(files).unwrap();
        files.state().unwrap().booted
    }

    #[test]
    fn a_slot_that_is_not_marked_good_has_three_attempts() {
        let (_directory, files) = files();
        assert_eq!(booted(&files), "A");
        install(&files);
        assert_eq!([booted(&files), booted(&files), booted(&files), booted(&files)], ["B", "B", "B", "A"]);
        assert!(files.state().unwrap().slots["B"].bad);
    }

    #[test]
    fn one_that_was_marked_good_stays_over_any_number_of_power_cuts() {
        let (_directory, files) = files();
        install(&files);
        assert_eq!(booted(&files), "B");
        files.change(|state| state.slot("B").proven = true).unwrap();
        let before = std::fs::read_to_string(files.at("boot_id")).unwrap();
        for _ in 0..10 {
            assert_eq!(booted(&files), "B");
        }
        assert_ne!(std::fs::read_to_string(files.at("boot_id")).unwrap(), before);
        assert_eq!(std::fs::read_to_string(files.at("version")).unwrap(), "2\n");
    }

    #[test]
    fn one_that_never_comes_up_is_left_after_its_attempts() {
        let (_directory, files) = files();
        install(&files);
        let control = super::super::Control { boot: Boot::Never, ..Default::default() };
        files.write("control.json", &control).unwrap();
        assert_eq!(booted(&files), "A");
    }
}
