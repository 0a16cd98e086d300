//! Sessions that take each other's place, and sessions that end without a word.

use std::process::Command;
use std::time::Duration;

use crate::support::client::Client;
use crate::support::encoder::Encoder;
use crate::support::worker::{Workers, is_frame};
use crate::support::{Server, encoder, eventually, grant, key, media, minter, revoke};

#[test]
fn the_newest_publisher_wins_at_once() {
    let server = Server::start();
    let workers = Workers::listen(&server.path("worker.sock"));
    let mut old = Client::publishing(server.rtmp, &key("nodi"));
    old.second(0, 1_000);
    let mut old_worker = workers.next();
    let mut new = Client::publishing(server.rtmp, &key("nodi"));
    new.second(0, 1_000);
    let mut new_worker = workers.next();
    assert!(old_worker.facts().session < new_worker.facts().session);

    let said = old.until_closed();
    assert!(said.contains("NetStream.Unpublish.Success") && said.contains("another encoder"), "{said}");
    old_worker.read_all();
    assert_eq!(old_worker.video_frames(), 25, "the old worker still gets the rest");
    new.second(1_000, 1_000);
    new_worker.until(|tag| is_frame(tag) && tag.timestamp_ms >= 1_900);
    assert_eq!(server.sessions().len(), 1);
}

#[test]
fn a_publisher_may_publish_again_on_the_same_connection() {
    let server = Server::start();
    let workers = Workers::listen(&server.path("worker.sock"));
    let mut client = Client::publishing(server.rtmp, &key("nodi"));
    client.second(0, 1_000);
    let mut first = workers.next();
    client.stop_publishing();
    first.read_all();
    assert!(client.publish(key("nodi").reveal()));
    client.tag(&media::avc_header());
    client.second(0, 1_000);
    let mut second = workers.next();
    assert!(first.facts().session < second.facts().session);
    second.until(is_frame);
}

#[test]
fn a_revocation_ends_the_session() {
    let server = Server::start();
    let mut revoked = Client::publishing(server.rtmp, &key("nodi"));
    let mut other = Client::publishing(server.rtmp, &minter().mint(&grant("other", 1, None)));
    revoke(server.directory.path(), "nodi", 2);
    let said = revoked.until_closed();
    assert!(said.contains("NetStream.Publish.BadName") && said.contains("was revoked"), "{said}");
    other.second(0, 100);
    assert_eq!(server.session("other", |_| true)["channel"], "other");
}

#[test]
fn the_local_socket_ends_a_session() {
    let server = Server::start();
    let mut asked = Client::publishing(server.rtmp, &key("asked"));
    let mut superseded = Client::publishing(server.rtmp, &key("superseded"));
    let id = |channel| server.session(channel, |_| true)["session"].as_str().unwrap().to_owned();
    let (one, other) = (id("asked"), id("superseded"));
    assert_eq!(server.http("DELETE", &format!("/sessions/{one}?reason=the%20show%20is%20over")).0, 204);
    assert_eq!(server.http("DELETE", &format!("/sessions/{other}?reason=superseded")).0, 204);
    assert_eq!(server.http("DELETE", "/sessions/01ARZ3NDEKTSV4RRFFQ69G5FAV?reason=x").0, 404);
    let said = asked.until_closed();
    assert!(said.contains("NetStream.Publish.BadName") && said.contains("the show is over"), "{said}");
    assert!(superseded.until_closed().contains("NetStream.Unpublish.Success"));
    eventually("both to be gone", || server.sessions().is_empty().then_some(()));
}

#[test]
fn a_peer_that_falls_silent_is_let_go_and_one_that_answers_is_not() {
    let server = Server::with(|config| config.limits.idle_s = 2);
    let mut dead = Client::publishing(server.rtmp, &key("dead"));
    let mut pausing = Client::publishing(server.rtmp, &key("pausing"));
    let waiting = std::thread::spawn(move || {
        pausing.answer_for(Duration::from_secs(5));
        pausing
    });
    // Its socket stays open, but nothing comes back.
    while dead.ignore(Duration::from_millis(100)) {}
    let mut pausing = waiting.join().unwrap();
    pausing.second(0, 100);
    server.session("pausing", |session| session["video"]["frames"] == 25);
    assert_eq!(server.metric("nodi_ingest_endings_total{reason=\"idle\"}"), 1.0);
}

#[test]
fn shutdown_tells_publishers_and_lets_workers_finish() {
    let mut server = Server::start();
    let workers = Workers::listen(&server.path("worker.sock"));
    let mut client = Client::publishing(server.rtmp, &key("nodi"));
    client.second(0, 1_000);
    let mut worker = workers.next();
    worker.until(|tag| tag.timestamp_ms >= 900);
    let reader = std::thread::spawn(move || client.until_closed());
    server.stop();
    let said = reader.join().unwrap();
    assert!(said.contains("NetStream.Unpublish.Success") && said.contains("restarts"), "{said}");
    worker.read_all();
    assert!(std::fs::read_dir(server.path("sessions")).unwrap().next().is_none());
    assert!(!server.path("ingest.sock").exists());
}

/// A network of its own for an encoder, with a cable that can be pulled.
struct Cable {
    namespace: String,
    server_side: String,
}

impl Cable {
    /// `None` where the system does not permit it.
    fn lay() -> Option<Self> {
        let id = std::process::id();
        let cable = Self { namespace: format!("nodi-{id}"), server_side: format!("nodi{id}") };
        let peer = format!("nodp{id}");
        let (namespace, here) = (&cable.namespace, &cable.server_side);
        let commands = [
            format!("netns add {namespace}"),
            format!("link add {here} type veth peer name {peer} netns {namespace}"),
            format!("addr add 198.18.77.1/30 dev {here}"),
            format!("link set {here} up"),
            format!("-n {namespace} addr add 198.18.77.2/30 dev {peer}"),
            format!("-n {namespace} link set {peer} up"),
        ];
        for command in &commands {
            let output = Command::new("ip").args(command.split(' ')).output().ok()?;
            if !output.status.success() {
                eprintln!("skipped: ip {command}: {}", String::from_utf8_lossy(&output.stderr));
                return None;
            }
        }
        Some(cable)
    }

    fn cut(&self) {
        let status = Command::new("ip").args(["link", "set", &self.server_side, "down"]).status().unwrap();
        assert!(status.success());
    }
}

impl Drop for Cable {
    fn drop(&mut self) {
        let _ = Command::new("ip").args(["link", "del", &self.server_side]).output();
        let _ = Command::new("ip").args(["netns", "del", &self.namespace]).output();
    }
}

#[test]
fn a_cut_cable_is_noticed_and_nobody_reads_already_publishing() {
    let Some(cable) = Cable::lay() else { return };
    // The limits as they are by default: 8 s without a byte.
    let server = Server::with(|config| config.rtmp.listen = "0.0.0.0:0".parse().unwrap());
    let url = format!("rtmp://198.18.77.1:{}/live/{}", server.rtmp.port(), key("nodi").reveal());
    let arguments = encoder::test_stream(120);
    let mut command = vec!["netns", "exec", &cable.namespace, "ffmpeg", "-nostdin", "-loglevel", "error"];
    command.extend(arguments.iter().map(String::as_str));
    command.extend(["-f", "flv", &url]);
    let remote = Encoder::command("ffmpeg behind the cable", Command::new("ip").args(&command));
    let first = server.session("nodi", |session| session["video"]["fps"] != 0.0);
    cable.cut();
    eventually("the dead peer to be noticed", || server.sessions().is_empty().then_some(()));
    assert_eq!(server.metric("nodi_ingest_endings_total{reason=\"idle\"}"), 1.0);
    remote.kill();

    let local = format!("rtmp://127.0.0.1:{}/live/{}", server.rtmp.port(), key("nodi").reveal());
    let again = encoder::ffmpeg(&local, 2);
    let second = server.session("nodi", |session| session["session"] != first["session"]);
    assert!(second["session"].as_str() > first["session"].as_str());
    assert!(again.end().0.success());
}
