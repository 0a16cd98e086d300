//! The handshake (RTMP 1.0, section 5.2), and its variant with digests that Flash and its heirs use.

use bytes::{Buf as _, BytesMut};
use rml_rtmp::handshake::{self, HandshakeProcessResult, PeerType};

use crate::Error;

const VERSION: u8 = 3;
const PACKET_LEN: usize = 1536;

/// Where the handshake stands.
pub(crate) enum Handshake {
    /// Waiting for C0 and C1.
    Hello,
    /// Skipping C2. Nothing in it is worth checking: a peer that went on has liked our answer.
    Acknowledgement {
        left: usize,
    },
    Done,
}

impl Handshake {
    /// Takes what belongs to the handshake off `input`; true when it is over.
    pub(crate) fn advance(&mut self, input: &mut BytesMut, output: &mut BytesMut) -> Result<bool, Error> {
        loop {
            match self {
                Self::Hello => {
                    // Judged before the rest is there: a browser or a port scanner sends no 1,537 bytes.
                    match input.first() {
                        None => return Ok(false),
                        Some(&VERSION) => {}
                        Some(&byte) => return Err(Error::NotRtmp(byte, explain(byte))),
                    }
                    let Some(hello) = input.get(..1 + PACKET_LEN) else { return Ok(false) };
                    output.extend_from_slice(&answer(hello)?);
                    input.advance(1 + PACKET_LEN);
                    *self = Self::Acknowledgement { left: PACKET_LEN };
                }
                Self::Acknowledgement { left } => {
                    let skipped = input.len().min(*left);
                    input.advance(skipped);
                    *left -= skipped;
                    if *left > 0 {
                        return Ok(false);
                    }
                    *self = Self::Done;
                }
                Self::Done => return Ok(true),
            }
        }
    }
}

/// S0, S1 and S2 for C0 and C1. What is handed on has a fixed length, so that the library's own buffering never grows.
fn answer(hello: &[u8]) -> Result<Vec<u8>, Error> {
    match handshake::Handshake::new(PeerType::Server).process_bytes(hello) {
        Ok(HandshakeProcessResult::InProgress { response_bytes }) => Ok(response_bytes),
        Ok(HandshakeProcessResult::Completed { .. }) => {
            Err(Error::Handshake("it was over before it started".into()))
        }
        Err(error) => Err(Error::Handshake(error.to_string())),
    }
}

fn explain(byte: u8) -> &'static str {
    match byte {
        0x16 => "is how TLS starts: use the rtmps port",
        b'A'..=b'Z' => "is how HTTP and other text protocols start",
        6 | 8 | 9 => "asks for RTMPE encryption: use rtmps instead",
        _ => "is not version 3",
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn simple_hello() -> Vec<u8> {
        let mut hello = vec![VERSION, 0, 0, 0, 1, 0, 0, 0, 0];
        hello.resize(1 + PACKET_LEN, 0x5a);
        hello
    }

    #[test]
    fn a_simple_hello_is_echoed_and_what_follows_stays() {
        let hello = simple_hello();
        let bytes = [&hello[..], &[7; PACKET_LEN], b"next"].concat();
        for step in [1, 100, 1537, bytes.len()] {
            let (mut handshake, mut output) = (Handshake::Hello, BytesMut::new());
            let mut input = BytesMut::new();
            let mut done = false;
            for piece in bytes.chunks(step) {
                input.extend_from_slice(piece);
                done = handshake.advance(&mut input, &mut output).unwrap();
                assert!(input.len() <= 1 + PACKET_LEN);
            }
            assert!(done);
            assert_eq!(&input[..], b"next");
            assert_eq!(output.len(), 1 + 2 * PACKET_LEN);
            assert_eq!(output[0], VERSION);
            assert_eq!(&output[1 + PACKET_LEN..], &hello[1..]);
        }
    }

    #[test]
    fn the_digest_variant_is_answered_with_a_signature() {
        let mut client = handshake::Handshake::new(PeerType::Client);
        let hello = client.generate_outbound_p0_and_p1().unwrap();
        let (mut handshake, mut output) = (Handshake::Hello, BytesMut::new());
        let mut input = BytesMut::from(&hello[..]);
        assert!(!handshake.advance(&mut input, &mut output).unwrap());
        assert_ne!(&output[1 + PACKET_LEN..], &hello[1..]);
        let Ok(HandshakeProcessResult::Completed { response_bytes, .. }) = client.process_bytes(&output)
        else {
            panic!("the client does not accept the answer")
        };
        input.extend_from_slice(&response_bytes);
        assert!(handshake.advance(&mut input, &mut output).unwrap());
    }

    #[test]
    fn the_first_byte_decides() {
        for (byte, words) in [(b'G', "HTTP"), (0x16, "TLS"), (6, "RTMPE"), (0, "not version 3")] {
            let mut input = BytesMut::from(&[byte][..]);
            let error = Handshake::Hello.advance(&mut input, &mut BytesMut::new()).err().unwrap();
            assert!(error.to_string().contains(words), "{error}");
        }
    }
}
