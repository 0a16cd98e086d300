//! The least that delivering to a room costs: whatever a client says is written to every socket, with one blocking
//! `send` each. No rooms, no queues, no care for the slow: no server that a stranger may talk to can be this.

use std::io::{self, Read as _, Write as _};
use std::net::{SocketAddr, TcpListener, TcpStream};

use rustix::buffer::spare_capacity;
use rustix::event::epoll;
use rustix::net::{SendFlags, send};

use super::wire;

const LISTENER: u64 = u64::MAX;
const EVENTS: usize = 256;
const READ_BYTES: usize = 64 << 10;

/// Serves until the process ends.
///
/// # Errors
/// When the address cannot be had or the kernel refuses something.
pub fn serve(listen: SocketAddr, ready: impl FnOnce(SocketAddr)) -> io::Result<()> {
    let listener = TcpListener::bind(listen)?;
    let poll = epoll::create(epoll::CreateFlags::CLOEXEC)?;
    epoll::add(&poll, &listener, epoll::EventData::new_u64(LISTENER), epoll::EventFlags::IN)?;
    ready(listener.local_addr()?);
    let mut clients: Vec<Option<TcpStream>> = Vec::new();
    let mut events = Vec::with_capacity(EVENTS);
    let mut buffer = vec![0; READ_BYTES];
    let (mut payload, mut frames) = (Vec::new(), Vec::new());
    loop {
        epoll::wait(&poll, spare_capacity(&mut events), None)?;
        for event in events.drain(..) {
            let data = event.data.u64();
            if data == LISTENER {
                let client = accept(&listener)?;
                let data = epoll::EventData::new_u64(clients.len() as u64);
                epoll::add(&poll, &client, data, epoll::EventFlags::IN)?;
                clients.push(Some(client));
                continue;
            }
            let Some(slot) = usize::try_from(data).ok().and_then(|index| clients.get_mut(index)) else {
                continue;
            };
            let Some(client) = slot else { continue };
            let count = client.read(&mut buffer).unwrap_or(0);
            if count == 0 {
                *slot = None;
                continue;
            }
            frames.clear();
            let mut bytes = buffer.get(..count).unwrap_or_default();
            // Loopback cuts no small frame in two; what is not whole is not for a floor to keep.
            while let Some(opcode) = wire::take_masked(&mut bytes, &mut payload)? {
                if opcode == wire::TEXT {
                    wire::put(&mut frames, opcode, &payload);
                }
            }
            if !frames.is_empty() {
                for slot in &mut clients {
                    if let Some(client) = slot
                        && send(&*client, &frames, SendFlags::NOSIGNAL).is_err()
                    {
                        *slot = None;
                    }
                }
            }
        }
    }
}

fn accept(listener: &TcpListener) -> io::Result<TcpStream> {
    let (mut client, _) = listener.accept()?;
    client.set_nodelay(true)?;
    let mut head = Vec::new();
    let mut buffer = [0; 1_024];
    while wire::head_len(&head).is_none() {
        let count = client.read(&mut buffer)?;
        if count == 0 || head.len() > wire::MAX_HEAD {
            return Err(io::Error::other("no handshake"));
        }
        head.extend_from_slice(buffer.get(..count).unwrap_or_default());
    }
    client.write_all(wire::response().as_bytes())?;
    Ok(client)
}
