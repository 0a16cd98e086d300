//! The states by table: every one with a process that is killed, a power cut, and a deadline; a box without RAUC, where
//! time passes when a test says so.

mod rig;

use nodi_protocol::fleet::update::{Day, State, Window};

use super::super::files::Directory;
use super::*;
use rig::{Install, Rig, TODAY, gate, order};

/// What is told of an update when nothing happens: it waits for nothing.
const STATES: [State; 5] =
    [State::Downloading, State::Installing, State::Rebooting, State::Trial, State::Confirmed];

#[tokio::test]
async fn an_update_goes_through_its_states_and_leaves_nothing() {
    let mut rig = Rig::new();
    let mut machine = rig.start().await;
    rig.order(&order(1));
    rig.run(&mut machine).await;
    assert_eq!(rig.report().state, State::Rebooting, "{:?}", rig.report());
    assert!(rig.fake().held && rig.directory().trial().is_some());
    assert_eq!(rig.fake().calls, ["download", "hold", "install", "reboot"]);
    let mut machine = rig.reboot().await;
    rig.run(&mut machine).await;
    assert_eq!(rig.report().state, State::Trial);
    assert!(!rig.fake().held, "the gate's stream is let in");
    rig.gate(&gate("boot-2", "B", Some(true)));
    rig.run(&mut machine).await;
    let report = rig.report();
    assert_eq!((report.state, report.slot.as_deref()), (State::Confirmed, Some("B")), "{report:?}");
    assert_eq!((report.from.as_str(), report.to.as_str()), ("1", "2"));
    assert_eq!(rig.states(), STATES);
    rig.is_clean();
    assert_eq!(rig.ends().await, [(1, State::Confirmed)]);
    // Said again by a broker that lost its mind: nothing happens.
    rig.order(&order(1));
    rig.run(&mut machine).await;
    assert_eq!(rig.ends().await.len(), 1);
}

#[tokio::test]
async fn an_agent_that_is_killed_after_any_step_goes_on_and_asks_for_nothing_that_is_done() {
    for step in 0..40 {
        let mut rig = Rig::new();
        let mut machine = rig.start().await;
        rig.order(&order(1));
        for _ in 0..step {
            rig.step(&mut machine).await;
        }
        drop(machine);
        let mut machine = rig.restart().await;
        rig.run(&mut machine).await;
        assert_eq!(rig.report().state, State::Rebooting, "step {step}: {:?}", rig.report());
        let installs = rig.fake().calls.iter().filter(|call| *call == "install").count();
        assert!((1..=2).contains(&installs), "step {step}: {:?}", rig.fake().calls);
        assert!(rig.fake().held);
        let mut machine = rig.reboot().await;
        for _ in 0..step % 4 {
            rig.step(&mut machine).await;
        }
        rig.gate(&gate("boot-2", "B", Some(true)));
        let mut machine = rig.restart().await;
        rig.run(&mut machine).await;
        assert_eq!(rig.report().state, State::Confirmed, "step {step}: {:?}", rig.report());
        rig.is_clean();
        assert_eq!(rig.ends().await, [(1, State::Confirmed)], "step {step}");
    }
}

#[tokio::test]
async fn a_power_cut_after_any_step_ends_in_the_new_slot_all_the_same() {
    for step in 0..60 {
        let mut rig = Rig::new();
        rig.fake().install = Install::Takes(20);
        let mut machine = rig.start().await;
        rig.order(&order(1));
        for _ in 0..step {
            rig.step(&mut machine).await;
        }
        drop(machine);
        let mut machine = rig.cut_power().await;
        for boot in 0..4 {
            rig.run(&mut machine).await;
            if rig.report().state == State::Rebooting {
                machine = rig.reboot().await;
                continue;
            }
            assert_eq!(rig.report().state, State::Trial, "step {step}, boot {boot}: {:?}", rig.report());
            break;
        }
        // Another one in the middle of the trial, and one after the gate passed.
        machine = rig.cut_power().await;
        rig.run(&mut machine).await;
        assert_eq!(rig.report().state, State::Trial, "step {step}: {:?}", rig.report());
        let boot = rig.boot_id.clone();
        rig.gate(&gate(&boot, "B", Some(true)));
        machine = rig.cut_power().await;
        rig.run(&mut machine).await;
        assert_eq!(rig.report().state, State::Trial, "passed in another boot: {:?}", rig.report());
        let boot = rig.boot_id.clone();
        rig.gate(&gate(&boot, "B", Some(true)));
        rig.run(&mut machine).await;
        assert_eq!(rig.report().state, State::Confirmed, "step {step}: {:?}", rig.report());
        rig.is_clean();
        assert_eq!(rig.ends().await, [(1, State::Confirmed)], "step {step}");
    }
}

#[tokio::test]
async fn a_slot_that_does_not_prove_itself_is_told_with_the_reason() {
    for (report, reason) in [
        (None, "slot B did not come up in 3 attempts; A runs again"),
        (
            Some(gate("boot-x", "B", Some(false))),
            "slot B did not pass its health gate: stream: no segment; A runs again",
        ),
        // Of another update.
        (
            Some(serde_json::json!({"slot": "B", "trial": true, "id": order(7).id, "passed": false})),
            "slot B did not come up in 3 attempts; A runs again",
        ),
        (
            Some(
                serde_json::json!({"slot": "A", "trial": false, "passed": true, "last_trial": gate("x", "B", None)}),
            ),
            "slot B came up and its health gate did not end (last: stream: no segment); A runs again",
        ),
    ] {
        let mut rig = Rig::new();
        let mut machine = rig.start().await;
        rig.order(&order(1));
        rig.run(&mut machine).await;
        if let Some(report) = &report {
            rig.gate(report);
        }
        rig.fake().system.primary = Some("A".to_owned());
        let mut machine = rig.reboot().await;
        rig.run(&mut machine).await;
        assert_eq!((rig.report().state, rig.report().message.as_str()), (State::RolledBack, reason));
        rig.is_clean();
        assert_eq!(rig.ends().await, [(1, State::RolledBack)]);
        // The next one works.
        rig.order(&order(2));
        rig.run(&mut machine).await;
        assert_eq!(rig.report().state, State::Rebooting);
    }
}

#[tokio::test]
async fn an_installation_that_fails_says_why_and_the_next_order_works() {
    let mut rig = Rig::new();
    rig.fake().install = Install::Fails("signature verification failed".to_owned());
    let mut machine = rig.start().await;
    rig.order(&order(1));
    rig.run(&mut machine).await;
    let report = rig.report();
    assert_eq!((report.state, report.message.as_str()), (State::Failed, "signature verification failed"));
    rig.is_clean();
    rig.fake().install = Install::Works;
    rig.order(&order(2));
    rig.run(&mut machine).await;
    assert_eq!(rig.report().state, State::Rebooting);
    assert_eq!(rig.ends().await, [(1, State::Failed)]);
}

#[tokio::test]
async fn an_installation_begins_again_after_a_power_cut_once_the_running_slot_is_good() {
    let mut rig = Rig::new();
    rig.fake().install = Install::Takes(10_000);
    let mut machine = rig.start().await;
    rig.order(&order(1));
    rig.run(&mut machine).await;
    drop(machine);
    machine = rig.cut_power().await;
    rig.fake().armed = Err(Obstacle::passing("slot A was not marked good yet"));
    rig.run(&mut machine).await;
    let report = rig.report();
    assert_eq!(
        (report.state, report.message.as_str()),
        (State::Installing, "slot A was not marked good yet")
    );
    assert!(!rig.fake().system.busy, "RAUC would refuse it");
    rig.fake().armed = Ok(());
    rig.pass(20_000);
    rig.run(&mut machine).await;
    assert!(rig.fake().system.busy, "{:?}", rig.report());
}

#[tokio::test]
async fn an_installation_that_never_survives_is_given_up() {
    let mut rig = Rig::new();
    rig.fake().install = Install::Takes(10_000);
    let mut machine = rig.start().await;
    rig.order(&order(1));
    for _ in 0..3 {
        rig.run(&mut machine).await;
        assert_eq!(rig.report().state, State::Installing);
        drop(machine);
        machine = rig.cut_power().await;
    }
    rig.run(&mut machine).await;
    assert_eq!(rig.report().message, "the installation was cut short 3 times");
    rig.is_clean();
}

#[tokio::test]
async fn every_state_has_its_end_in_time() {
    // Waiting for what does not come.
    let mut rig = Rig::new();
    rig.fake().room = Err(Obstacle::passing("no space"));
    let mut machine = rig.start().await;
    rig.order(&order(1));
    rig.run(&mut machine).await;
    assert_eq!((rig.report().state, rig.report().message.as_str()), (State::Waiting, "no space"));
    assert_eq!(rig.report().deadline_ms, Some(order(1).expires_ms));
    rig.pass(3_600_000);
    rig.run(&mut machine).await;
    assert_eq!(
        (rig.report().state, rig.report().message.as_str()),
        (State::Expired, "it could not begin in time: no space")
    );
    rig.is_clean();

    // A download without end, over a restart.
    let mut rig = Rig::new();
    rig.fake().download = None;
    let mut machine = rig.start().await;
    rig.order(&order(1));
    rig.run(&mut machine).await;
    rig.pass(50_000);
    let mut machine = rig.restart().await;
    rig.run(&mut machine).await;
    assert_eq!(rig.report().state, State::Downloading);
    rig.pass(51_000);
    rig.run(&mut machine).await;
    assert!(rig.report().message.starts_with("not downloaded within 100 s"), "{:?}", rig.report());

    // An installation without end; RAUC ends it later, and its switch is taken back.
    let mut rig = Rig::new();
    rig.fake().install = Install::Takes(10_000);
    let mut machine = rig.start().await;
    rig.order(&order(1));
    rig.run(&mut machine).await;
    rig.pass(201_000);
    rig.run(&mut machine).await;
    assert!(rig.report().message.starts_with("not installed within 200 s"), "{:?}", rig.report());
    assert!(rig.directory().trial().is_some(), "what RAUC still writes could boot");
    assert!(!rig.fake().held, "and publishers do not wait for that");
    rig.order(&order(2));
    rig.run(&mut machine).await;
    assert_eq!(rig.report().id, order(1).id, "the next one waits for RAUC");
    rig.fake().finish();
    rig.pass(60_000);
    rig.run(&mut machine).await;
    assert!(rig.fake().calls.contains(&"activate A".to_owned()), "{:?}", rig.fake().calls);
    assert_eq!(rig.report().id, order(2).id);

    // A reboot that never comes: the old slot boots next.
    let mut rig = Rig::new();
    let mut machine = rig.start().await;
    rig.order(&order(1));
    rig.run(&mut machine).await;
    rig.pass(301_000);
    rig.run(&mut machine).await;
    assert_eq!(
        (rig.report().state, rig.report().message.as_str()),
        (State::Failed, "the box was not started anew within 300 s")
    );
    assert_eq!(rig.fake().system.primary.as_deref(), Some("A"));
    rig.is_clean();

    // A trial without a gate: back by itself.
    let mut rig = Rig::new();
    let mut machine = rig.start().await;
    rig.order(&order(1));
    rig.run(&mut machine).await;
    let mut machine = rig.reboot().await;
    rig.run(&mut machine).await;
    rig.fake().calls.clear();
    rig.pass(521_000);
    rig.run(&mut machine).await;
    assert_eq!(rig.fake().calls, ["activate A", "reject B", "reboot"]);
    assert_eq!(rig.report().state, State::Trial);
    let mut machine = rig.reboot().await;
    rig.run(&mut machine).await;
    assert_eq!(rig.report().state, State::RolledBack);
    assert_eq!(
        rig.report().message,
        "slot B: no end of the trial in time (waiting for the health gate); A runs again"
    );
    rig.is_clean();
}

#[tokio::test]
async fn a_slot_is_confirmed_once_its_boot_loader_says_so_too() {
    let mut rig = Rig::new();
    let mut machine = rig.start().await;
    rig.order(&order(1));
    rig.run(&mut machine).await;
    let mut machine = rig.reboot().await;
    rig.gate(&gate("boot-2", "B", Some(true)));
    rig.fake().armed = Err(Obstacle::passing("slot B was not marked good yet"));
    rig.run(&mut machine).await;
    let report = rig.report();
    assert_eq!(
        (report.state, report.message.as_str()),
        (State::Trial, "the health gate passed; slot B was not marked good yet")
    );
    rig.fake().armed = Ok(());
    rig.pass(20_000);
    rig.run(&mut machine).await;
    assert_eq!(rig.report().state, State::Confirmed);
}

#[tokio::test]
async fn a_trial_that_its_gate_has_given_up_is_not_gone_back_from() {
    let mut rig = Rig::new();
    let mut machine = rig.start().await;
    rig.order(&order(1));
    rig.run(&mut machine).await;
    let mut machine = rig.reboot().await;
    let mut stays = gate("boot-2", "B", Some(false));
    stays["checks"] =
        serde_json::json!([{"name": "way_back", "passed": false, "message": "it failed in 3 boots"}]);
    rig.gate(&stays);
    rig.run(&mut machine).await;
    rig.fake().calls.clear();
    rig.pass(521_000);
    rig.run(&mut machine).await;
    let report = rig.report();
    assert_eq!(report.state, State::Failed, "{report:?}");
    assert!(report.message.contains("it failed in 3 boots"), "{report:?}");
    assert_eq!(rig.fake().calls, [""; 0], "no reboot, again and again");
}

#[tokio::test]
async fn a_clock_that_wakes_up_in_the_future_ends_nothing() {
    let mut rig = Rig::new();
    rig.fake().download = None;
    let mut machine = rig.start().await;
    rig.order(&order(1));
    rig.run(&mut machine).await;
    assert_eq!(rig.report().state, State::Downloading);
    drop(machine);
    let mut machine = rig.wake_in_the_future().await;
    rig.run(&mut machine).await;
    assert_eq!(rig.report().state, State::Downloading, "{:?}", rig.report());
}

#[tokio::test]
async fn a_reboot_that_the_host_refuses_is_asked_for_again() {
    let mut rig = Rig::new();
    rig.fake().reboot = Err(Obstacle::passing("busy"));
    let mut machine = rig.start().await;
    rig.order(&order(1));
    rig.run(&mut machine).await;
    assert_eq!(rig.report().message, "the host does not reboot: busy");
    rig.fake().reboot = Ok(());
    rig.pass(10_000);
    rig.run(&mut machine).await;
    assert_eq!(rig.report().message, "the host was asked to reboot");
}

#[tokio::test]
async fn preflight_refuses_what_cannot_be_and_waits_for_what_may_come() {
    type Case = (&'static str, fn(&mut rig::Fake), bool);
    let cases: [Case; 9] = [
        ("version 2 runs already", |_| (), false),
        (
            "the bundle is for the board nodi-x, this is nodi-y",
            |fake| fake.system.compatible = "nodi-y-l4t-r39.2".into(),
            false,
        ),
        (
            "the bundle is for L4T r39.2, this box has r38.1",
            |fake| fake.system.compatible = "nodi-x-l4t-r38.1".into(),
            false,
        ),
        ("there is no second slot", |fake| fake.system.other = None, false),
        ("A/B is off", |fake| fake.armed = Err(Obstacle::lasting("A/B is off")), false),
        ("no space: 1 MiB", |fake| fake.room = Err(Obstacle::passing("no space: 1 MiB")), true),
        ("RAUC is busy", |fake| fake.system.busy = true, true),
        ("no RAUC: gone", |fake| fake.rauc = Err(Obstacle::passing("no RAUC: gone")), true),
        (
            "this box takes no updates",
            |fake| fake.rauc = Err(Obstacle::lasting("this box takes no updates")),
            false,
        ),
    ];
    for (reason, change, waits) in cases {
        let mut rig = Rig::new();
        if reason.starts_with("version") {
            rig.version = "2".to_owned();
        }
        change(&mut rig.fake());
        let mut machine = rig.start().await;
        rig.order(&order(1));
        rig.run(&mut machine).await;
        let report = rig.report();
        assert!(report.message.starts_with(reason), "{report:?}");
        assert_eq!(report.state, if waits { State::Waiting } else { State::Failed }, "{report:?}");
        assert!(rig.fake().calls.is_empty());
        rig.pass(61_000);
        rig.run(&mut machine).await;
        if reason.starts_with("no RAUC") {
            assert_eq!(rig.report().state, State::Failed, "it does not come");
        }
    }
    // The clock.
    let mut rig = Rig::untold();
    let mut machine = rig.start().await;
    rig.order(&order(1));
    rig.run(&mut machine).await;
    assert!(rig.report().message.starts_with("the clock is not set"), "{:?}", rig.report());
    rig.clock.learn(TODAY);
    rig.run(&mut machine).await;
    assert_eq!(rig.report().state, State::Rebooting);
}

#[tokio::test]
async fn what_was_good_before_the_download_is_looked_at_again_before_the_installation() {
    let mut rig = Rig::new();
    rig.fake().live = 1;
    let mut machine = rig.start().await;
    rig.order(&order(1));
    rig.run(&mut machine).await;
    assert_eq!((rig.report().state, rig.report().progress), (State::Downloading, Some(100)));
    rig.fake().armed = Err(Obstacle::lasting("A/B is off"));
    rig.fake().live = 0;
    rig.run(&mut machine).await;
    assert_eq!((rig.report().state, rig.report().message.as_str()), (State::Failed, "A/B is off"));
    rig.is_clean();
}

#[tokio::test]
async fn nothing_is_installed_while_somebody_is_live_or_outside_the_window_unless_it_is_forced() {
    let mut rig = Rig::new();
    rig.fake().live = 2;
    // TODAY is a Monday, 13:33 UTC.
    rig.fake().windows = vec![Window { days: vec![Day::Tue], start_minute: 0, minutes: 60 }];
    let mut machine = rig.start().await;
    let mut forever = order(1);
    forever.expires_ms = TODAY + 7 * 86_400_000;
    rig.order(&forever);
    rig.run(&mut machine).await;
    let report = rig.report();
    assert_eq!((report.state, report.progress), (State::Downloading, Some(100)));
    assert!(report.message.starts_with("waiting for the maintenance window of Tue 00:00"), "{report:?}");
    assert_eq!(report.deadline_ms, Some(forever.expires_ms), "it waits longer than a download lasts");
    rig.fake().windows.clear();
    rig.run(&mut machine).await;
    assert_eq!(rig.report().message, "waiting for the end of 2 live sessions");
    rig.fake().live = 1;
    rig.pass(200_000);
    rig.run(&mut machine).await;
    assert_eq!(rig.report().message, "waiting for the end of a live session");
    assert!(!rig.fake().held && !rig.fake().calls.contains(&"install".to_owned()));
    // Somebody who came while new ones were about to be held back.
    rig.fake().live = 0;
    rig.fake().comes_when_held = true;
    rig.run(&mut machine).await;
    assert_eq!(rig.report().state, State::Downloading);
    assert!(!rig.fake().held);
    rig.fake().live = 0;
    rig.fake().comes_when_held = false;
    rig.run(&mut machine).await;
    assert_eq!(rig.report().state, State::Rebooting);

    let mut rig = Rig::new();
    rig.fake().live = 2;
    rig.fake().windows = vec![Window { days: vec![Day::Tue], start_minute: 0, minutes: 60 }];
    let mut machine = rig.start().await;
    let mut forced = order(1);
    forced.force = true;
    rig.order(&forced);
    rig.run(&mut machine).await;
    assert_eq!(rig.report().state, State::Rebooting);
}

#[tokio::test]
async fn an_order_is_withdrawn_replaced_or_expired_before_it_begins_and_goes_on_after() {
    // Withdrawn while it downloads; again after all.
    let mut rig = Rig::new();
    rig.fake().download = None;
    let mut machine = rig.start().await;
    rig.order(&order(1));
    rig.run(&mut machine).await;
    rig.withdraw();
    rig.run(&mut machine).await;
    assert_eq!(rig.report().state, State::Withdrawn);
    rig.is_clean();
    rig.order(&order(1));
    rig.run(&mut machine).await;
    assert_eq!(rig.report().state, State::Downloading);
    // A newer one.
    rig.order(&order(2));
    rig.run(&mut machine).await;
    assert_eq!((rig.report().id, rig.report().state), (order(2).id, State::Downloading));
    assert_eq!(rig.ends().await, [(1, State::Withdrawn), (1, State::Withdrawn)]);
    // An older one.
    rig.order(&order(1));
    rig.run(&mut machine).await;
    assert_eq!(rig.report().id, order(2).id);
    // It installs: neither stops it.
    rig.fake().download = Some(Ok(()));
    rig.fake().install = Install::Takes(10_000);
    let mut machine = rig.restart().await;
    rig.order(&order(2));
    rig.run(&mut machine).await;
    assert_eq!(rig.report().state, State::Installing);
    rig.order(&order(3));
    rig.run(&mut machine).await;
    rig.withdraw();
    rig.run(&mut machine).await;
    assert_eq!((rig.report().id, rig.report().state), (order(2).id, State::Installing));
    rig.order(&order(3));
    rig.fake().fail("broken");
    rig.run(&mut machine).await;
    rig.pass(20_000);
    rig.run(&mut machine).await;
    assert_eq!(rig.report().id, order(3).id, "{:?}", rig.report());
    // Too late.
    let mut rig = Rig::new();
    let mut machine = rig.start().await;
    let mut late = order(1);
    late.expires_ms = TODAY;
    rig.order(&late);
    rig.run(&mut machine).await;
    assert_eq!(rig.report().state, State::Expired);
}

#[tokio::test]
async fn an_order_that_is_not_there_any_more_after_a_connection_was_withdrawn() {
    let mut rig = Rig::new();
    rig.fake().download = None;
    let mut machine = rig.start().await;
    rig.order(&order(1));
    rig.run(&mut machine).await;
    let downloads = rig.fake().calls.len();
    // A process that starts alone does nothing at first, and then goes on without the broker.
    let mut machine = rig.restart_alone().await;
    rig.run(&mut machine).await;
    assert_eq!(rig.fake().calls.len(), downloads);
    rig.pass(10_000);
    rig.run(&mut machine).await;
    assert_eq!(rig.fake().calls.len(), downloads + 1);
    // A connection on which the order comes, and one on which it does not.
    rig.connect();
    rig.order(&order(1));
    rig.run(&mut machine).await;
    rig.pass(20_000);
    rig.run(&mut machine).await;
    assert_eq!(rig.report().state, State::Downloading);
    rig.connect();
    rig.run(&mut machine).await;
    assert_eq!(rig.report().state, State::Downloading);
    rig.pass(15_000);
    rig.run(&mut machine).await;
    assert_eq!(rig.report().state, State::Withdrawn);
}

#[tokio::test]
async fn an_order_that_cannot_be_is_refused_and_one_that_cannot_be_read_is_told() {
    let mut rig = Rig::new();
    let mut machine = rig.start().await;
    rig.send(b"{\"schema\": 1}".to_vec());
    rig.run(&mut machine).await;
    assert!(rig.told().is_none());
    rig.send(format!("{{\"schema\": 1, \"id\": \"{}\"}}", order(1).id).into_bytes());
    rig.run(&mut machine).await;
    assert!(rig.report().state == State::Failed && rig.report().message.contains("missing field"));
    for (number, (change, reason)) in [
        ((|order| order.bundle.sha256 = "X".repeat(64)) as fn(&mut Order), "the order's SHA-256 is none"),
        (|order| order.bundle.bytes = 0, "a bundle of 0 bytes"),
        (|order| order.bundle.bytes = 1 << 50, "a bundle of 1125899906842624 bytes"),
    ]
    .into_iter()
    .enumerate()
    {
        let mut bad = order(2 + number as u128);
        change(&mut bad);
        rig.order(&bad);
        rig.run(&mut machine).await;
        assert_eq!((rig.report().id, rig.report().state), (bad.id, State::Failed));
        assert!(rig.report().message.starts_with(reason), "{:?}", rig.report());
    }
}

#[tokio::test]
async fn an_update_is_found_again_by_what_runs_when_the_memory_of_it_is_lost() {
    for trial in [true, false] {
        let mut rig = Rig::new();
        let mut machine = rig.start().await;
        rig.order(&order(1));
        rig.run(&mut machine).await;
        drop(machine);
        rig.forget();
        let mut machine = if trial { rig.reboot().await } else { rig.restart().await };
        rig.order(&order(1));
        rig.run(&mut machine).await;
        assert_eq!(rig.report().state, if trial { State::Trial } else { State::Rebooting });
    }
}

#[tokio::test]
async fn reports_are_rare_and_states_are_told_at_once() {
    let mut rig = Rig::new();
    rig.config.report_ms = 5_000;
    rig.fake().download = None;
    let mut machine = rig.start().await;
    rig.order(&order(1));
    rig.run(&mut machine).await;
    let before = rig.reports().len();
    for percent in 0..100_u8 {
        rig.fake().say(percent);
        rig.step(&mut machine).await;
    }
    // A hundred steps of 20 ms.
    assert_eq!(rig.reports().len(), before);
    rig.pass(5_000);
    rig.step(&mut machine).await;
    assert_eq!(rig.report().progress, Some(99));
    assert_eq!(rig.reports().len(), before + 1);
}

/// The directory is swept of what an earlier process left.
#[tokio::test]
async fn a_bundle_of_another_order_goes() {
    let mut rig = Rig::new();
    let mut machine = rig.start().await;
    rig.fake().install = Install::Fails("broken".to_owned());
    let stranger = Directory::new(&rig.config.directory).bundle(order(9).id);
    std::fs::create_dir_all(&rig.config.directory).unwrap();
    std::fs::write(&stranger, "left over").unwrap();
    rig.order(&order(1));
    rig.run(&mut machine).await;
    assert!(!stranger.exists());
}
