//! From an image to a box that is online, whatever its clock says.

use std::time::Duration;

use nodi_protocol::fleet::command::{Action, State};
use nodi_protocol::fleet::desired::Reported;
use nodi_protocol::fleet::event::What;
use nodi_protocol::fleet::topic::BoxTopic;

use crate::support::{World, command, lines, now_ms, until};

const YEAR_S: i64 = 365 * 86_400;

#[tokio::test]
async fn a_new_box_shows_its_pairing_code_is_let_in_and_says_when_it_goes() {
    let mut world = World::new().await;
    world.desk.answers.lock().unwrap().waits = 1;
    let mut fleet = world.fleet();
    world.agent_up();
    let pairing = world.path("pairing");
    until("pairing code", || lines(&pairing).first().filter(|code| *code == "ABCD-EFGH").cloned()).await;
    let (id, first) = fleet.presence(|presence| presence.online).await;
    assert!(!pairing.exists());
    assert_eq!(world.desk.answers.lock().unwrap().claim_code.as_deref(), Some("CLAIM-1"));
    assert_eq!(first.boot_id, "boot-1");
    assert!(first.hardware.is_some_and(|hardware| hardware.cores > 0));
    fleet.until("reported state", |fleet| fleet.last::<Reported>(&id, BoxTopic::Reported)).await;
    fleet.until("telemetry", |fleet| (!fleet.telemetry.is_empty()).then_some(())).await;

    assert!(world.agent_stopped());
    let (_, gone) = fleet.presence(|presence| !presence.online).await;
    assert_eq!(gone.connection, first.connection);

    world.agent_up();
    let (same, second) = fleet.presence(|presence| presence.online).await;
    assert_eq!((same, world.desk.answers.lock().unwrap().enrolments), (id.clone(), 1));
    assert!(second.connection > first.connection);

    // Killed: the last will speaks for it, with the connection's number.
    world.agent_killed();
    let (_, will) = fleet.presence(|presence| !presence.online).await;
    assert_eq!(will.connection, second.connection);
}

#[tokio::test]
async fn a_clock_that_is_wrong_by_years_keeps_no_box_out_and_lets_no_old_order_run() {
    for skew_s in [-30 * YEAR_S, 14 * YEAR_S] {
        let mut world = World::new().await;
        let (effect, mut fleet) = (world.path("effect"), world.fleet());
        world.script("identify", &format!("echo $1 >> {}", effect.display()));
        world.skew_s = skew_s;
        world.agent_up();
        let (id, presence) = fleet.presence(|presence| presence.online).await;
        assert!(presence.at_ms.abs_diff(now_ms()) < 60_000, "{skew_s}: {presence:?}");

        let mut late = command(Action::Identify { seconds: 1 });
        late.issued_ms = now_ms() - 86_400_000;
        late.expires_ms = now_ms() - 1_000;
        fleet.order(&id, &late).await;
        assert_eq!(fleet.end(&id, late.id).await.state, State::Expired);
        let good = command(Action::Identify { seconds: 2 });
        fleet.order(&id, &good).await;
        let status = fleet.end(&id, good.id).await;
        assert_eq!(status.state, State::Succeeded, "{status:?}");
        assert!(status.at_ms.abs_diff(now_ms()) < 60_000);
        assert_eq!(lines(&effect), ["2"]);

        // The clock is put right, or wrong in another way; what was learned must not be added to it.
        for skew_s in [0, -skew_s] {
            world.agent_killed();
            fleet.presence(|presence| !presence.online).await;
            world.skew_s = skew_s;
            world.agent_up();
            let (_, presence) = fleet.presence(|presence| presence.online).await;
            assert!(presence.at_ms.abs_diff(now_ms()) < 60_000, "{skew_s}: {presence:?}");
        }
    }
}

#[tokio::test]
async fn a_certificate_is_renewed_before_its_end_and_the_link_uses_the_new_one() {
    let mut world = World::new().await;
    // Two thirds of its life are over in 12 s at most: half of it was over when it was made.
    world.desk.answers.lock().unwrap().life = Some(Duration::from_secs(24));
    let mut fleet = world.fleet();
    world.agent_up();
    let (id, first) = fleet.presence(|presence| presence.online).await;
    let certificate = world.path("state/identity/certificate.pem");
    let old = std::fs::read(&certificate).unwrap();
    fleet
        .until("renewal", |fleet| {
            fleet
                .events_seen
                .iter()
                .any(|event| matches!(event.what, What::CertificateRenewed { .. }))
                .then_some(())
        })
        .await;
    let connection = first.connection;
    let (same, _) = fleet.presence(|presence| presence.online && presence.connection > connection).await;
    assert_eq!(same, id);
    assert_ne!(std::fs::read(&certificate).unwrap(), old);
    assert_eq!(world.desk.answers.lock().unwrap().renewals, 1);
}

#[tokio::test]
async fn an_agent_at_work_takes_little_memory() {
    let mut world = World::new().await;
    let mut fleet = world.fleet();
    world.agent_up();
    fleet.presence(|presence| presence.online).await;
    fleet.until("telemetry", |fleet| (!fleet.telemetry.is_empty()).then_some(())).await;
    let status = std::fs::read_to_string(format!("/proc/{}/status", world.agent_pid())).unwrap();
    let resident = status.lines().find_map(|line| line.strip_prefix("VmRSS:")).unwrap();
    let kib: u64 = resident.trim().trim_end_matches(" kB").parse().unwrap();
    // The goal on a box, also without optimisation.
    assert!(kib <= 25 << 10, "{kib} KiB");
}
