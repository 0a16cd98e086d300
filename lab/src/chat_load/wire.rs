//! As much of RFC 6455 as a load needs: the handshake of both sides, frames out of a buffer, frames into one.

use std::io;

/// Opcodes (RFC 6455 section 5.2).
pub(super) const TEXT: u8 = 0x1;
pub(super) const BINARY: u8 = 0x2;
pub(super) const CLOSE: u8 = 0x8;
pub(super) const PING: u8 = 0x9;
pub(super) const PONG: u8 = 0xa;

const FIN: u8 = 0x80;
const MASKED: u8 = 0x80;
/// Any key masks; a fixed one costs no random numbers.
const MASK: [u8; 4] = [0x37, 0xfa, 0x21, 0x3d];
/// The key of RFC 6455 section 1.3, and its answer: no SHA-1 is needed for a load.
const KEY: &str = "dGhlIHNhbXBsZSBub25jZQ==";
const ACCEPT: &str = "s3pPLMBiTxaQ9kYGzzhZRbK+xOo=";
/// Larger than any handshake here. Bounds what is kept of a server that never ends its headers.
pub(super) const MAX_HEAD: usize = 8 << 10;
const HEAD_END: &[u8] = b"\r\n\r\n";

pub(super) fn request(host: &str, path: &str, subprotocol: Option<&str>) -> String {
    let subprotocol =
        subprotocol.map(|name| format!("Sec-WebSocket-Protocol: {name}\r\n")).unwrap_or_default();
    format!(
        "GET {path} HTTP/1.1\r\nHost: {host}\r\nUpgrade: websocket\r\nConnection: Upgrade\r\n\
         Sec-WebSocket-Version: 13\r\nSec-WebSocket-Key: {KEY}\r\n{subprotocol}\r\n"
    )
}

pub(super) fn response() -> String {
    format!(
        "HTTP/1.1 101 Switching Protocols\r\nUpgrade: websocket\r\nConnection: Upgrade\r\n\
         Sec-WebSocket-Accept: {ACCEPT}\r\n\r\n"
    )
}

/// Length of the HTTP head at the front of `bytes` with its empty line, once it is whole.
pub(super) fn head_len(bytes: &[u8]) -> Option<usize> {
    bytes.windows(HEAD_END.len()).position(|window| window == HEAD_END).map(|at| at + HEAD_END.len())
}

/// One frame, its payload unmasked.
#[derive(Debug, PartialEq, Eq)]
pub(super) struct Frame<'a> {
    pub(super) opcode: u8,
    pub(super) payload: &'a [u8],
}

/// Takes the first frame of a server off `bytes`; `None` leaves them alone: it is not whole yet.
pub(super) fn take<'a>(bytes: &mut &'a [u8]) -> io::Result<Option<Frame<'a>>> {
    let Some((header, rest)) = header(bytes) else { return Ok(None) };
    if header.mask.is_some() {
        return Err(io::Error::other("the server masks its frames"));
    }
    let Some((payload, rest)) = rest.split_at_checked(header.len) else { return Ok(None) };
    *bytes = rest;
    Ok(Some(Frame { opcode: header.opcode, payload }))
}

/// Takes the first frame of a client off `bytes` and leaves its payload in `into`.
pub(super) fn take_masked(bytes: &mut &[u8], into: &mut Vec<u8>) -> io::Result<Option<u8>> {
    let Some((header, rest)) = header(bytes) else { return Ok(None) };
    let Some(mask) = header.mask else {
        return Err(io::Error::other("the client does not mask its frames"));
    };
    let Some((payload, rest)) = rest.split_at_checked(header.len) else { return Ok(None) };
    *bytes = rest;
    into.clear();
    into.extend(payload.iter().zip(mask.iter().cycle()).map(|(byte, key)| byte ^ key));
    Ok(Some(header.opcode))
}

struct Header {
    opcode: u8,
    mask: Option<[u8; 4]>,
    len: usize,
}

fn header(bytes: &[u8]) -> Option<(Header, &[u8])> {
    let (&[first, second], rest) = bytes.split_first_chunk()?;
    let (len, rest) = match second & !MASKED {
        126 => {
            let (len, rest) = rest.split_first_chunk()?;
            (u64::from(u16::from_be_bytes(*len)), rest)
        }
        127 => {
            let (len, rest) = rest.split_first_chunk()?;
            (u64::from_be_bytes(*len), rest)
        }
        len => (u64::from(len), rest),
    };
    let (mask, rest) = if second & MASKED == 0 {
        (None, rest)
    } else {
        let (mask, rest) = rest.split_first_chunk()?;
        (Some(*mask), rest)
    };
    Some((Header { opcode: first & 0x0f, mask, len: usize::try_from(len).ok()? }, rest))
}

/// Appends a frame of a server.
pub(super) fn put(out: &mut Vec<u8>, opcode: u8, payload: &[u8]) {
    put_header(out, opcode, payload.len(), 0);
    out.extend_from_slice(payload);
}

/// Appends a frame of a client.
pub(super) fn put_masked(out: &mut Vec<u8>, opcode: u8, payload: &[u8]) {
    put_header(out, opcode, payload.len(), MASKED);
    out.extend_from_slice(&MASK);
    out.extend(payload.iter().zip(MASK.iter().cycle()).map(|(byte, key)| byte ^ key));
}

fn put_header(out: &mut Vec<u8>, opcode: u8, len: usize, masked: u8) {
    out.push(FIN | opcode);
    if let Some(len) = u8::try_from(len).ok().filter(|len| *len < 126) {
        out.push(masked | len);
    } else if let Ok(len) = u16::try_from(len) {
        out.push(masked | 126);
        out.extend_from_slice(&len.to_be_bytes());
    } else {
        out.push(masked | 127);
        out.extend_from_slice(&(len as u64).to_be_bytes());
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn frames_come_back_whole_however_they_are_cut() {
        for len in [0, 1, 125, 126, 65_535, 65_536] {
            let payload = vec![b'x'; len];
            let mut bytes = Vec::new();
            put(&mut bytes, TEXT, &payload);
            put(&mut bytes, PING, b"p");
            for cut in [0, 1, 2, 3, 9, len] {
                assert_eq!(take(&mut bytes.get(..cut.min(len)).unwrap_or_default()).unwrap(), None);
            }
            let mut rest = bytes.as_slice();
            assert_eq!(take(&mut rest).unwrap(), Some(Frame { opcode: TEXT, payload: &payload }));
            assert_eq!(take(&mut rest).unwrap(), Some(Frame { opcode: PING, payload: b"p" }));
            assert_eq!((take(&mut rest).unwrap(), rest.len()), (None, 0));
        }
    }

    #[test]
    fn what_a_client_sends_is_unmasked() {
        let mut bytes = Vec::new();
        put_masked(&mut bytes, TEXT, b"five!");
        assert!(take(&mut bytes.as_slice()).is_err());
        let mut payload = Vec::new();
        assert_eq!(take_masked(&mut bytes.as_slice(), &mut payload).unwrap(), Some(TEXT));
        assert_eq!(payload, b"five!");
    }

    #[test]
    fn a_head_ends_with_an_empty_line() {
        let request = request("h", "/ws", Some("nodi.chat.v1"));
        assert_eq!(head_len(request.as_bytes()), Some(request.len()));
        assert_eq!(head_len(&request.as_bytes()[..request.len() - 1]), None);
        assert!(request.contains("Sec-WebSocket-Protocol: nodi.chat.v1\r\n"));
        assert!(head_len(response().as_bytes()).is_some());
    }
}
