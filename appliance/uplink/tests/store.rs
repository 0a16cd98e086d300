//! Buckets and directories: ordinary HLS, playlists only after their objects.

#![allow(
    clippy::unwrap_used,
    clippy::expect_used,
    clippy::panic,
    clippy::indexing_slicing,
    reason = "tests fail by panicking"
)]

mod common;

use std::collections::BTreeSet;
use std::convert::Infallible;
use std::net::SocketAddr;
use std::path::{Path, PathBuf};
use std::sync::{Arc, Mutex};
use std::time::Duration;

use common::media::{Rung, Worker, audio, session_id, video};
use common::{Appliance, files_below, until};
use hyper_util::rt::{TokioExecutor, TokioIo};
use s3s::auth::SimpleAuth;
use s3s::service::S3ServiceBuilder;
use s3s_fs::FileSystem;
use tokio::net::TcpListener;

fn rungs() -> Vec<Rung> {
    vec![video("720p", 3_000_000, 20_000), video("360p", 800_000, 5_000), audio(1_000)]
}

/// What a request asked for, as it was answered.
#[derive(Debug, Clone, PartialEq)]
struct Request {
    method: String,
    path: String,
    content_type: String,
    cache_control: String,
    status: u16,
}

#[derive(Clone, Default)]
struct Log {
    requests: Arc<Mutex<Vec<Request>>>,
    broken: Arc<Mutex<bool>>,
}

/// A real S3 server on a directory.
async fn s3(root: &Path) -> (Log, SocketAddr) {
    let mut builder = S3ServiceBuilder::new(FileSystem::new(root).unwrap());
    builder.set_auth(SimpleAuth::from_single("box", "secret"));
    let service = builder.build();
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let address = listener.local_addr().unwrap();
    let log = Log::default();
    let seen = log.clone();
    tokio::spawn(async move {
        while let Ok((socket, _)) = listener.accept().await {
            let (service, seen) = (service.clone(), seen.clone());
            let answer = hyper::service::service_fn(move |request: hyper::Request<hyper::body::Incoming>| {
                let (service, seen) = (service.clone(), seen.clone());
                async move {
                    let header = |name: &str| {
                        request.headers().get(name).map_or("", |value| value.to_str().unwrap()).to_owned()
                    };
                    let mut record = Request {
                        method: request.method().to_string(),
                        path: request.uri().path().to_owned(),
                        content_type: header("content-type"),
                        cache_control: header("cache-control"),
                        status: 503,
                    };
                    let broken = *seen.broken.lock().unwrap();
                    let response = if broken {
                        let body = s3s::Body::from("<Error><Code>SlowDown</Code></Error>".to_owned());
                        hyper::Response::builder().status(503).body(body).unwrap()
                    } else {
                        match service.call(request.map(s3s::Body::from)).await {
                            Ok(response) => response,
                            Err(error) => panic!("{error:?}"),
                        }
                    };
                    record.status = response.status().as_u16();
                    seen.requests.lock().unwrap().push(record);
                    Ok::<_, Infallible>(response)
                }
            });
            tokio::spawn(async move {
                let server = hyper_util::server::conn::auto::Builder::new(TokioExecutor::new());
                let _ = server.serve_connection(TokioIo::new(socket), answer).await;
            });
        }
    });
    (log, address)
}

fn bucket(appliance: &Appliance, address: SocketAddr, more: &str) -> String {
    std::fs::write(appliance.path("access"), "box\n").unwrap();
    std::fs::write(appliance.path("secret"), "secret\n").unwrap();
    format!(
        "[[bucket]]\nname = \"archive\"\nendpoint = \"http://{address}\"\nbucket = \"live\"\nprefix = \"hls\"\n\
         access_key = {:?}\nsecret_key = {:?}\npath_style = true\n{more}",
        appliance.path("access"),
        appliance.path("secret"),
    )
}

fn directory(path: &Path, more: &str) -> String {
    format!("[[directory]]\nname = \"www\"\npath = {path:?}\n{more}")
}

/// Addresses that a playlist names, relative to the channel.
fn named(text: &str) -> Vec<String> {
    let map =
        text.lines().filter_map(|line| line.split_once("URI=\"")?.1.split_once('"').map(|(uri, _)| uri));
    let lines = text.lines().filter(|line| !line.starts_with('#') && !line.is_empty());
    map.chain(lines).map(str::to_owned).collect()
}

/// Every address that a playlist in `root` names is a file there.
fn check_tree(root: &Path) -> usize {
    let mut seen = 0;
    for file in files_below(root).iter().filter(|file| file.ends_with(".m3u8")) {
        let path = root.join(file);
        let text = std::fs::read_to_string(&path).unwrap();
        for uri in named(&text) {
            let target = path.parent().unwrap().join(&uri);
            assert!(target.exists(), "{file} names {uri}, which is not there:\n{text}");
            seen += 1;
        }
    }
    seen
}

#[tokio::test]
async fn a_directory_never_names_what_is_not_there() {
    let appliance = Appliance::new();
    let root = appliance.path("www");
    let uplink = appliance.start(&directory(&root, "")).await;
    let session = session_id(1);
    let mut worker = Worker::new(&appliance.spool(), "nodi", session, &rungs());
    let mut seen = 0;
    for _ in 0..25 {
        worker.play(Duration::from_millis(100)).await;
        seen += check_tree(&root);
    }
    assert!(seen > 0, "it is listed while it is live");
    worker.thumbnail(b"jpeg");
    let written = worker.end();
    until("all is listed", || {
        let listed = |name: &str| {
            let text = std::fs::read_to_string(root.join(format!("nodi/{name}.m3u8"))).unwrap_or_default();
            text.matches("#EXTINF").count() == 7
        };
        ["720p", "360p", "audio"].into_iter().all(listed) && root.join("nodi/index.m3u8").exists()
    })
    .await;
    for ((name, seq), bytes) in &written {
        assert_eq!(std::fs::read(root.join(format!("nodi/{session}/{name}/{seq}.m4s"))).unwrap(), *bytes);
    }
    let text = std::fs::read_to_string(root.join("nodi/720p.m3u8")).unwrap();
    assert!(text.contains("#EXT-X-MEDIA-SEQUENCE:0\n") && !text.contains("#EXT-X-PART"), "{text}");
    let front = std::fs::read_to_string(root.join("nodi/index.m3u8")).unwrap();
    assert!(front.contains("720p.m3u8") && front.contains("360p.m3u8") && front.contains("audio.m3u8"));
    until("the thumbnail is there", || root.join("nodi/thumbnail.jpg").exists()).await;
    uplink.stop().await;
    assert!(files_below(&root).iter().all(|file| !file.ends_with(".new")));
}

#[tokio::test]
async fn a_bucket_gets_objects_before_the_playlists_that_name_them() {
    let appliance = Appliance::new();
    let root = appliance.path("s3");
    std::fs::create_dir_all(root.join("live")).unwrap();
    let (log, address) = s3(&root).await;
    let uplink = appliance.start(&bucket(&appliance, address, "")).await;
    let session = session_id(1);
    let mut worker = Worker::new(&appliance.spool(), "nodi", session, &rungs());
    worker.play(Duration::from_millis(1_200)).await;

    // The store is away: nothing is lost, nothing is silent.
    *log.broken.lock().unwrap() = true;
    worker.play(Duration::from_millis(1_200)).await;
    *log.broken.lock().unwrap() = false;
    worker.play(Duration::from_millis(400)).await;
    let written = worker.end();
    let live = root.join("live/hls");
    until("all is listed", || {
        ["720p", "360p", "audio"].iter().all(|name| {
            let text = std::fs::read_to_string(live.join(format!("nodi/{name}.m3u8"))).unwrap_or_default();
            text.matches("#EXTINF").count() == 7
        })
    })
    .await;
    for ((name, seq), bytes) in &written {
        assert_eq!(std::fs::read(live.join(format!("nodi/{session}/{name}/{seq}.m4s"))).unwrap(), *bytes);
    }
    check_tree(&live);

    // In the order of the requests: what a playlist could name was there before.
    let requests = log.requests.lock().unwrap().clone();
    let done: Vec<_> =
        requests.iter().filter(|request| request.method == "PUT" && request.status == 200).collect();
    let mut there = BTreeSet::new();
    for request in &done {
        let base = "/live/hls/nodi/";
        let name = request.path.strip_prefix(base).unwrap();
        if let Some(rendition) = name.strip_suffix(".m3u8") {
            assert_eq!(request.content_type, "application/vnd.apple.mpegurl");
            assert_eq!(request.cache_control, "public, max-age=1");
            let first = format!("{session}/{rendition}/0.m4s");
            assert!(rendition == "index" || there.contains(&first), "{first} before {name}");
        } else if name != "thumbnail.jpg" {
            assert_eq!(request.content_type, "video/mp4");
            assert!(request.cache_control.contains("immutable"));
            if let Some((folder, "0.m4s")) = name.rsplit_once('/') {
                assert!(there.contains(&format!("{folder}/init-0.mp4")), "the section before {name}");
            }
            assert!(there.insert(name.to_owned()), "{name} once");
        }
    }
    let front = done.iter().position(|request| request.path.ends_with("/index.m3u8")).unwrap();
    for name in ["720p", "360p", "audio"] {
        let list = done.iter().position(|request| request.path.ends_with(&format!("/{name}.m3u8"))).unwrap();
        assert!(list < front, "{name}.m3u8 before index.m3u8");
    }
    assert!(requests.iter().any(|request| request.status == 503));
    let metrics = appliance.metrics().await;
    assert!(!metrics.contains("nodi_uplink_retries_total{target=\"archive\"} 0"), "failures are counted");
    uplink.stop().await;
}

#[tokio::test]
async fn the_window_slides_and_old_objects_go() {
    let appliance = Appliance::new();
    let root = appliance.path("www");
    let shelf = "shelf = { window_s = 6, delete_after_s = 0 }\n";
    let session = session_id(1);
    let mut worker = Worker::new(&appliance.spool(), "nodi", session, &[audio(1_000)]);
    worker.segments(40);
    let uplink = appliance.start(&directory(&root, shelf)).await;
    let list = root.join("nodi/audio.m3u8");
    until("the window has slid", || {
        std::fs::read_to_string(&list).unwrap_or_default().contains("#EXT-X-MEDIA-SEQUENCE:25\n")
    })
    .await;
    uplink.stop().await;

    // A restart goes on from the journal; another session goes on with the numbers.
    let uplink = appliance.start(&directory(&root, shelf)).await;
    worker.segments(2);
    worker.end();
    until("it has gone on", || {
        std::fs::read_to_string(&list).unwrap_or_default().contains("#EXT-X-MEDIA-SEQUENCE:27\n")
    })
    .await;
    let second = session_id(2);
    let mut worker = Worker::new(&appliance.spool(), "nodi", second, &[audio(1_000)]);
    worker.segments(1);
    worker.end();
    until("the second session is listed", || {
        std::fs::read_to_string(&list).unwrap_or_default().contains(&format!("{second}/audio/42.m4s"))
    })
    .await;
    let text = std::fs::read_to_string(&list).unwrap();
    assert_eq!(text.matches("#EXT-X-DISCONTINUITY\n").count(), 1, "{text}");
    check_tree(&root);
    uplink.stop().await;

    // The first look of the next life deletes what is due.
    let uplink = appliance.start(&directory(&root, shelf)).await;
    until("old objects are gone", || !root.join(format!("nodi/{session}/audio/20.m4s")).exists()).await;
    check_tree(&root);
    uplink.stop().await;
}

#[tokio::test]
async fn a_store_goes_on_where_another_box_stopped() {
    let root = tempfile::tempdir().unwrap();
    let target = directory(root.path(), "");
    let list: PathBuf = root.path().join("nodi/audio.m3u8");
    let listed = |text: &str| std::fs::read_to_string(&list).unwrap_or_default().contains(text);
    for (number, last) in [(1, 2), (2, 5), (3, 8)] {
        let appliance = Appliance::new();
        let uplink = appliance.start(&target).await;
        let session = session_id(number);
        let mut worker = Worker::new(&appliance.spool(), "nodi", session, &[audio(1_000)]);
        worker.segments(3);
        worker.end();
        until("it is listed", || listed(&format!("{session}/audio/{last}.m4s"))).await;
        uplink.stop().await;
    }
    assert!(listed("#EXT-X-MEDIA-SEQUENCE:6\n"));
    check_tree(root.path());
}

/// The stream with which the box's health gate tries it.
#[tokio::test]
async fn nothing_of_a_self_test_leaves_the_box_and_nothing_of_it_stays() {
    let appliance = Appliance::new();
    let www = appliance.path("www");
    let target = format!(
        "[[directory]]\nname = \"www\"\npath = {www:?}\n[janitor]\nevery_s = 1\nmin_free_bytes = 0\n"
    );
    let (own, streamers) = (session_id(1), session_id(2));
    let mut worker = Worker::new(&appliance.spool(), "self-test", own, &rungs());
    worker.segments(2);
    let uplink = appliance.start(&target).await;
    let mut other = Worker::new(&appliance.spool(), "nodi", streamers, &rungs());
    other.segments(3);
    until("the streamer's session is there", || www.join("nodi").join("index.m3u8").is_file()).await;
    assert!(!www.join("self-test").exists());
    let told = appliance.json("/sessions", |_| true).await;
    assert_eq!(told["sessions"].as_array().unwrap().len(), 1, "{told}");
    worker.end();
    until("it is gone", || !appliance.spool().join("self-test").join(own.to_string()).exists()).await;
    assert!(appliance.spool().join("nodi").join(streamers.to_string()).exists());
    other.end();
    uplink.stop().await;
}
