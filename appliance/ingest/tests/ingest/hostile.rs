//! Peers that mean harm: each ends alone, costs bounded memory, and a good publisher goes on meanwhile.

use std::io::{Read as _, Write as _};
use std::net::{SocketAddr, TcpStream};
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::thread::JoinHandle;
use std::time::Duration;

use crate::support::client::{Client, is_closed, raw};
use crate::support::worker::{Worker, Workers, is_frame};
use crate::support::{Server, eventually, key};

/// Publishes in real time until it is stopped, on a channel of its own.
struct Good {
    stop: Arc<AtomicBool>,
    publisher: JoinHandle<u32>,
    worker: JoinHandle<Worker>,
}

impl Good {
    fn start(server: &Server) -> Self {
        let workers = Workers::listen(&server.path("worker.sock"));
        let mut client = Client::publishing(server.rtmp, &key("good"));
        client.second(0, 1_000);
        let mut worker = workers.next();
        let worker = std::thread::spawn(move || {
            worker.read_all();
            worker
        });
        let stop = Arc::new(AtomicBool::new(false));
        let stopped = Arc::clone(&stop);
        let publisher = std::thread::spawn(move || {
            let mut seconds = 1;
            while !stopped.load(Ordering::Relaxed) {
                client.second(seconds * 1_000, 1_000);
                seconds += 1;
                std::thread::sleep(Duration::from_millis(50));
            }
            client.stop_publishing();
            // Closing with something unread would reset the connection, and could overtake the last frames.
            client.until_said("NetStream.Unpublish.Success");
            seconds
        });
        Self { stop, publisher, worker }
    }

    /// Nothing of it was lost.
    fn finish(self) {
        self.stop.store(true, Ordering::Relaxed);
        let seconds = self.publisher.join().expect("the good publisher was stopped");
        let worker = self.worker.join().unwrap();
        let frames: Vec<u32> =
            worker.tags.iter().filter(|tag| is_frame(tag)).map(|tag| tag.timestamp_ms).collect();
        assert_eq!(frames, (0..seconds * 25).map(|frame| frame * 40).collect::<Vec<_>>());
    }
}

fn server() -> Server {
    Server::with(|config| {
        config.limits.handshake_s = 3;
        config.limits.publish_s = 3;
        config.limits.connections_per_address = 300;
        config.limits.bitrate_bps = 200_000_000;
        // The good one sends faster than real time.
        config.limits.media_idle_s = 60;
    })
}

/// Resident memory of this process, in which the server runs, in bytes.
fn memory() -> usize {
    let status = std::fs::read_to_string("/proc/self/status").unwrap();
    let line = status.lines().find(|line| line.starts_with("VmRSS:")).unwrap();
    line.split_whitespace().nth(1).unwrap().parse::<usize>().unwrap() * 1024
}

/// Runs `attack` on 50 connections at once beside a good publisher. All of them have to be closed by the
/// server, and may cost `limit` bytes each while they last.
fn attack(limit: usize, attack: fn(SocketAddr) -> TcpStream) {
    const PEERS: usize = 50;
    /// What the good publisher, the test's own threads, and the allocator take.
    const NOISE: usize = 40 << 20;
    let server = server();
    let good = Good::start(&server);
    let before = memory();
    let address = server.rtmp;
    let peers: Vec<_> = (0..PEERS).map(|_| std::thread::spawn(move || attack(address))).collect();
    let streams: Vec<TcpStream> = peers.into_iter().map(|peer| peer.join().unwrap()).collect();
    let grown = memory().saturating_sub(before);
    assert!(grown < PEERS * limit + NOISE, "{grown} bytes for {PEERS} peers");
    for mut stream in streams {
        assert!(is_closed(&mut stream), "a hostile peer is still connected");
    }
    eventually("only the good one to be left", || {
        (server.metric("nodi_ingest_connections") == 1.0).then_some(())
    });
    good.finish();
}

#[test]
fn garbage() {
    attack(64 << 10, |address| {
        let mut stream = TcpStream::connect(address).unwrap();
        let mut state = 12345_u32;
        for _ in 0..100 {
            let mut bytes = [0; 1024];
            for byte in &mut bytes {
                state = state.wrapping_mul(1_664_525).wrapping_add(1_013_904_223);
                *byte = (state >> 24) as u8;
            }
            if stream.write_all(&bytes).is_err() {
                break;
            }
        }
        stream
    });
}

#[test]
fn garbage_after_the_handshake() {
    attack(256 << 10, |address| {
        let mut stream = raw(address);
        let mut state = 6789_u32;
        for _ in 0..1000 {
            let mut bytes = [0; 1024];
            for byte in &mut bytes {
                state = state.wrapping_mul(1_664_525).wrapping_add(1_013_904_223);
                *byte = (state >> 24) as u8;
            }
            if stream.write_all(&bytes).is_err() {
                break;
            }
        }
        stream
    });
}

#[test]
fn one_byte_now_and_then() {
    attack(64 << 10, |address| {
        let mut stream = TcpStream::connect(address).unwrap();
        stream.set_read_timeout(Some(Duration::from_millis(250))).unwrap();
        stream.write_all(&[3]).unwrap();
        // Until the server has had enough.
        while stream.write_all(&[0]).is_ok() {
            match stream.read(&mut [0; 16]) {
                Ok(0) => break,
                Ok(_) => {}
                Err(error) if matches!(error.kind(), std::io::ErrorKind::WouldBlock) => {}
                Err(_) => break,
            }
        }
        stream
    });
}

#[test]
fn an_endless_handshake() {
    attack(64 << 10, |address| {
        let mut stream = TcpStream::connect(address).unwrap();
        let mut hello = vec![0; 1537];
        hello[0] = 3;
        stream.write_all(&hello).unwrap();
        // C2 never comes to its end.
        stream.write_all(&[0; 1000]).unwrap();
        stream
    });
}

#[test]
fn messages_that_announce_16_megabytes() {
    attack(512 << 10, |address| {
        let mut stream = raw(address);
        for chunk_stream in 3..60 {
            // Format 0, type video, the greatest length that fits, and the start of its payload.
            let mut chunk = vec![chunk_stream, 0, 0, 0, 0xff, 0xff, 0xff, 9, 1, 0, 0, 0];
            chunk.extend_from_slice(&[0; 128]);
            if stream.write_all(&chunk).is_err() {
                break;
            }
        }
        stream
    });
}

#[test]
fn a_chunk_size_of_4_gigabytes() {
    attack(512 << 10, |address| {
        let mut stream = raw(address);
        // Set Chunk Size to 2^31 - 1, then to 2^32 - 1 (which has the forbidden bit), then a large command.
        for size in [[0x7f, 0xff, 0xff, 0xff], [0xff; 4]] {
            let mut chunk = vec![2, 0, 0, 0, 0, 0, 4, 1, 0, 0, 0, 0];
            chunk.extend_from_slice(&size);
            let _ = stream.write_all(&chunk);
        }
        let _ = stream.write_all(&[3, 0, 0, 0, 0xff, 0xff, 0xff, 20, 0, 0, 0, 0]);
        let _ = stream.write_all(&[0; 100_000]);
        stream
    });
}

/// A command of `len` bytes as one message in chunks of 128.
fn command(payload: &[u8]) -> Vec<u8> {
    let len = payload.len() as u32;
    let [_, l2, l1, l0] = len.to_be_bytes();
    let mut bytes = vec![3, 0, 0, 0, l2, l1, l0, 20, 0, 0, 0, 0];
    for (index, chunk) in payload.chunks(128).enumerate() {
        if index > 0 {
            bytes.push(0xc3);
        }
        bytes.extend_from_slice(chunk);
    }
    bytes
}

#[test]
fn a_million_amf_objects() {
    attack(512 << 10, |address| {
        let mut stream = raw(address);
        // connect, 1, then objects: nested, as many as are taken.
        let mut payload = b"\x02\0\x07connect\0\x3f\xf0\0\0\0\0\0\0".to_vec();
        payload.extend_from_slice(&b"\x03\0\x01a".repeat(15_000));
        let _ = stream.write_all(&command(&payload));
        // And flat ones in one command after the other.
        let mut payload = b"\x02\0\x07connect\0\x3f\xf0\0\0\0\0\0\0".to_vec();
        payload.extend_from_slice(&b"\x03\0\0\x09".repeat(15_000));
        for _ in 0..70 {
            if stream.write_all(&command(&payload)).is_err() {
                break;
            }
        }
        stream
    });
}

#[test]
fn questions_whose_answers_are_never_read() {
    attack(512 << 10, |address| {
        let mut stream = raw(address);
        stream.set_write_timeout(Some(Duration::from_secs(1))).unwrap();
        // User control, ping request: each is to be answered.
        let ping = [2, 0, 0, 0, 0, 0, 6, 4, 0, 0, 0, 0, 0, 6, 0, 0, 0, 0];
        for _ in 0..20 {
            if stream.write_all(&ping.repeat(1_000)).is_err() {
                break;
            }
        }
        stream
    });
}

#[test]
fn many_silent_connections() {
    attack(64 << 10, |address| TcpStream::connect(address).unwrap());
}
