//! The health gate's own stream: taken when streamers are not, and seen by nobody.

use nodi_protocol::stream_key::{Minter, SELF_TEST_CHANNEL, StreamKey};

use crate::support::client::Client;
use crate::support::worker::Workers;
use crate::support::{Server, eventually, grant, key, minter};

/// The key pair that the gate of a test makes.
fn gate() -> Minter {
    Minter::from_seed(&[99; 32])
}

fn gate_key(channel: &str) -> StreamKey {
    gate().mint(&grant(channel, 1, None))
}

fn announce(server: &Server) {
    std::fs::write(server.path("self-test.pub"), gate().public_line()).unwrap();
}

fn refusal(server: &Server, key: &StreamKey) -> Option<String> {
    let mut client = Client::connect(server.rtmp);
    if client.publish(key.reveal()) { None } else { Some(client.until_closed()) }
}

#[test]
fn it_is_taken_while_the_box_is_drained_and_leaves_no_trace() {
    let server = Server::with(|config| config.drain = true);
    let workers = Workers::listen(&server.path("worker.sock"));
    announce(&server);
    let mut client = eventually("the gate's key to be read", || {
        let mut client = Client::connect(server.rtmp);
        client.publish(gate_key(SELF_TEST_CHANNEL).reveal()).then_some(client)
    });
    client.second(0, 1_000);
    let mut worker = workers.next();
    assert_eq!(worker.facts().channel.as_str(), SELF_TEST_CHANNEL);
    assert_eq!(std::fs::read_dir(server.path("sessions")).unwrap().count(), 0, "nothing for the uplink");
    assert!(server.sessions().is_empty());
    assert!(refusal(&server, &key("nodi")).unwrap().contains("takes no new streams now"));
    // Whoever else asks for its channel is refused, and does not end it.
    let fleets = minter().mint(&grant(SELF_TEST_CHANNEL, 1, None));
    assert!(refusal(&server, &fleets).unwrap().contains("only the key that this server's health gate"));
    client.second(1, 1_000);
    drop(client);
    worker.read_all();
    assert!(worker.video_frames() > 25);
    assert_eq!(server.http("GET", "/ended").1, "[]");
}

#[test]
fn its_key_is_good_for_nothing_else_and_a_wrong_one_costs_nobody_time() {
    let server = Server::with(|config| config.throttle.refuse_after = 1);
    // Before its file is there it is nobody's key.
    for _ in 0..3 {
        let said = refusal(&server, &gate_key(SELF_TEST_CHANNEL)).unwrap();
        assert!(said.contains("only the key that this server's health gate has just made"), "{said}");
    }
    announce(&server);
    let said = eventually("the gate's key to be read", || {
        let said = refusal(&server, &gate_key("nodi")).unwrap();
        // Until then it is a stranger's, which counts.
        said.contains("good for the channel self-test alone").then_some(said)
    });
    assert!(said.contains("NetStream.Publish.BadName"), "{said}");
    assert!(refusal(&server, &gate_key(SELF_TEST_CHANNEL)).is_none());
    std::fs::remove_file(server.path("self-test.pub")).unwrap();
    eventually("the key to be gone", || refusal(&server, &gate_key(SELF_TEST_CHANNEL)));
    assert!(server.metric("nodi_ingest_refusals_total{reason=\"self_test\"}") >= 4.0);
}
