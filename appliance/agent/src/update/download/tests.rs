//! Against a server that does what servers do, and what they should not.

use std::collections::VecDeque;
use std::sync::{Arc, Mutex};

use axum::Router;
use axum::body::{Body, Bytes};
use axum::extract::State;
use axum::http::{HeaderMap, Response};
use axum::routing::get as on_get;

use super::*;

/// What the server does with one request; the last one is for all that follow.
#[derive(Debug, Clone, Copy)]
enum Does {
    /// With ranges.
    Serves,
    /// The whole, whatever was asked for.
    Whole,
    /// So many bytes, and then the connection is gone.
    Breaks(usize),
    Answers(u16),
    /// From another byte than was asked for.
    Elsewhere,
    /// Another file, of the same size.
    Other,
    TooShort,
    TooLong,
    Redirects,
}

#[derive(Default)]
struct Server {
    file: Vec<u8>,
    does: Mutex<VecDeque<Does>>,
    /// `Range` and `If-Range` of each request.
    asked: Mutex<Vec<(Option<String>, Option<String>)>>,
}

async fn answer(State(server): State<Arc<Server>>, headers: HeaderMap) -> Response<Body> {
    let text =
        |name| headers.get(name).map(|value: &axum::http::HeaderValue| value.to_str().unwrap().to_owned());
    assert_eq!(text("authorization").as_deref(), Some("Bearer secret"));
    let (range, condition) = (text("range"), text("if-range"));
    server.asked.lock().unwrap().push((range.clone(), condition.clone()));
    let does = {
        let mut does = server.does.lock().unwrap();
        if does.len() > 1 { does.pop_front().unwrap() } else { does[0] }
    };
    let file = &server.file;
    let from = range.filter(|_| condition.as_deref().is_none_or(|tag| tag == "\"v1\"")).map(|range| {
        range.strip_prefix("bytes=").unwrap().strip_suffix('-').unwrap().parse::<usize>().unwrap()
    });
    let whole =
        |bytes: Vec<u8>| Response::builder().header("etag", "\"v1\"").body(Body::from(bytes)).unwrap();
    let part = |from: usize, body: Body| {
        Response::builder()
            .status(206)
            .header("etag", "\"v1\"")
            .header("content-range", format!("bytes {from}-{}/{}", file.len() - 1, file.len()))
            .body(body)
            .unwrap()
    };
    match (does, from) {
        (Does::Answers(status), _) => Response::builder().status(status).body(Body::empty()).unwrap(),
        (Does::Redirects, _) => Response::builder()
            .status(302)
            .header("location", "http://elsewhere.example/")
            .body(Body::empty())
            .unwrap(),
        (Does::Serves, Some(from)) => part(from, Body::from(file[from..].to_vec())),
        (Does::Elsewhere, Some(from)) => part(from + 1, Body::from(file[from + 1..].to_vec())),
        (Does::Breaks(bytes), from) => {
            let begin = from.unwrap_or(0);
            let piece = Bytes::copy_from_slice(&file[begin..(begin + bytes).min(file.len())]);
            let parts = [Ok(piece), Err(std::io::Error::other("broken"))];
            // What was sent before is on its way by then.
            let body = tokio_stream::StreamExt::then(tokio_stream::iter(parts), async |part| {
                if part.is_err() {
                    tokio::time::sleep(Duration::from_millis(100)).await;
                }
                part
            });
            let body = Body::from_stream(body);
            match from {
                Some(from) => part(from, body),
                None => Response::builder().header("etag", "\"v1\"").body(body).unwrap(),
            }
        }
        (Does::Other, _) => whole(vec![b'x'; file.len()]),
        (Does::TooShort, _) => whole(file[1..].to_vec()),
        (Does::TooLong, _) => {
            let body = tokio_stream::iter([file.clone(), vec![0]].map(Ok::<_, std::io::Error>));
            Response::new(Body::from_stream(body))
        }
        (Does::Serves | Does::Whole | Does::Elsewhere, _) => whole(file.clone()),
    }
}

struct Bench {
    server: Arc<Server>,
    bundle: Bundle,
    directory: tempfile::TempDir,
    client: Client,
}

impl Bench {
    async fn new(does: impl IntoIterator<Item = Does>) -> Self {
        let _ = rustls::crypto::ring::default_provider().install_default();
        let file: Vec<u8> = (0..300_000_u32).flat_map(u32::to_le_bytes).collect();
        let sha256 = Sha256::digest(&file).iter().map(|byte| format!("{byte:02x}")).collect();
        let bytes = file.len() as u64;
        let server =
            Arc::new(Server { file, does: Mutex::new(does.into_iter().collect()), ..Server::default() });
        let listener = tokio::net::TcpListener::bind("127.0.0.1:0").await.unwrap();
        let url = format!("http://{}/bundle", listener.local_addr().unwrap());
        let router = Router::new().route("/bundle", on_get(answer)).with_state(server.clone());
        tokio::spawn(async move { axum::serve(listener, router).await.unwrap() });
        let bundle = Bundle {
            version: "2".to_owned(),
            compatible: "nodi-x".to_owned(),
            url,
            token: Some("secret".to_owned()),
            bytes,
            sha256,
        };
        let client = Client::builder().redirect(crate::fleet::redirects()).no_proxy().build().unwrap();
        Self { server, bundle, directory: tempfile::tempdir().unwrap(), client }
    }

    fn file(&self) -> PathBuf {
        self.directory.path().join("bundle")
    }

    async fn get(&self) -> Result<(), Obstacle> {
        let (progress, _said) = Progress::new();
        let file = self.file();
        let getting = get(&self.client, &self.bundle, &file, &progress);
        tokio::time::timeout(Duration::from_secs(60), getting).await.expect("in time")
    }

    fn asked(&self) -> Vec<(Option<String>, Option<String>)> {
        self.server.asked.lock().unwrap().clone()
    }

    fn is_there(&self) {
        assert!(std::fs::read(self.file()).unwrap() == self.server.file);
    }
}

#[tokio::test]
async fn it_goes_on_where_a_connection_was_lost_and_asks_for_the_same_file() {
    let bench =
        Bench::new([Does::Breaks(400_000), Does::Answers(503), Does::Breaks(100_000), Does::Serves]).await;
    bench.get().await.unwrap();
    bench.is_there();
    let condition = Some("\"v1\"".to_owned());
    let from: Vec<_> = bench.asked().into_iter().map(|(range, _)| range).collect();
    assert_eq!(from[0], None);
    assert!(from[1..].iter().all(Option::is_some), "{from:?}");
    assert!(bench.asked()[1..].iter().all(|(_, asked)| *asked == condition));
}

#[tokio::test]
async fn another_process_goes_on_with_what_is_there_and_takes_what_is_complete() {
    let bench = Bench::new([Does::Serves]).await;
    std::fs::write(bench.file(), &bench.server.file[..500_000]).unwrap();
    bench.get().await.unwrap();
    bench.is_there();
    assert_eq!(bench.asked(), [(Some("bytes=500000-".to_owned()), None)]);
    bench.get().await.unwrap();
    assert_eq!(bench.asked().len(), 1, "nothing more to ask for");
}

#[tokio::test]
async fn a_server_without_ranges_or_with_another_file_begins_anew() {
    for does in [Does::Whole, Does::Elsewhere] {
        let bench = Bench::new([does, Does::Whole]).await;
        std::fs::write(bench.file(), &bench.server.file[..500_000]).unwrap();
        bench.get().await.unwrap();
        bench.is_there();
    }
    // The file at the address is another one than that which was begun.
    let bench = Bench::new([Does::Serves]).await;
    std::fs::write(bench.file(), vec![b'z'; 1_000]).unwrap();
    std::fs::write(beside(&bench.file()), "\"v0\"").unwrap();
    bench.get().await.unwrap();
    bench.is_there();
    assert_eq!(bench.asked(), [(Some("bytes=1000-".to_owned()), Some("\"v0\"".to_owned()))]);
}

#[tokio::test]
async fn what_was_damaged_on_the_way_is_got_again_and_what_is_wrong_is_not() {
    let bench = Bench::new([Does::Serves]).await;
    std::fs::write(bench.file(), vec![0xff; 500_000]).unwrap();
    bench.get().await.unwrap();
    bench.is_there();

    let bench = Bench::new([Does::Other]).await;
    let obstacle = bench.get().await.unwrap_err();
    assert!(!obstacle.passes && obstacle.reason.starts_with("SHA-256 of the file is "), "{obstacle:?}");
    assert!(obstacle.reason.ends_with(&format!("of the order {}", bench.bundle.sha256)));
    assert_eq!(bench.asked().len(), 2);
    assert!(!bench.file().exists());
}

#[tokio::test]
async fn a_verdict_ends_it_with_the_reason() {
    for (does, reason) in [
        (Does::Answers(401), "the server refuses it: 401"),
        (Does::Answers(404), "the server refuses it: 404"),
        (Does::Answers(410), "the server refuses it: 410"),
        (Does::TooShort, "the server's file has 1199999 bytes, the order says 1200000"),
        (Does::TooLong, "the server sends more than the 1200000 bytes"),
        (Does::Redirects, "error following redirect"),
    ] {
        let bench = Bench::new([does]).await;
        let obstacle = bench.get().await.unwrap_err();
        assert!(!obstacle.passes && obstacle.reason.starts_with(reason), "{obstacle:?}");
    }
    let bench = Bench::new([Does::Answers(416), Does::Serves]).await;
    std::fs::write(bench.file(), vec![0; 1_000]).unwrap();
    bench.get().await.unwrap();
    bench.is_there();
}

#[tokio::test]
async fn a_token_goes_nowhere_without_tls() {
    let mut bench = Bench::new([Does::Serves]).await;
    for (url, reason) in [
        ("http://fleet.example/b", "the bundle's address: http is not https"),
        ("file:///etc/passwd", "the bundle's address: file is not https"),
        ("x", "the bundle's address: relative URL"),
    ] {
        url.clone_into(&mut bench.bundle.url);
        let obstacle = bench.get().await.unwrap_err();
        assert!(obstacle.reason.starts_with(reason), "{obstacle:?}");
    }
}

#[test]
fn ranges_are_read_as_servers_write_them() {
    let of = |text: &str| {
        let mut headers = HeaderMap::new();
        headers.insert(CONTENT_RANGE, text.parse().unwrap());
        range(&headers)
    };
    assert_eq!(of("bytes 5-9/10"), Some((5, Some(10))));
    assert_eq!(of("bytes 5-9/*"), Some((5, None)));
    for bad in ["bytes */10", "bytes 5/10", "5-9/10", "bytes -9/10", ""] {
        assert_eq!(of(bad), None, "{bad}");
    }
}
