//! The few WebSocket frames (RFC 6455 section 5.2) that a server sends. They are not masked, so one frame's bytes are the
//! same for every connection: a room makes them once.

use bytes::{BufMut as _, Bytes, BytesMut};

/// An empty ping; the client's library answers it.
pub const PING: &[u8] = &[0x89, 0];

/// First byte of a text message in one frame, and of a close frame.
const TEXT: u8 = 0x81;
const CLOSE: u8 = 0x88;
/// Longest payload whose length is in the second byte.
const SHORT: usize = 125;
/// Longest reason of a close frame, in bytes: a control frame without its code.
const MAX_REASON: usize = SHORT - 2;

/// Close codes (RFC 6455 section 7.4; those from 4000 on are ours, see `docs/chat-protocol.md`).
pub mod code {
    pub const NORMAL: u16 = 1_000;
    pub const GOING_AWAY: u16 = 1_001;
    pub const PROTOCOL: u16 = 1_002;
    pub const BINARY: u16 = 1_003;
    pub const NOT_UTF8: u16 = 1_007;
    pub const POLICY: u16 = 1_008;
    pub const TOO_BIG: u16 = 1_009;
    pub const TRY_AGAIN: u16 = 1_013;
    pub const JOIN_EXPECTED: u16 = 4_000;
    pub const NO_SUCH_CHANNEL: u16 = 4_001;
    pub const SUSPENDED: u16 = 4_002;
    pub const TOO_MANY: u16 = 4_003;
    pub const TOO_SLOW: u16 = 4_004;
    pub const DEAD: u16 = 4_005;
    pub const BANNED: u16 = 4_006;
}

/// A text message.
#[must_use]
pub fn text(payload: &[u8]) -> Bytes {
    let mut frame = BytesMut::with_capacity(payload.len() + 10);
    append_text(&mut frame, payload);
    frame.freeze()
}

/// A text message behind what is in `out` already.
pub fn append_text(out: &mut BytesMut, payload: &[u8]) {
    out.reserve(payload.len() + 10);
    out.put_u8(TEXT);
    match (u8::try_from(payload.len()), u16::try_from(payload.len())) {
        (Ok(short), _) if payload.len() <= SHORT => out.put_u8(short),
        (_, Ok(medium)) => {
            out.put_u8(126);
            out.put_u16(medium);
        }
        _ => {
            out.put_u8(127);
            out.put_u64(payload.len() as u64);
        }
    }
    out.put_slice(payload);
}

/// A close frame; a reason that is too long is cut.
#[must_use]
pub fn close(code: u16, reason: &str) -> Bytes {
    let end = (0..=reason.len().min(MAX_REASON)).rev().find(|end| reason.is_char_boundary(*end)).unwrap_or(0);
    let reason = reason.get(..end).unwrap_or_default();
    let mut frame = BytesMut::with_capacity(4 + end);
    frame.put_u8(CLOSE);
    frame.put_u8(u8::try_from(2 + end).unwrap_or(2));
    frame.put_u16(code);
    frame.put_slice(reason.as_bytes());
    frame.freeze()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_length_takes_as_many_bytes_as_it_needs() {
        for (len, head) in [
            (0, vec![0x81, 0]),
            (125, vec![0x81, 125]),
            (126, vec![0x81, 126, 0, 126]),
            (65_535, vec![0x81, 126, 0xff, 0xff]),
            (65_536, vec![0x81, 127, 0, 0, 0, 0, 0, 1, 0, 0]),
        ] {
            let frame = text(&vec![b'x'; len]);
            assert_eq!(frame[..head.len()], head, "{len}");
            assert_eq!(frame.len(), head.len() + len);
        }
    }

    #[test]
    fn frames_stand_one_behind_the_other() {
        let mut out = BytesMut::new();
        append_text(&mut out, b"a");
        append_text(&mut out, b"bc");
        assert_eq!(&out[..], [0x81, 1, b'a', 0x81, 2, b'b', b'c']);
    }

    #[test]
    fn a_reason_is_cut_between_characters() {
        assert_eq!(close(1_001, "bye")[..], [0x88, 5, 3, 233, b'b', b'y', b'e']);
        let long = close(1_008, &"é".repeat(100));
        assert!(long.len() <= 2 + SHORT);
        assert!(std::str::from_utf8(&long[4..]).is_ok());
        assert_eq!(usize::from(long[1]), long.len() - 2);
    }
}
