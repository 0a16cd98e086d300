//! Workers that crash, that do not read, and that are not there.

use std::time::Duration;

use nodi_flv::{Kind, Tag};

use crate::support::client::Client;
use crate::support::worker::{Worker, Workers, is_audio_frame, is_frame, is_header, is_key_frame, metadata};
use crate::support::{Server, encoder, eventually, key, media};

fn frames(worker: &Worker) -> Vec<u32> {
    worker.tags.iter().filter(|tag| is_frame(tag)).map(|tag| tag.timestamp_ms).collect()
}

#[test]
fn a_crashed_worker_is_replaced_and_gets_the_group() {
    let server = Server::start();
    let workers = Workers::listen(&server.path("worker.sock"));
    let mut client = Client::publishing(server.rtmp, &key("nodi"));
    client.second(0, 1_000);
    client.second(1_000, 1_000);
    let mut first = workers.next();
    let facts = first.facts();
    first.until(|tag| is_frame(tag) && tag.timestamp_ms >= 1_900);
    first.crash();

    let mut second = workers.next();
    assert_eq!(second.facts(), nodi_flv::SessionFacts { worker: 1, ..facts });
    second.until(|tag| is_frame(tag) && tag.timestamp_ms >= 1_900);
    // Metadata, both headers, then the group from its key frame on, at the time of the group.
    let tags = &second.tags[1..];
    assert!(metadata(&tags[0]).is_some() && is_header(&tags[1]) && is_header(&tags[2]));
    assert!(is_key_frame(&tags[3]));
    assert!(tags.iter().all(|tag| tag.timestamp_ms >= 1_000), "{tags:?}");
    assert_eq!(frames(&second), (0..24).map(|frame| 1_000 + frame * 40).collect::<Vec<_>>());

    client.second(2_000, 1_000);
    second.until(|tag| is_frame(tag) && tag.timestamp_ms >= 2_900);
    assert_eq!(second.video_frames(), 49, "nothing is lost and nothing comes twice");
    let session = server.session("nodi", |session| session["worker"]["lost"] == 1);
    assert_eq!(session["worker"]["worker"], 1);
    let codes = session["warnings"].to_string();
    assert!(codes.contains("worker_restarted"), "{codes}");
}

#[test]
fn ffmpeg_does_not_notice_a_crash() {
    let server = Server::start();
    let workers = Workers::listen(&server.path("worker.sock"));
    let encoder = encoder::ffmpeg(&server.url(&key("nodi")), 5);
    let mut crashes = 0;
    let mut last = loop {
        let mut worker = workers.next();
        assert_eq!(worker.facts().worker, crashes);
        worker.until(is_audio_frame);
        worker.until(is_key_frame);
        if crashes == 3 {
            break worker;
        }
        worker.crash();
        crashes += 1;
    };
    last.read_all();
    assert!(encoder.end().0.success());
    let frames = frames(&last);
    assert!(frames.windows(2).all(|pair| pair[1] - pair[0] == 40), "{frames:?}");
    assert!(frames.last() >= Some(&4_900), "{frames:?}");
}

#[test]
fn a_worker_that_does_not_read_costs_whole_groups() {
    const QUEUE: usize = 1 << 20;
    let server = Server::with(|config| {
        config.worker.queue_bytes = QUEUE;
        config.worker.gop_bytes = 4 << 20;
        config.limits.bitrate_bps = 1_000_000_000;
    });
    let workers = Workers::listen(&server.path("worker.sock"));
    let mut client = Client::publishing(server.rtmp, &key("nodi"));
    for second in 0..20 {
        client.second(second * 1_000, 20_000);
    }
    let mut worker = workers.next();
    let session = server.session("nodi", |session| {
        session["worker"]["dropped_groups"].as_u64() > Some(0) && session["video"]["frames"] == 500
    });
    assert!(session["worker"]["queued_bytes"].as_u64().unwrap() <= QUEUE as u64, "{session}");
    assert!(session["warnings"].to_string().contains("worker_slow"), "{session}");
    assert!(server.metrics_text().contains("session_warning{channel=\"nodi\",code=\"worker_slow\"} 1"));

    // It reads again: what waited, then the stream from the next key frame on.
    let reading = std::thread::spawn(move || {
        worker.until(|tag| is_key_frame(tag) && tag.timestamp_ms >= 20_000);
        worker
    });
    let mut at = 20_000;
    let mut worker = loop {
        client.second(at, 1_000);
        at += 1_000;
        if reading.is_finished() {
            break reading.join().unwrap();
        }
        std::thread::sleep(Duration::from_millis(20));
    };
    drop(client);
    worker.read_all();
    assert_whole_groups(&worker);
}

/// Every gap in the frames is followed by a key frame with its headers before it.
fn assert_whole_groups(worker: &Worker) {
    let video: Vec<&Tag> = worker.tags.iter().filter(|tag| tag.kind == Kind::Video).collect();
    let mut gaps = 0;
    let mut last: Option<u32> = None;
    for pair in video.windows(2) {
        let [before, tag] = pair else { continue };
        if !is_frame(tag) {
            continue;
        }
        if last.is_some_and(|last| tag.timestamp_ms != last + 40) {
            gaps += 1;
            assert!(is_key_frame(tag) && is_header(before), "{} ms", tag.timestamp_ms);
        }
        last = Some(tag.timestamp_ms);
    }
    assert!(gaps > 0);
}

#[test]
fn a_group_that_is_too_long_is_not_kept() {
    let server = Server::with(|config| config.worker.gop_bytes = 64 << 10);
    let workers = Workers::listen(&server.path("worker.sock"));
    let mut client = Client::publishing(server.rtmp, &key("nodi"));
    client.tag(&media::aac_frame(0));
    let mut first = workers.next();
    first.until(is_audio_frame);
    client.second(0, 10_000);
    first.until(|tag| is_frame(tag) && tag.timestamp_ms >= 900);
    let session = server.session("nodi", |session| session["video"]["frames"] == 25);
    assert!(session["worker"]["gop_bytes"].as_u64() <= Some(64 << 10));
    first.crash();
    let mut second = workers.next();
    client.tag(&media::delta_frame(1_000, 100));
    client.second(1_040, 100);
    second.until(is_frame);
    assert_eq!(frames(&second), [1_040], "video waits for the next key frame");
    assert!(second.tags[1..].iter().any(is_header));
}

#[test]
fn a_stream_waits_for_its_worker_and_not_for_ever() {
    let server = Server::with(|config| config.worker.give_up_s = 3);
    let mut client = Client::publishing(server.rtmp, &key("nodi"));
    client.second(0, 1_000);
    server.session("nodi", |session| session["warnings"].to_string().contains("worker_missing"));
    let workers = Workers::listen(&server.path("worker.sock"));
    let mut worker = workers.next();
    worker.until(|tag| is_frame(tag) && tag.timestamp_ms >= 900);
    assert_eq!(worker.video_frames(), 24);
    drop((workers, worker));
    std::fs::remove_file(server.path("worker.sock")).unwrap();

    let mut client = Client::publishing(server.rtmp, &key("other"));
    client.second(0, 1_000);
    let said = client.until_closed();
    assert!(said.contains("NetStream.Publish.BadName") && said.contains("no free transcoder"), "{said}");
    eventually("its session to be over", || {
        server.sessions().iter().all(|session| session["channel"] != "other").then_some(())
    });
}

#[test]
fn without_a_worker_socket_streams_are_received_only() {
    let server = Server::with(|config| config.worker.socket = None);
    let mut client = Client::publishing(server.rtmp, &key("nodi"));
    client.second(0, 1_000);
    let session = server.session("nodi", |session| session["video"]["frames"] == 25);
    assert!(session["worker"].is_null());
}
