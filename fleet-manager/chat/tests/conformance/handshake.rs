//! Requests that are no good WebSocket handshake.

use std::net::TcpStream;

use super::bystanders::Bystanders;
use super::service::{PAGE_HOST, Service};
use super::wire::{Raw, request};

fn ask(service: &Service, request: &str) -> Option<(u16, String)> {
    let mut raw = Raw::over(TcpStream::connect(service.address).unwrap());
    raw.send(request.as_bytes());
    raw.answer()
}

fn status(service: &Service, request: &str) -> u16 {
    ask(service, request).map_or(0, |(status, _)| status)
}

#[test]
fn what_is_no_handshake_is_refused_as_http() {
    let mut service = Service::start("");
    let bystanders = Bystanders::start(&service);
    let good = request("/ws");
    let without = |line: &str| {
        let lines: Vec<_> = good.split_inclusive("\r\n").filter(|other| !other.starts_with(line)).collect();
        assert!(lines.concat().len() < good.len(), "{line}");
        format!("{}\r\n", lines.concat())
    };
    assert_eq!(status(&service, &format!("{good}\r\n")), 101);
    assert_eq!(status(&service, &format!("{good}Origin: http://chat.example\r\n\r\n")), 101, "its own host");
    let page = format!("http://{PAGE_HOST}:{}", service.page_port);
    assert_eq!(status(&service, &format!("{good}Origin: {page}\r\n\r\n")), 101);
    for origin in ["https://evil.example", "null", "http://chat.example.evil.example", "garbage"] {
        assert_eq!(status(&service, &format!("{good}Origin: {origin}\r\n\r\n")), 403, "{origin}");
    }
    assert_eq!(status(&service, &without("Sec-WebSocket-Protocol")), 400);
    let other = good.replace("nodi.chat.v1", "nodi.chat.v10");
    assert_eq!(status(&service, &format!("{other}\r\n")), 400);
    let old = good.replace("Version: 13", "Version: 8");
    let (found, head) = ask(&service, &format!("{old}\r\n")).unwrap();
    assert_eq!(found, 426);
    assert!(head.to_lowercase().contains("sec-websocket-version: 13"), "{head}");
    assert_eq!(status(&service, &without("Sec-WebSocket-Key")), 400);
    for bad in [without("Upgrade"), without("Connection"), "GET /ws HTTP/1.1\r\nHost: x\r\n\r\n".to_owned()] {
        assert!(matches!(status(&service, &bad), 400 | 426), "{bad}");
    }
    let post = good.replacen("GET", "POST", 1);
    assert!(matches!(status(&service, &format!("{post}\r\n")), 400 | 405));
    assert_eq!(status(&service, &format!("{}\r\n", request("/nowhere"))), 404);
    // Garbage, and a head without an end: an error or the end of the connection, and soon.
    assert!(matches!(status(&service, "\x16\x03\x01\x02\x00\x01\x00\x01\r\n\r\n"), 0 | 400));
    let endless = format!("{good}X-Filler: {}\r\n\r\n", "x".repeat(1 << 20));
    assert!(matches!(status(&service, &endless), 0 | 400 | 431));
    let many = format!("{good}{}\r\n", "X-Filler: x\r\n".repeat(5_000));
    assert!(matches!(status(&service, &many), 0 | 400 | 431));
    bystanders.finish();
    service.is_well();
}

#[test]
fn one_address_has_only_so_many_connections() {
    let mut service = Service::start("[connections]\nper_address = 5\n");
    let mut open: Vec<_> = (0..5).map(|_| Raw::joined(service.address, "busy", None)).collect();
    let mut sixth = Raw::over(TcpStream::connect(service.address).unwrap());
    sixth.send(format!("{}\r\n", request("/ws")).as_bytes());
    match sixth.answer() {
        Some((101, _)) => assert_eq!(sixth.closed().0, 4_003),
        other => assert!(matches!(other, Some((429 | 503, _))), "{other:?}"),
    }
    // One that goes makes room for another one.
    open.pop();
    let deadline = std::time::Instant::now() + super::wire::DEADLINE;
    loop {
        let mut again = Raw::over(TcpStream::connect(service.address).unwrap());
        again.send(format!("{}\r\n", request("/ws")).as_bytes());
        if let Some((101, _)) = again.answer() {
            again.say(&serde_json::json!({ "t": "join", "channel": "busy" }));
            if matches!(again.next(), super::wire::Got::Json(frame) if frame["t"] == "welcome") {
                break;
            }
        }
        assert!(std::time::Instant::now() < deadline, "the place is never free again");
        std::thread::sleep(std::time::Duration::from_millis(20));
    }
    service.is_well();
}
