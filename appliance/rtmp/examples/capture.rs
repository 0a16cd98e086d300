//! Records what a publisher sends: `cargo run -p nodi-rtmp --example capture -- 19350 4000 out.bin` takes one connection on
//! that port of the loopback interface, accepts whatever it wants to publish, and writes the first 4,000 bytes to the file.

#![allow(clippy::unwrap_used, reason = "a tool for developers: it fails by panicking")]

use std::io::{Read as _, Write as _};
use std::net::TcpListener;

use bytes::BytesMut;
use nodi_rtmp::{Connection, Event, Limits};

fn main() {
    let mut arguments = std::env::args().skip(1);
    let port: u16 = arguments.next().unwrap().parse().unwrap();
    let len: usize = arguments.next().unwrap().parse().unwrap();
    let path = arguments.next().unwrap();
    let (mut socket, _) = TcpListener::bind(("127.0.0.1", port)).unwrap().accept().unwrap();
    let mut connection = Connection::new(Limits::default());
    let mut recording = Vec::new();
    let mut input = BytesMut::new();
    let mut piece = vec![0; 65_536];
    loop {
        let read = socket.read(&mut piece).unwrap_or(0);
        if read == 0 {
            break;
        }
        let read = piece.get(..read).unwrap();
        recording.extend_from_slice(read);
        input.extend_from_slice(read);
        while let Some(event) = connection.receive(&mut input).unwrap() {
            match event {
                Event::Connect(_) => connection.accept_connect().unwrap(),
                Event::Publish(_) => connection.accept_publish().unwrap(),
                _ => {}
            }
        }
        let output = connection.output().split();
        let _ = socket.write_all(&output);
    }
    recording.truncate(len);
    std::fs::write(path, recording).unwrap();
}
