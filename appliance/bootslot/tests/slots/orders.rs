//! Every order of calls that RAUC makes, and what the board makes of it.

use nodi_bootslot::variables::{Variable, status};
use nodi_bootslot::{Command, Error, OnTrial, Slot, slots};

use crate::firmware::{ATTEMPTS, Image, Model, index};

pub fn order(model: &mut Model, command: Command) -> Result<Option<&'static str>, Error> {
    slots::run(command, model)
}

pub fn ask(model: &mut Model, words: &[&str]) -> Result<Option<&'static str>, Error> {
    order(model, Command::parse(words).unwrap())
}

/// `rauc install` into the slot that does not run (RAUC 1.8 `install.c`, 1.15 the same).
pub fn install(model: &mut Model, image: Image) -> Result<(), Error> {
    let target = model.running.other();
    order(model, Command::GetPrimary)?;
    order(model, Command::GetState(Slot::A))?;
    order(model, Command::GetState(Slot::B))?;
    order(model, Command::SetState { slot: target, good: false })?;
    model.images[index(target)] = Image::Torn;
    if model.power == Some(0) {
        return Err(Error::LastSlot("the power went while the image was written".to_owned()));
    }
    model.images[index(target)] = image;
    order(model, Command::SetPrimary(target)).map(drop)
}

/// What a slot that stayed up for its trial is told.
fn mark_good(model: &mut Model) {
    let running = model.running;
    order(model, Command::SetState { slot: running, good: true }).unwrap();
}

fn primary(model: &mut Model) -> &'static str {
    ask(model, &["get-primary"]).unwrap().unwrap()
}

#[test]
fn an_update_that_works() {
    let mut model = Model::new();
    install(&mut model, Image::Good).unwrap();
    assert_eq!((primary(&mut model), model.status(Slot::B)), ("B", status::NORMAL));
    assert_eq!(ask(&mut model, &["get-current"]).unwrap(), Some("A"));
    assert_eq!(model.boot(), Some(Slot::B));
    assert_eq!(model.register.unwrap()[1], ATTEMPTS - 1, "a trial costs an attempt");
    mark_good(&mut model);
    assert_eq!(model.register.unwrap()[1], ATTEMPTS);
    for slot in ["A", "B"] {
        assert_eq!(ask(&mut model, &["get-state", slot]).unwrap(), Some("good"));
    }
    // What the firmware leaves behind would stop the next switch.
    assert_eq!(model.variables.get(&Variable::ChainStatus), Some(&0));
    install(&mut model, Image::Good).unwrap();
    assert_eq!(model.boot(), Some(Slot::A));
    mark_good(&mut model);
    install(&mut model, Image::Good).unwrap();
    assert_eq!(model.power_cut(), Some(Slot::B), "by a power cut instead of a reboot");
}

#[test]
fn a_slot_that_failed_can_be_updated_again() {
    let mut model = Model::new();
    install(&mut model, Image::Broken).unwrap();
    assert_eq!(model.boot(), Some(Slot::A), "three attempts, and back");
    assert_eq!(model.status(Slot::B), status::UNBOOTABLE);
    assert_eq!(model.register.unwrap()[1], 0);
    assert_eq!(ask(&mut model, &["get-state", "B"]).unwrap(), Some("bad"));
    model.verify();
    install(&mut model, Image::Good).unwrap();
    assert_eq!(model.boot(), Some(Slot::B));
    mark_good(&mut model);
    assert_eq!(ask(&mut model, &["get-state", "B"]).unwrap(), Some("good"));
}

#[test]
fn a_counter_that_the_tool_does_not_renew_is_said_and_a_power_cut_helps() {
    let mut model = Model { keeps_counter: true, ..Model::new() };
    install(&mut model, Image::Broken).unwrap();
    assert_eq!(model.boot(), Some(Slot::A));
    model.verify();
    let error = install(&mut model, Image::Good).unwrap_err();
    assert!(matches!(error, Error::NoAttempts(Slot::B)), "{error}");
    assert_eq!(primary(&mut model), "A");
    assert_eq!(model.clone().boot(), Some(Slot::A), "no boot into a slot that would be refused");
    assert_eq!(model.power_cut(), Some(Slot::A));
    model.verify();
    install(&mut model, Image::Good).unwrap();
    assert_eq!(model.boot(), Some(Slot::B));
}

/// What the health gate does: `mark-bad booted`, `mark-active other`, reboot.
#[test]
fn a_trial_that_fails_goes_back() {
    for orders in [&["bad"][..], &["active"], &["bad", "active"], &["active", "bad"]] {
        for power_cut in [false, true] {
            let mut model = Model::new();
            install(&mut model, Image::Good).unwrap();
            assert_eq!(model.boot(), Some(Slot::B));
            for word in orders {
                let words: &[&str] =
                    if *word == "bad" { &["set-state", "B", "bad"] } else { &["set-primary", "A"] };
                ask(&mut model, words).unwrap();
            }
            assert_eq!(primary(&mut model), "A");
            assert_eq!(if power_cut { model.power_cut() } else { model.boot() }, Some(Slot::A), "{orders:?}");
            model.verify();
            install(&mut model, Image::Good).unwrap();
            assert_eq!(model.boot(), Some(Slot::B), "and it can be tried again");
        }
    }
}

#[test]
fn a_trial_that_hangs_goes_back_after_three_attempts_and_power_cuts_cost_none() {
    let mut model = Model::new();
    install(&mut model, Image::Good).unwrap();
    for _ in 0..10 {
        assert_eq!(model.power_cut(), Some(Slot::B));
    }
    let booted: Vec<_> = (0..ATTEMPTS).map(|_| model.boot()).collect();
    assert_eq!(booted, [Some(Slot::B), Some(Slot::B), Some(Slot::A)]);
}

#[test]
fn an_update_over_one_that_was_not_booted_does_not_boot_half_of_it() {
    let mut model = Model::new();
    install(&mut model, Image::Good).unwrap();
    // The next one is cut while it is written, by a reset that the register survives.
    ask(&mut model, &["set-state", "B", "bad"]).unwrap();
    model.images[1] = Image::Torn;
    assert_eq!(primary(&mut model), "A");
    assert_eq!(model.boot(), Some(Slot::A));
    assert_eq!(model.register.unwrap()[1], ATTEMPTS, "slot B was never tried");
}

#[test]
fn of_two_slots_one_is_always_left() {
    let mut model = Model::new();
    ask(&mut model, &["set-state", "B", "bad"]).unwrap();
    let error = ask(&mut model, &["set-state", "A", "bad"]).unwrap_err();
    assert_eq!(error.exit_code(), 4, "{error}");
    assert!(error.to_string().contains("slot B is not marked good"), "{error}");
    assert_eq!(model.status(Slot::A), status::NORMAL);

    // However it came about that the running one is marked.
    let mut model = Model::new();
    model.variables.insert(Variable::StatusA, status::UNBOOTABLE);
    assert!(matches!(ask(&mut model, &["set-state", "B", "bad"]), Err(Error::LastSlot(_))));
    mark_good(&mut model);
    ask(&mut model, &["set-state", "B", "bad"]).unwrap();
    assert_eq!(model.power_cut(), Some(Slot::A));

    // A status that means nothing is not counted on.
    model.variables.insert(Variable::StatusB, 2);
    assert!(matches!(ask(&mut model, &["set-state", "A", "bad"]), Err(Error::LastSlot(_))));
    assert!(ask(&mut model, &["get-state", "B"]).unwrap_err().to_string().contains("RootfsStatusSlotB"));
}

#[test]
fn an_installation_that_was_cut_can_begin_again_before_anything_else() {
    let mut model = Model::new();
    ask(&mut model, &["set-state", "B", "bad"]).unwrap();
    model.images[1] = Image::Torn;
    // Up again, and not called good yet.
    assert_eq!(model.power_cut(), Some(Slot::A));
    assert!(model.register.unwrap()[0] < ATTEMPTS);
    install(&mut model, Image::Good).unwrap();
    assert_eq!(model.boot(), Some(Slot::B));
}

#[test]
fn a_slot_on_trial_does_not_give_up_the_one_before_it() {
    let mut model = Model::new();
    install(&mut model, Image::Good).unwrap();
    for _ in 0..ATTEMPTS {
        assert_eq!(model.boot(), Some(Slot::B));
        let error = install(&mut model, Image::Broken).unwrap_err();
        assert!(error.to_string().contains("slot B, which runs, was not marked good since"), "{error}");
        assert_eq!(ask(&mut model, &["armed"]).unwrap_err().exit_code(), 4, "and who asks before is told so");
    }
    assert_eq!(model.images[0], Image::Good);
    assert_eq!(model.clone().boot(), Some(Slot::A));
    mark_good(&mut model);
    assert_eq!(ask(&mut model, &["armed"]).unwrap(), None);
    install(&mut model, Image::Broken).unwrap();
    assert_eq!(model.boot(), Some(Slot::B));
}

#[test]
fn without_redundancy_nothing_is_switched_and_the_reason_is_said() {
    for (level, reason) in [(None, "no EFI variable RootfsRedundancyLevel"), (Some(0), "is 0, not 1")] {
        let mut model = Model::new();
        model.variables.remove(&Variable::RedundancyLevel);
        model.variables.extend(level.map(|level| (Variable::RedundancyLevel, level)));
        let before = model.variables.clone();
        for words in [&["armed"][..], &["set-primary", "B"], &["set-state", "B", "bad"]] {
            let error = ask(&mut model, words).unwrap_err();
            assert_eq!(error.exit_code(), 3, "{words:?}: {error}");
            assert!(error.to_string().contains(reason), "{error}");
        }
        assert_eq!(model.variables, before);
        // What does not switch works.
        ask(&mut model, &["set-state", "A", "good"]).unwrap();
        assert_eq!(ask(&mut model, &["get-current"]).unwrap(), Some("A"));
    }
    assert_eq!(ask(&mut Model::new(), &["armed"]).unwrap(), None);
}

#[test]
fn marking_good_what_is_good_writes_nothing() {
    let mut model = Model::new();
    model.power = Some(1);
    ask(&mut model, &["set-state", "A", "good"]).unwrap();
    assert_eq!(model.power, Some(0), "verify is the only effect");
}

#[test]
fn a_status_asks_and_changes_nothing() {
    let mut model = Model { power: Some(0), ..Model::new() };
    for words in
        [&["get-current"][..], &["get-primary"], &["get-state", "A"], &["get-state", "B"], &["armed"]]
    {
        ask(&mut model, words).unwrap();
    }
}

/// After each of so many resets that are no power cuts.
fn resets(model: &mut Model, on_trial: OnTrial) -> Vec<Option<Slot>> {
    let mut slots = Vec::new();
    for _ in 0..4 * ATTEMPTS {
        slots.push(model.boot());
        order(model, Command::BootOk(on_trial)).unwrap();
    }
    slots
}

#[test]
fn a_box_without_its_data_partition_takes_both_slots_in_turn_and_never_runs_out_of_them() {
    let mut model = Model::new();
    let turn = |slot| [Some(slot); 3];
    let turns = [turn(Slot::A), turn(Slot::B), turn(Slot::A), turn(Slot::B)].concat();
    assert_eq!(resets(&mut model, OnTrial::Unknown), turns);
    // Of one that does not boot, nobody hears again.
    model.images[index(Slot::A)] = Image::Broken;
    assert!(resets(&mut model, OnTrial::Unknown).iter().all(|slot| *slot == Some(Slot::B)));
}

#[test]
fn only_boots_of_the_slot_on_trial_are_attempts() {
    let mut model = Model::new();
    assert!(resets(&mut model, OnTrial::Slot(Slot::B)).iter().all(|slot| *slot == Some(Slot::A)));
    install(&mut model, Image::Good).unwrap();
    let slots = resets(&mut model, OnTrial::Slot(Slot::B));
    assert_eq!(slots[..4], [Some(Slot::B), Some(Slot::B), Some(Slot::B), Some(Slot::A)]);
    assert!(slots[4..].iter().all(|slot| *slot == Some(Slot::A)), "{slots:?}");
}
