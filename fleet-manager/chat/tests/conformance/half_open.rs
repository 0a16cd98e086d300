//! Connections that are opened and left: by thousands, from many addresses, at each stage of the way in.

use std::io::{ErrorKind, Read as _, Write as _};
use std::net::{SocketAddr, TcpStream};
use std::time::{Duration, Instant};

use rustix::process::{Resource, getrlimit};
use socket2::{Domain, Socket, Type};

use super::bystanders::Bystanders;
use super::service::Service;
use super::wire::{Raw, request};

const WISHED: usize = 10_000;
/// Of this process, beside the connections: the runtime's, the log's, the bystanders'.
const SPARE_FILES: usize = 200;
/// From one address: what the service allows one.
const PER_ADDRESS: usize = 50;
const DEADLINE: Duration = Duration::from_secs(60);

/// As many as are wished, or as this process may have open.
fn count() -> usize {
    let files =
        getrlimit(Resource::Nofile).current.map_or(usize::MAX, |files| usize::try_from(files).unwrap());
    WISHED.min(files - SPARE_FILES)
}

/// The `index`th connection, from one of many addresses of this machine.
fn connect(to: SocketAddr, index: usize) -> TcpStream {
    let address = index / PER_ADDRESS;
    let from = SocketAddr::from((
        [127, 1, u8::try_from(address / 250).unwrap(), u8::try_from(address % 250 + 1).unwrap()],
        0,
    ));
    let socket = Socket::new(Domain::IPV4, Type::STREAM, None).unwrap();
    socket.bind(&from.into()).unwrap();
    socket.connect(&to.into()).unwrap();
    socket.into()
}

/// Reads until the service ends the connection; what it said.
fn ended(stream: &mut TcpStream) -> Vec<u8> {
    stream.set_read_timeout(Some(DEADLINE)).unwrap();
    let mut all = Vec::new();
    match stream.read_to_end(&mut all) {
        Ok(_) => {}
        Err(error) if error.kind() == ErrorKind::ConnectionReset => {}
        Err(error) => panic!("the service does not end it: {error}"),
    }
    all
}

#[test]
fn ten_thousand_half_open_connections_keep_nobody_out_and_end() {
    let mut service = Service::start("[connections]\nhandshake_s = 3\njoin_s = 3\n");
    let bystanders = Bystanders::start(&service);
    let count = count();
    let started = Instant::now();
    let mut half_open: Vec<TcpStream> = (0..count)
        .map(|index| {
            let mut stream = connect(service.address, index);
            // A third says nothing, a third begins a request, a third has its WebSocket and never joins.
            let request = request("/ws");
            let _ = match index % 3 {
                0 => Ok(()),
                1 => stream.write_all(&request.as_bytes()[..index % request.len()]),
                _ => stream.write_all(format!("{request}\r\n").as_bytes()),
            };
            stream
        })
        .collect();
    println!("{count} half-open connections in {:?}", started.elapsed());
    // At their height somebody new is let in at once.
    let _newcomer = Raw::joined(service.address, "newcomers", None);
    let mut told = 0;
    for stream in &mut half_open {
        let said = ended(stream);
        // 4000 in a close frame; those who were pushed out by later ones may be ended without a word.
        told += usize::from(said.windows(2).any(|two| two == 4_000_u16.to_be_bytes()));
    }
    println!("all ended after {:?}, {told} were told why", started.elapsed());
    assert!(told > 0);
    let _newcomer = Raw::joined(service.address, "newcomers", None);
    bystanders.finish();
    service.is_well();
}

#[test]
fn who_does_not_join_in_time_is_told_so() {
    let mut service = Service::start("[connections]\njoin_s = 1\n");
    let mut idle: Vec<_> = (0..50).map(|_| Raw::connect(service.address)).collect();
    for raw in &mut idle {
        assert_eq!(raw.closed().0, 4_000);
    }
    // A sign of life is no join.
    let mut raw = Raw::connect(service.address);
    raw.send(&super::wire::frame(super::wire::FIN | super::wire::PING, b""));
    assert_eq!(raw.closed().0, 4_000);
    service.is_well();
}

#[test]
fn a_head_that_comes_byte_by_byte_has_no_more_time_than_others() {
    let mut service = Service::start("[connections]\nhandshake_s = 1\n");
    let mut stream = TcpStream::connect(service.address).unwrap();
    let started = Instant::now();
    for byte in request("/ws").bytes().cycle() {
        assert!(started.elapsed() < DEADLINE, "it goes on for ever");
        if stream.write_all(&[byte]).is_err() {
            break;
        }
        std::thread::sleep(Duration::from_millis(50));
    }
    service.is_well();
}
