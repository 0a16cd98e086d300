//! What became of an update, decided from evidence: which slot runs, which one boots next, what RAUC and the health gate
//! say. Pure, so that every case can be written down as a test.

use super::files::Gate;
use super::record::Facts;
use crate::seams::System;

/// What to do in `installing` when nothing of this process works on it.
#[derive(Debug, PartialEq, Eq)]
pub(super) enum Installing {
    /// The new slot runs: the power was cut after RAUC had switched.
    Tried,
    /// RAUC is done, and the other slot boots next.
    Done,
    /// RAUC works on it.
    Watch,
    /// RAUC is to be asked.
    Begin,
    Failed(String),
    /// It ran, and did not prove itself.
    Back(String),
}

/// `gate`: what the health gate says of the trial of this very update. `ended`: what the installation came to that this process saw; `same_boot`: as the state began in.
pub(super) fn installing(
    facts: &Facts,
    ended: Option<Result<(), String>>,
    system: &System,
    gate: Option<&Gate>,
    (same_boot, attempts): (bool, u32),
) -> Installing {
    let Some(booted) = &system.booted else {
        return if system.busy {
            Installing::Watch
        } else {
            Installing::Failed("RAUC does not know which slot runs".to_owned())
        };
    };
    if booted.bootname == facts.slot {
        return Installing::Tried;
    }
    if system.busy {
        return Installing::Watch;
    }
    let begun = facts.installs > 0;
    if begun && system.primary.as_deref() == Some(&facts.slot) {
        // It was not so before RAUC was asked, and RAUC switches last.
        return Installing::Done;
    }
    // A slot that ran and failed its trial is not installed again.
    if let Some(gate) = gate.filter(|_| begun && !same_boot)
        && gate.passed == Some(false)
    {
        return Installing::Back(back(facts, Some(gate), attempts, false));
    }
    // Before RAUC was asked, what ended was somebody else's.
    match ended.filter(|_| begun) {
        Some(Err(reason)) => return Installing::Failed(reason),
        Some(Ok(())) => {
            return Installing::Failed(format!(
                "RAUC says that it is done, and yet slot {} does not boot next",
                facts.slot
            ));
        }
        None => {}
    }
    if begun && same_boot && !system.last_error.is_empty() && system.last_error != facts.error_before {
        return Installing::Failed(system.last_error.clone());
    }
    Installing::Begin
}

/// What to do in `rebooting` and `trial` once there is another boot.
#[derive(Debug, PartialEq, Eq)]
pub(super) enum Booted {
    New,
    /// With the reason.
    Old(String),
    /// Neither of the two slots runs, or it is not known which one.
    Unknown,
}

/// `came_up`: the agent spoke out of the new slot already.
pub(super) fn booted(
    facts: &Facts,
    system: &System,
    gate: Option<&Gate>,
    (attempts, came_up): (u32, bool),
) -> Booted {
    match &system.booted {
        Some(slot) if slot.bootname == facts.slot => Booted::New,
        Some(slot) if slot.bootname == facts.from_slot => Booted::Old(back(facts, gate, attempts, came_up)),
        _ => Booted::Unknown,
    }
}

/// Why the old slot runs again.
fn back(facts: &Facts, gate: Option<&Gate>, attempts: u32, came_up: bool) -> String {
    let slot = &facts.slot;
    let now = &facts.from_slot;
    match gate {
        Some(gate) if gate.passed == Some(false) => {
            let complaints = gate.complaints();
            let complaints =
                if complaints.is_empty() { "it does not say why".to_owned() } else { complaints };
            format!("slot {slot} did not pass its health gate: {complaints}; {now} runs again")
        }
        _ if !facts.given_up.is_empty() => format!("slot {slot}: {}; {now} runs again", facts.given_up),
        Some(gate) if gate.passed.is_none() => {
            let complaints = gate.complaints();
            let last = if complaints.is_empty() { String::new() } else { format!(" (last: {complaints})") };
            format!("slot {slot} came up and its health gate did not end{last}; {now} runs again")
        }
        Some(_) => format!("slot {slot} passed its health gate, and yet {now} runs again"),
        None if came_up => format!("slot {slot} came up, and not until its trial ended; {now} runs again"),
        None => format!("slot {slot} did not come up in {attempts} attempts; {now} runs again"),
    }
}

/// What to do while the new slot runs.
#[derive(Debug, PartialEq, Eq)]
pub(super) enum Trial {
    Confirmed,
    /// With how far it is.
    Wait(String),
}

pub(super) fn trial(facts: &Facts, boot_id: &str, system: Option<&System>, gate: Option<&Gate>) -> Trial {
    let Some(gate) = gate.filter(|gate| gate.boot_id == boot_id) else {
        return Trial::Wait("waiting for the health gate".to_owned());
    };
    match gate.passed {
        Some(true) => {
            let is_good = system.and_then(|system| system.booted.as_ref()).is_some_and(|slot| slot.good);
            if is_good {
                return Trial::Confirmed;
            }
            Trial::Wait(format!("the health gate passed; waiting for slot {} to be marked good", facts.slot))
        }
        Some(false) => Trial::Wait(format!("the health gate failed: {}", gate.complaints())),
        None if gate.checks.is_empty() => Trial::Wait("the health gate has begun".to_owned()),
        None => Trial::Wait(format!("the health gate still tries: {}", gate.complaints())),
    }
}

#[cfg(test)]
mod tests {
    use super::super::files::Check;
    use super::*;
    use crate::seams::Slot;

    fn slot(bootname: &str, good: bool) -> Slot {
        Slot { name: format!("rootfs.{bootname}"), bootname: bootname.to_owned(), good }
    }

    /// `A` runs; `primary` boots next.
    fn system(booted: &str, primary: &str) -> System {
        System {
            compatible: "nodi-x".to_owned(),
            busy: false,
            last_error: String::new(),
            booted: Some(slot(booted, true)),
            other: Some(slot(if booted == "A" { "B" } else { "A" }, true)),
            primary: Some(primary.to_owned()),
        }
    }

    fn facts(installs: u32) -> Facts {
        Facts { from_slot: "A".to_owned(), slot: "B".to_owned(), installs, ..Facts::default() }
    }

    fn gate(passed: Option<bool>) -> Gate {
        let check = |name: &str, passed| Check {
            name: name.to_owned(),
            passed: Some(passed),
            message: "the reason".to_owned(),
        };
        Gate {
            boot_id: "two".to_owned(),
            slot: "B".to_owned(),
            trial: true,
            passed,
            checks: vec![check("agent", true), check("stream", passed == Some(true))],
            ..Gate::default()
        }
    }

    #[test]
    fn an_installation_that_was_cut_short_is_judged_by_what_boots_next() {
        let failed = |system: System| System { last_error: "no signature".to_owned(), ..system };
        let busy = |system: System| System { busy: true, ..system };
        let unknown = System { booted: None, other: None, primary: None, ..busy(system("A", "A")) };
        let cases = [
            // Not begun yet, or begun and cut short at any point before the switch.
            (facts(0), None, system("A", "A"), None, Installing::Begin),
            (facts(1), None, system("A", "A"), None, Installing::Begin),
            // What somebody else had installed meanwhile.
            (facts(0), Some(Ok(())), system("A", "A"), None, Installing::Begin),
            // Whatever is primary before RAUC was asked says nothing.
            (facts(0), None, system("A", "B"), None, Installing::Begin),
            // After the switch: while RAUC ends, the agent was killed, or a power cut before any reboot.
            (facts(1), None, system("A", "B"), None, Installing::Done),
            (facts(1), Some(Ok(())), system("A", "B"), None, Installing::Done),
            (facts(2), None, system("B", "B"), None, Installing::Tried),
            // The agent was killed, RAUC was not.
            (facts(1), None, busy(system("A", "A")), None, Installing::Watch),
            (facts(1), None, unknown, None, Installing::Watch),
            (facts(1), None, failed(system("A", "A")), None, Installing::Failed("no signature".to_owned())),
            (
                Facts { error_before: "no signature".to_owned(), ..facts(1) },
                None,
                failed(system("A", "A")),
                None,
                Installing::Begin,
            ),
            (
                facts(1),
                Some(Err("RAUC ended".to_owned())),
                system("A", "A"),
                None,
                Installing::Failed("RAUC ended".to_owned()),
            ),
            (
                facts(1),
                Some(Ok(())),
                system("A", "A"),
                None,
                Installing::Failed("RAUC says that it is done, and yet slot B does not boot next".to_owned()),
            ),
        ];
        for (number, (facts, ended, system, gate, expected)) in cases.into_iter().enumerate() {
            let judged = installing(&facts, ended, &system, gate.as_ref(), (true, 3));
            assert_eq!(judged, expected, "case {number}");
        }
    }

    #[test]
    fn after_a_power_cut_an_old_error_counts_no_more_and_a_trial_that_failed_does() {
        let mut cut = system("A", "A");
        cut.last_error = "of another boot".to_owned();
        assert_eq!(installing(&facts(1), None, &cut, None, (false, 3)), Installing::Begin);
        let failed = gate(Some(false));
        let judged = installing(&facts(1), None, &system("A", "A"), Some(&failed), (false, 3));
        assert_eq!(
            judged,
            Installing::Back(
                "slot B did not pass its health gate: stream: the reason; A runs again".to_owned()
            )
        );
    }

    #[test]
    fn after_a_reboot_the_slot_that_runs_decides_and_the_gate_says_why() {
        let old = |why: &str| Booted::Old(format!("{why}; A runs again"));
        let cases = [
            ("B", None, Booted::New),
            ("B", Some(gate(None)), Booted::New),
            ("A", None, old("slot B did not come up in 3 attempts")),
            ("A", Some(gate(Some(false))), old("slot B did not pass its health gate: stream: the reason")),
            (
                "A",
                Some(gate(None)),
                old("slot B came up and its health gate did not end (last: stream: the reason)"),
            ),
            (
                "A",
                Some(gate(Some(true))),
                Booted::Old("slot B passed its health gate, and yet A runs again".to_owned()),
            ),
            ("C", None, Booted::Unknown),
        ];
        for (running, gate, expected) in cases {
            let judged = booted(&facts(1), &system(running, "B"), gate.as_ref(), (3, false));
            assert_eq!(judged, expected);
        }
    }

    #[test]
    fn a_slot_that_came_up_is_not_said_to_have_stayed_away() {
        let why = |facts: &Facts| match booted(facts, &system("A", "A"), None, (3, true)) {
            Booted::Old(why) => why,
            other => panic!("{other:?}"),
        };
        assert_eq!(why(&facts(1)), "slot B came up, and not until its trial ended; A runs again");
        let given_up = Facts { given_up: "no end of the trial in time".to_owned(), ..facts(1) };
        assert_eq!(why(&given_up), "slot B: no end of the trial in time; A runs again");
    }

    #[test]
    fn a_slot_is_confirmed_when_its_own_gate_passed_in_this_boot_and_rauc_says_that_it_is_good() {
        let mut bad = system("B", "B");
        bad.booted = Some(slot("B", false));
        let good = system("B", "B");
        let is_confirmed = |system: Option<&System>, gate: Option<Gate>| {
            trial(&facts(1), "two", system, gate.as_ref()) == Trial::Confirmed
        };
        let passed = || Some(gate(Some(true)));
        assert!(is_confirmed(Some(&good), passed()));
        assert!(!is_confirmed(Some(&bad), passed()), "not marked good yet");
        assert!(!is_confirmed(None, passed()), "RAUC does not answer");
        assert!(!is_confirmed(Some(&good), None));
        assert!(!is_confirmed(Some(&good), Some(gate(None))));
        assert!(!is_confirmed(Some(&good), Some(gate(Some(false)))));
        let before = Gate { boot_id: "one".to_owned(), ..gate(Some(true)) };
        assert!(!is_confirmed(Some(&good), Some(before)), "of an earlier boot");
    }
}
