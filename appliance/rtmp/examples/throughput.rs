//! What reading costs without the kernel's part: `cargo run --release -p nodi-rtmp --example throughput` prints the CPU time per
//! gigabit of a 6 Mbit/s stream, for chunk sizes that encoders use.

#![allow(
    clippy::unwrap_used,
    clippy::print_stdout,
    reason = "a tool for developers: it prints, and fails by panicking"
)]
#![allow(clippy::cast_precision_loss, reason = "milliseconds for people")]

use bytes::{Buf as _, Bytes, BytesMut};
use nodi_rtmp::{Connection, Event, Limits};
use rml_rtmp::chunk_io::ChunkSerializer;
use rml_rtmp::messages::MessagePayload;
use rml_rtmp::time::RtmpTimestamp;

/// What one read takes off a socket.
const READ: usize = 16 * 1024;
const SECONDS: u32 = 60;

fn main() {
    for chunk_size in [128, 4096, 60_000] {
        let stream = stream(chunk_size);
        let mut runs: Vec<_> = (0..5).map(|_| receive(&stream)).collect();
        runs.sort_by(f64::total_cmp);
        println!("chunks of {chunk_size:>5}: {:.1} ms CPU per Gbit", runs.get(2).unwrap());
    }
}

/// A minute of video and audio as an encoder sends it, handshake and commands included.
fn stream(chunk_size: u32) -> Bytes {
    let recorded = include_bytes!("../tests/fixtures/ffmpeg-5.1.bin");
    // Up to the end of `publish`, which the name of its kind closes.
    let publish = recorded.windows(7).position(|window| window == b"publish").unwrap();
    let rest = recorded.get(publish..).unwrap();
    let kind = rest.windows(4).position(|window| window == b"live").unwrap();
    let mut bytes = BytesMut::from(recorded.get(..publish + kind + 4).unwrap());
    let mut chunks = ChunkSerializer::new();
    let set = chunks.set_max_chunk_size(chunk_size, RtmpTimestamp::new(0)).unwrap();
    bytes.extend_from_slice(&set.bytes);
    let mut say = |type_id, time, len| {
        let timestamp = RtmpTimestamp::new(time);
        let message =
            MessagePayload { timestamp, type_id, message_stream_id: 1, data: Bytes::from(vec![0x27; len]) };
        bytes.extend_from_slice(&chunks.serialize(&message, false, false).unwrap().bytes);
    };
    for frame in 0..SECONDS * 30 {
        let time = frame * 100 / 3;
        say(9, time, if frame % 60 == 0 { 150_000 } else { 22_500 });
        say(8, time, 380);
        say(8, time + 21, 381);
    }
    bytes.freeze()
}

/// In milliseconds per gigabit.
fn receive(stream: &Bytes) -> f64 {
    let mut connection = Connection::new(Limits::default());
    let mut input = BytesMut::with_capacity(READ);
    let mut stream = stream.clone();
    let total = stream.len();
    let mut payload = 0;
    let start = cpu_ns();
    while !stream.is_empty() {
        let taken = stream.len().min(READ - input.len());
        // Stands for the kernel's copy; it is in the figure too.
        input.extend_from_slice(stream.get(..taken).unwrap());
        stream.advance(taken);
        while let Some(event) = connection.receive(&mut input).unwrap() {
            match event {
                Event::Connect(_) => connection.accept_connect().unwrap(),
                Event::Publish(_) => connection.accept_publish().unwrap(),
                Event::Tag(tag) => payload += tag.data.len(),
                _ => {}
            }
        }
        connection.output().clear();
        input.reserve(READ - input.len());
    }
    let elapsed = cpu_ns() - start;
    assert!(payload > total / 100 * 95, "the stream did not come through");
    elapsed / 1e6 / (total as f64 * 8.0 / 1e9)
}

/// CPU time of this thread.
fn cpu_ns() -> f64 {
    let text = std::fs::read_to_string("/proc/thread-self/schedstat").unwrap();
    text.split(' ').next().unwrap().parse().unwrap()
}
