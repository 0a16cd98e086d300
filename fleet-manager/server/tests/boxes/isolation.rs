//! At the broker a box is who its certificate says, whatever it calls itself, and may do what the contract says.

use std::process::Command;

use nodi_mqtt::{Message, NotSent, Reason};
use nodi_protocol::CommandId;
use nodi_protocol::fleet::topic::{BoxTopic, Topic};
use rcgen::{CertificateParams, DnType, Issuer, KeyPair};

use crate::support::{Fleet, Identity, Robot, session_id, wait};

fn all_topics(robot: &Robot) -> Vec<String> {
    let command = CommandId::new(1_800_000_000_000, 7);
    [
        BoxTopic::Presence,
        BoxTopic::Desired,
        BoxTopic::Reported,
        BoxTopic::Telemetry,
        BoxTopic::Session(session_id(1)),
        BoxTopic::Command(command),
        BoxTopic::CommandStatus(command),
        BoxTopic::Update,
        BoxTopic::UpdateStatus,
        BoxTopic::Event,
        BoxTopic::EventAck,
    ]
    .map(|topic| robot.topic(topic))
    .to_vec()
}

#[tokio::test]
async fn a_box_can_neither_publish_nor_listen_as_another() {
    let fleet = Fleet::start().await;
    let victim = fleet.robot().await;
    let thief = fleet.enrolled().await;
    let victims = all_topics(&victim);
    // Something to steal: the victim's desired state is retained already, a command to it is, and an order whose token
    // would be good for a bundle.
    let path = format!("/boxes/{}/commands", victim.id());
    fleet.post(&path, serde_json::json!({ "action": { "kind": "self_test" } })).await;

    let bundle = fleet.bundle("2.0.0").await;
    fleet.order(&victim, &bundle, serde_json::json!({})).await;

    let mut wanted = victims.clone();
    wanted.extend(victims.iter().map(|topic| format!("$share/g/{topic}")));
    for filter in [
        "#",
        "+/#",
        "nodi/#",
        "nodi/v1/boxes/#",
        "nodi/v1/boxes/+/desired",
        "nodi/v1/boxes/+/commands/+",
        "nodi/v1/boxes/+/update",
        "nodi/v1/boxes/+/update/status",
    ] {
        wanted.push(filter.to_owned());
        wanted.push(format!("$share/g/{filter}"));
    }
    wanted.push("$SYS/#".to_owned());
    wanted.extend(Topic::box_subscriptions(&thief.id()));

    for client_id in ["+", "#", victim.id(), "nodi-fleet"] {
        let robot = Robot::connect_as(thief.clone(), fleet.broker_port, client_id, wanted.clone());
        fleet.state_is(robot.id(), "online").await;
        for topic in &victims {
            for retain in [false, true] {
                let mut message = Message::new(topic.clone(), "stolen");
                message.retain = retain;
                let refused = robot.link.publish(message).await;
                assert_eq!(refused, Err(NotSent::Refused(Reason::NotAuthorised)), "{client_id:?} on {topic}");
            }
        }
        for topic in [
            "nodi/v1/fleet/revocations",
            "nodi/v1/fleet/presence",
            "nodi/v1/boxes/+/telemetry",
            "$SYS/x",
            "x",
        ] {
            let refused = robot.link.publish(Message::new(topic, "stolen")).await;
            assert!(refused.is_err(), "{client_id:?} on {topic}");
        }
        // It gets its own; by then everything else that was retained would be here, too.
        robot.hears(BoxTopic::Desired, |bytes| (!bytes.is_empty()).then_some(())).await;
        robot.say_bytes(&robot.topic(BoxTopic::Telemetry), false, b"{}".to_vec()).await;
        victim.say_bytes(&victim.topic(BoxTopic::Telemetry), false, b"{}".to_vec()).await;
        let own = format!("nodi/v1/boxes/{}/", robot.id());
        for message in robot.inbox.lock().unwrap().iter() {
            assert!(
                message.topic.starts_with(&own) || message.topic.starts_with("nodi/v1/fleet/"),
                "{client_id:?} got {}",
                message.topic
            );
        }
        // The victim was not thrown out by somebody who calls himself the same.
        assert!(victim.link.is_connected(), "{client_id:?}");
        robot.vanish();
        fleet.state_is(robot.id(), "offline").await;
    }
    assert_eq!(*victim.connections.borrow(), 1);
    assert!(!victim.inbox.lock().unwrap().iter().any(|message| &*message.payload == b"stolen"));
}

#[tokio::test]
async fn a_box_may_not_write_what_is_the_fleets_nor_read_what_is_its_own() {
    let fleet = Fleet::start().await;
    let robot = fleet.robot().await;
    let command = CommandId::new(1_800_000_000_000, 7);
    for topic in [BoxTopic::Desired, BoxTopic::Command(command), BoxTopic::Update, BoxTopic::EventAck] {
        let refused = robot.link.publish(Message::new(robot.topic(topic), "x")).await;
        assert_eq!(refused, Err(NotSent::Refused(Reason::NotAuthorised)), "{topic}");
    }
}

#[tokio::test]
async fn nobody_without_a_certificate_of_the_fleet_gets_in() {
    let fleet = Fleet::start().await;
    let ours = fleet.enrolled().await;

    // Another authority's, with our name in it.
    let key = KeyPair::generate().unwrap();
    let mut authority = CertificateParams::default();
    authority.is_ca = rcgen::IsCa::Ca(rcgen::BasicConstraints::Unconstrained);
    authority.distinguished_name.push(DnType::CommonName, "Nodi fleet");
    let issuer = Issuer::new(authority, KeyPair::generate().unwrap());
    let mut params = CertificateParams::default();
    params.distinguished_name.push(DnType::CommonName, ours.box_id.as_str());
    let forged = Identity {
        certificate_pem: params.signed_by(&key, &issuer).unwrap().pem(),
        key: key.into(),
        ..ours.clone()
    };
    let robot = Robot::connect(forged, fleet.broker_port);
    wait("the broker says no", async || robot.ended.lock().unwrap().clone()).await;
    assert!(!robot.link.is_connected());

    // The certificate of a server is no certificate of a client.
    let (certificate, key) = (fleet.dir.path().join("s.pem"), fleet.dir.path().join("s.key"));
    let words = ["issue", "server", "x", "--name", "localhost", "--certificate"];
    let mut words: Vec<&str> = words.to_vec();
    words.extend([certificate.to_str().unwrap(), "--key", key.to_str().unwrap()]);
    fleet.run(&words);
    // Without any certificate, with a name and a password, and with the server's.
    let ca = fleet.dir.path().join("data/ca/ca.pem");
    for extra in [
        vec![],
        vec!["-u", "nodi-fleet", "-P", "x"],
        vec!["--cert", certificate.to_str().unwrap(), "--key", key.to_str().unwrap()],
    ] {
        let status = Command::new("mosquitto_pub")
            .args([
                "-h",
                "localhost",
                "-p",
                &fleet.broker_port.to_string(),
                "-V",
                "5",
                "-q",
                "1",
                "-i",
                "x",
                "-t",
                "x",
                "-m",
                "x",
            ])
            .arg("--cafile")
            .arg(&ca)
            .args(&extra)
            .output()
            .unwrap();
        assert!(!status.status.success(), "{extra:?}");
    }
}
