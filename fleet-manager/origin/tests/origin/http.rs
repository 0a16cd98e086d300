//! HTTP as caches and browsers need it.

use std::io::Read as _;

use flate2::read::GzDecoder;
use nodi_protocol::push::path;
use reqwest::{Client, Method, Version};
use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
use tokio::net::TcpStream;

use crate::support::{Platform, client, live_session, media, part_bytes};

#[tokio::test]
async fn playlists_are_compressed_once_and_validated() {
    let platform = Platform::start().await;
    live_session(&platform, 8).await;
    for path in ["/live/nodi/720p.m3u8", "/live/nodi/index.m3u8", "/live/nodi/720p.m3u8?_HLS_msn=3"] {
        let plain = platform.get(path).await;
        assert_eq!(plain.headers()["content-type"], "application/vnd.apple.mpegurl");
        assert_eq!(plain.headers()["vary"], "accept-encoding");
        let etag = plain.headers()["etag"].clone();
        let text = plain.text().await.unwrap();

        let gzip =
            platform.request(Method::GET, path).header("accept-encoding", "br, gzip").send().await.unwrap();
        assert_eq!(gzip.headers()["content-encoding"], "gzip");
        let gzip_etag = gzip.headers()["etag"].clone();
        assert_ne!(gzip_etag, etag);
        let bytes = gzip.bytes().await.unwrap();
        let mut unpacked = String::new();
        GzDecoder::new(bytes.as_ref()).read_to_string(&mut unpacked).unwrap();
        assert_eq!(unpacked, text);

        let known =
            platform.request(Method::GET, path).header("if-none-match", etag.clone()).send().await.unwrap();
        assert_eq!(known.status(), 304);
        assert_eq!(known.headers()["etag"], etag);
        assert!(known.headers().contains_key("cache-control"));
        assert!(known.bytes().await.unwrap().is_empty());
    }
}

#[tokio::test]
async fn cache_headers_fit_a_shared_cache() {
    let platform = Platform::start().await;
    let session = live_session(&platform, 2).await;
    let for_ever = "public, max-age=31536000, immutable";
    for (path, status, caching) in [
        ("/live/nodi/index.m3u8".to_owned(), 200, "public, max-age=1"),
        ("/live/nodi/720p.m3u8".to_owned(), 200, "public, max-age=1"),
        ("/live/nodi/720p.m3u8?_HLS_skip=YES".to_owned(), 200, "public, max-age=1"),
        ("/live/nodi/720p.m3u8?_HLS_msn=1&_HLS_part=3".to_owned(), 200, "public, max-age=12"),
        ("/live/nodi/status.json".to_owned(), 200, "public, max-age=1"),
        (session.live("720p/1.m4s"), 200, for_ever),
        (session.live("720p/1.3.m4s"), 200, for_ever),
        (session.live("720p/init-0.mp4"), 200, for_ever),
        (session.live("720p/7.m4s"), 404, "no-store"),
        ("/live/nodi/360p.m3u8".to_owned(), 404, "no-store"),
        ("/live/nobody/index.m3u8".to_owned(), 404, "no-store"),
        ("/live/nodi/720p.m3u8?_HLS_msn=77".to_owned(), 400, "no-store"),
    ] {
        let response = platform.get(&path).await;
        assert_eq!(response.status(), status, "{path}");
        assert_eq!(response.headers()["cache-control"], caching, "{path}");
        assert_eq!(response.headers()["access-control-allow-origin"], "*", "{path}");
    }
}

#[tokio::test]
async fn segments_answer_ranges_and_conditions() {
    let platform = Platform::start().await;
    let session = live_session(&platform, 1).await;
    let path = session.live("720p/0.m4s");
    let range = |value: &str| platform.request(Method::GET, &path).header("range", value).send();
    for (value, content_range, from, to) in [
        ("bytes=0-99", "bytes 0-99/4000", 0, 100),
        ("bytes=990-1009", "bytes 990-1009/4000", 990, 1_010),
        ("bytes=3990-", "bytes 3990-3999/4000", 3_990, 4_000),
        ("bytes=-5", "bytes 3995-3999/4000", 3_995, 4_000),
        ("bytes=3000-9999", "bytes 3000-3999/4000", 3_000, 4_000),
    ] {
        let response = range(value).await.unwrap();
        assert_eq!(response.status(), 206, "{value}");
        assert_eq!(response.headers()["content-range"], content_range);
        assert_eq!(response.bytes().await.unwrap(), media(0)[from..to]);
    }
    let beyond = range("bytes=4000-").await.unwrap();
    assert_eq!(
        (beyond.status().as_u16(), &beyond.headers()["content-range"]),
        (416, &"bytes */4000".parse().unwrap())
    );
    assert_eq!(range("bytes=0-1,5-6").await.unwrap().bytes().await.unwrap(), media(0));

    let etag = platform.get(&path).await.headers()["etag"].clone();
    let known = platform.request(Method::GET, &path).header("if-none-match", etag).send().await.unwrap();
    assert_eq!(known.status(), 304);
    let part = platform.request(Method::GET, &session.live("720p/0.1.m4s")).header("range", "bytes=0-9");
    assert_eq!(part.send().await.unwrap().bytes().await.unwrap(), part_bytes(0, 1)[..10]);
}

#[tokio::test]
async fn head_is_get_without_the_body() {
    let platform = Platform::start().await;
    let session = live_session(&platform, 1).await;
    for path in ["/live/nodi/720p.m3u8".to_owned(), session.live("720p/0.m4s"), session.live("720p/0.1.m4s")]
    {
        let get = platform.get(&path).await;
        let head = platform.request(Method::HEAD, &path).send().await.unwrap();
        for header in ["content-length", "content-type", "etag", "cache-control"] {
            assert_eq!(head.headers()[header], get.headers()[header], "{path}: {header}");
        }
        assert!(head.bytes().await.unwrap().is_empty());
    }
}

#[tokio::test]
async fn other_methods_are_answered_for_what_they_are() {
    let platform = Platform::start().await;
    let preflight = platform.request(Method::OPTIONS, "/live/nodi/720p.m3u8").send().await.unwrap();
    assert_eq!(preflight.status(), 204);
    assert_eq!(preflight.headers()["access-control-allow-methods"], "GET, HEAD, OPTIONS");
    let post = platform.request(Method::POST, "/live/nodi/720p.m3u8").body("x").send().await.unwrap();
    assert_eq!(post.status(), 405);
    assert_eq!(post.headers()["allow"], "GET, HEAD, OPTIONS");
    assert_eq!(platform.text("/healthz").await, "ok\n");
    assert_eq!(platform.status_of("/metrics").await, 404, "not for the public");
}

#[tokio::test]
async fn both_protocols_over_tls() {
    let platform = Platform::start_with(
        "[public.tls]\nlisten = '127.0.0.1:0'\ncertificate = 'DIR/server.pem'\nprivate_key = 'DIR/server.key'\n",
    )
    .await;
    let session = live_session(&platform, 2).await;
    let port = platform.public_tls.unwrap().port();
    let http1 = Client::builder()
        .tls_certs_only([reqwest::Certificate::from_pem(platform.ca.pem.as_bytes()).unwrap()])
        .http1_only()
        .build()
        .unwrap();
    for (client, version) in [(client(&platform.ca, None), Version::HTTP_2), (http1, Version::HTTP_11)] {
        let get = async |path: &str| {
            let response = client.get(format!("https://localhost:{port}{path}")).send().await.unwrap();
            assert_eq!((response.status().as_u16(), response.version()), (200, version), "{path}");
            response.bytes().await.unwrap()
        };
        assert!(get("/live/nodi/720p.m3u8").await.starts_with(b"#EXTM3U"));
        assert_eq!(get(&session.live("720p/1.m4s")).await, media(1));
        assert_eq!(get(&session.live("720p/1.2.m4s")).await, part_bytes(1, 2));
        let head = client
            .head(format!("https://localhost:{port}{}", session.live("720p/1.m4s")))
            .send()
            .await
            .unwrap();
        assert_eq!(head.headers()["content-length"], "4000");
    }
}

#[tokio::test]
async fn the_push_side_speaks_both_protocols() {
    let platform = Platform::start().await;
    let session = platform.session("nodi", 0);
    let state = session.request(Method::GET, &path::channel(&session.channel)).send().await.unwrap();
    assert_eq!(state.version(), Version::HTTP_2);
}

#[tokio::test]
async fn a_thousand_waiting_players_get_the_same_bytes() {
    const PLAYERS: usize = 1_000;
    let platform = Platform::start().await;
    let session = live_session(&platform, 3).await;
    let mut players = Vec::new();
    for _ in 0..PLAYERS {
        let mut stream = TcpStream::connect(platform.public).await.unwrap();
        let request = "GET /live/nodi/720p.m3u8?_HLS_msn=3&_HLS_part=0 HTTP/1.1\r\n\
                       Host: x\r\nAccept-Encoding: gzip\r\nConnection: close\r\n\r\n";
        stream.write_all(request.as_bytes()).await.unwrap();
        players.push(stream);
    }
    platform.wait_blocked(PLAYERS).await;
    session.bytes("720p", 3, media(3)).await;
    session.update("720p", vec![session.growing(3, 1)]).await;
    let mut bodies = Vec::new();
    for mut player in players {
        let mut response = Vec::new();
        player.read_to_end(&mut response).await.unwrap();
        assert!(response.starts_with(b"HTTP/1.1 200 OK\r\n"));
        let at = response.windows(4).position(|window| window == b"\r\n\r\n").unwrap();
        bodies.push(response.split_off(at + 4));
    }
    assert!(bodies.windows(2).all(|pair| pair[0] == pair[1]));
    let mut text = String::new();
    GzDecoder::new(bodies[0].as_slice()).read_to_string(&mut text).unwrap();
    assert!(text.contains("720p/3.0.m4s\",INDEPENDENT=YES"), "{text}");
}

#[tokio::test]
async fn pipelined_and_sliced_requests_get_the_right_bytes() {
    let platform = Platform::start().await;
    let session = live_session(&platform, 4).await;
    let mut stream = TcpStream::connect(platform.public).await.unwrap();
    let mut wanted = Vec::new();
    let mut requests = String::new();
    for round in 0..20_u64 {
        let (msn, part) = (round % 4, round * 7 % 4);
        requests.push_str(&format!(
            "GET {} HTTP/1.1\r\nHost: x\r\n\r\n",
            session.live(&format!("720p/{msn}.{part}.m4s"))
        ));
        wanted.push(part_bytes(msn, part));
    }
    requests.push_str("GET /healthz HTTP/1.1\r\nHost: x\r\nConnection: close\r\n\r\n");
    for piece in requests.as_bytes().chunks(97) {
        stream.write_all(piece).await.unwrap();
    }
    let mut answers = Vec::new();
    stream.read_to_end(&mut answers).await.unwrap();
    let mut rest = answers.as_slice();
    for bytes in wanted {
        let at = rest.windows(4).position(|window| window == b"\r\n\r\n").unwrap() + 4;
        assert_eq!(rest[at..at + bytes.len()], bytes);
        rest = &rest[at + bytes.len()..];
    }
    assert!(rest.ends_with(b"ok\n"));
}

#[tokio::test]
async fn strange_paths_are_nothing() {
    let platform = Platform::start_with("web_root = 'DIR'\n").await;
    let session = live_session(&platform, 1).await;
    std::fs::write(platform.file("index.html"), "<!doctype html>watch").unwrap();
    for path in [
        "/live/nodi/%2e%2e/720p.m3u8",
        "/live/nodi//720p.m3u8",
        "/live/nodi/720p%2em3u8",
        "/live/../server.key",
        "/%2e%2e/%2e%2e/etc/passwd",
        "/..%2f..%2fetc%2fpasswd",
        "/live/NODI/status.json",
        "//server.key/",
    ] {
        let mut stream = TcpStream::connect(platform.public).await.unwrap();
        let request = format!("GET {path} HTTP/1.1\r\nHost: x\r\nConnection: close\r\n\r\n");
        stream.write_all(request.as_bytes()).await.unwrap();
        let mut response = String::new();
        stream.read_to_string(&mut response).await.unwrap();
        assert!(response.starts_with("HTTP/1.1 404"), "{path}: {response}");
    }
    assert_eq!(platform.status_of(&session.live("720p/../720p/0.m4s")).await, 200, "clients resolve dots");
}

#[tokio::test]
async fn the_watch_site_is_one_document_and_its_files() {
    let platform = Platform::start_with("web_root = 'DIR/web'\n").await;
    for directory in ["web/assets", "web/emotes"] {
        std::fs::create_dir_all(platform.file(directory)).unwrap();
    }
    let document = "<!doctype html>watch";
    std::fs::write(platform.file("web/index.html"), document).unwrap();
    std::fs::write(platform.file("web/assets/a-1.js"), "let a;").unwrap();
    std::fs::write(platform.file("web/emotes/heart.svg"), "<svg/>").unwrap();
    std::fs::write(platform.file("web/theme.js"), "let b;").unwrap();
    for path in ["/", "/watch/nodi", "/watch/nodi/", "/following", "/account", "/studio", "/studio/nodi"] {
        let page = platform.get(path).await;
        assert_eq!(page.status(), 200, "{path}");
        assert_eq!(page.headers()["content-type"], "text/html", "{path}");
        assert_eq!(page.headers()["cache-control"], "no-cache", "{path}");
        let policy = page.headers()["content-security-policy"].to_str().unwrap().to_owned();
        assert!(policy.starts_with("default-src 'self'") && !policy.contains("unsafe"), "{policy}");
        assert_eq!(page.text().await.unwrap(), document);
    }
    // The document says itself that there is no such page; nobody keeps that.
    let missing = platform.get("/nowhere").await;
    assert_eq!(missing.status(), 404);
    assert_eq!(missing.headers()["cache-control"], "no-store");
    assert_eq!(missing.text().await.unwrap(), document);
    for (path, content_type, caching) in [
        ("/assets/a-1.js", "text/javascript", "public, max-age=31536000, immutable"),
        ("/emotes/heart.svg", "image/svg+xml", "public, max-age=86400, stale-while-revalidate=604800"),
        ("/theme.js", "text/javascript", "public, max-age=600, stale-while-revalidate=86400"),
    ] {
        let file = platform.get(path).await;
        assert_eq!(file.headers()["content-type"], content_type, "{path}");
        assert_eq!(file.headers()["cache-control"], caching, "{path}");
        assert_eq!(file.headers()["x-content-type-options"], "nosniff", "{path}");
    }
    for nothing in ["/assets/b.js", "/emotes/none.svg", "/site/v1/live", "/chat/rooms", "/watch/a.b"] {
        let answer = platform.get(nothing).await;
        assert_eq!(answer.status(), 404, "{nothing}");
        assert_eq!(answer.text().await.unwrap(), "", "{nothing}");
    }
}

#[tokio::test]
async fn too_many_connections_are_closed_at_once() {
    let platform = Platform::start_with("max_connections = 2\n").await;
    let mut open = Vec::new();
    for _ in 0..2 {
        let mut stream = TcpStream::connect(platform.public).await.unwrap();
        stream.write_all(b"GET /healthz HTTP/1.1\r\nHost: x\r\n\r\n").await.unwrap();
        assert!(stream.read(&mut [0; 64]).await.unwrap() > 0);
        open.push(stream);
    }
    let mut third = TcpStream::connect(platform.public).await.unwrap();
    assert_eq!(third.read(&mut [0; 64]).await.unwrap_or(0), 0);
    assert_eq!(platform.metric("nodi_origin_refused_connections_total").await, 1.0);
}
