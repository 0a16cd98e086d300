//! Frames that no library sends, and the close code of each (RFC 6455 sections 5 and 7.4).

use serde_json::json;

use super::bystanders::Bystanders;
use super::service::{Account, Service};
use super::wire::{BINARY, CLOSE, CONTINUATION, FIN, Got, PING, Raw, TEXT, frame, header, unmasked};

const RSV1: u8 = 0x40;
const RSV2: u8 = 0x20;
const RSV3: u8 = 0x10;
const CHANNEL: &str = "malformed";

fn both(first: Vec<u8>, second: Vec<u8>) -> Vec<u8> {
    [first, second].concat()
}

#[test]
fn every_malformed_frame_gets_its_close_code_and_disturbs_nobody() {
    let mut service = Service::start("");
    let bystanders = Bystanders::start(&service);
    let cases: Vec<(&str, Vec<u8>, u16)> = vec![
        ("a text without a mask", unmasked(FIN | TEXT, b"{}"), 1_002),
        ("a ping without a mask", unmasked(FIN | PING, b""), 1_002),
        ("reserved bit 1 without an extension", frame(FIN | RSV1 | TEXT, b"{}"), 1_002),
        ("reserved bit 2", frame(FIN | RSV2 | TEXT, b"{}"), 1_002),
        ("reserved bit 3 in a control frame", frame(FIN | RSV3 | PING, b""), 1_002),
        ("a data opcode that does not exist", frame(FIN | 0x3, b"{}"), 1_002),
        ("a control opcode that does not exist", frame(FIN | 0xb, b""), 1_002),
        ("a continuation of nothing", frame(FIN | CONTINUATION, b"{}"), 1_002),
        ("a text in the middle of a text", both(frame(TEXT, b"{"), frame(FIN | TEXT, b"}")), 1_002),
        ("a ping in fragments", frame(PING, b"a"), 1_002),
        ("a ping of 126 bytes", frame(FIN | PING, &[b'a'; 126]), 1_002),
        ("bytes", frame(FIN | BINARY, b"{}"), 1_003),
        ("bytes in fragments", both(frame(BINARY, b"{"), frame(FIN | CONTINUATION, b"}")), 1_003),
        ("a lone continuation byte", frame(FIN | TEXT, b"{\"t\":\"\x80\"}"), 1_007),
        ("an overlong slash", frame(FIN | TEXT, b"\xc0\xaf"), 1_007),
        ("half of a surrogate pair", frame(FIN | TEXT, b"\xed\xa0\x80"), 1_007),
        ("beyond the last code point", frame(FIN | TEXT, b"\xf4\x90\x80\x80"), 1_007),
        ("a text that ends within a character", frame(FIN | TEXT, b"\xf0\x9f\x8e"), 1_007),
        (
            "a character broken across fragments",
            both(frame(TEXT, b"\xf0\x9f"), frame(FIN | CONTINUATION, b"\x41")),
            1_007,
        ),
        ("a frame of 16 KiB and one", frame(FIN | TEXT, &[b'x'; (16 << 10) + 1]), 1_009),
        ("the head of a frame of a terabyte", header(FIN | TEXT, 1 << 40), 1_009),
        (
            "fragments that are too big together",
            both(frame(TEXT, &[b'x'; 10 << 10]), frame(FIN | CONTINUATION, &[b'x'; 10 << 10])),
            1_009,
        ),
        ("a close frame of one byte", frame(FIN | CLOSE, &[3]), 1_002),
        ("a close code that may not be sent", frame(FIN | CLOSE, &1_005_u16.to_be_bytes()), 1_002),
        ("a close code that does not exist", frame(FIN | CLOSE, &999_u16.to_be_bytes()), 1_002),
        ("a reason that is not UTF-8", frame(FIN | CLOSE, b"\x03\xe8\xff"), 1_007),
    ];
    let mut wrong = Vec::new();
    for (name, bytes, code) in cases {
        // Before joining and after it: other code reads the first frame.
        for joined in [false, true] {
            let mut raw = if joined {
                Raw::joined(service.address, CHANNEL, None)
            } else {
                Raw::connect(service.address)
            };
            raw.send(&bytes);
            let (found, reason) = raw.closed();
            if found != code {
                wrong.push(format!("{name} (joined: {joined}): {found} {reason:?}, not {code}"));
            }
        }
    }
    assert!(wrong.is_empty(), "{wrong:#?}");
    bystanders.finish();
    service.is_well();
}

#[test]
fn what_is_unusual_but_right_is_understood() {
    let mut service = Service::start("");
    let token = service.token(CHANNEL, &Account::viewer("unusual", "Unusual"));
    let mut raw = Raw::joined(service.address, CHANNEL, Some(&token));
    let text = json!({ "t": "say", "nonce": "1", "text": "🎉 in pieces" }).to_string();
    // Every byte a fragment, so that characters are cut, with a ping in between.
    let bytes = text.as_bytes();
    for (index, byte) in bytes.iter().enumerate() {
        let opcode = if index == 0 { TEXT } else { CONTINUATION };
        let fin = if index + 1 == bytes.len() { FIN } else { 0 };
        raw.send(&frame(fin | opcode, &[*byte]));
        if index == 10 {
            raw.send(&frame(FIN | PING, b"between"));
        }
    }
    assert_eq!(raw.next(), Got::Pong(b"between".to_vec()));
    let got = [raw.json(), raw.json()];
    assert!(got.iter().any(|frame| frame["t"] == "message" && frame["text"] == "🎉 in pieces"), "{got:?}");
    // The longest frame there may be is read: it is refused for what it says.
    let long = |text: &str| json!({ "t": "say", "nonce": "2", "text": text }).to_string();
    let filler = "x".repeat((16 << 10) - long("").len());
    raw.send(&frame(FIN | TEXT, long(&filler).as_bytes()));
    assert_eq!(raw.json()["code"], "text");
    // A frame in many small segments.
    for byte in frame(FIN | PING, b"slowly") {
        raw.send(&[byte]);
    }
    assert_eq!(raw.next(), Got::Pong(b"slowly".to_vec()));
    // Two frames in one segment.
    raw.send(&both(frame(FIN | PING, b"one"), frame(FIN | PING, b"two")));
    assert_eq!((raw.next(), raw.next()), (Got::Pong(b"one".to_vec()), Got::Pong(b"two".to_vec())));
    raw.send(&frame(FIN | CLOSE, &1_000_u16.to_be_bytes()));
    assert!(matches!(raw.next(), Got::Close(1_000, _)));
    assert_eq!(raw.next(), Got::End);
    service.is_well();
}

#[test]
fn floods_are_ended_and_disturb_nobody() {
    let mut service = Service::start("");
    let bystanders = Bystanders::start(&service);
    let floods = [
        ("pings", frame(FIN | PING, &[b'p'; 125])),
        ("texts that are answered", frame(FIN | TEXT, br#"{"t":"auth","token":null}"#)),
        ("pongs that nobody asked for", frame(FIN | 0xa, b"")),
    ];
    for (name, one) in floods {
        let mut raw = Raw::joined(service.address, CHANNEL, None);
        raw.send(&one.repeat(5_000));
        let (code, reason) = raw.closed();
        assert_eq!(code, 1_008, "{name}: {reason}");
    }
    // Fragments without end and without content are one message that is not over.
    let mut raw = Raw::joined(service.address, CHANNEL, None);
    raw.send(&frame(TEXT, b""));
    raw.send(&frame(CONTINUATION, b"").repeat(100_000));
    raw.send(&frame(FIN | CONTINUATION, br#"{"t":"auth","token":null}"#));
    assert_eq!(raw.json(), json!({ "t": "you", "you": null }));
    bystanders.finish();
    service.is_well();
}
