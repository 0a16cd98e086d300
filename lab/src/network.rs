//! A network of its own for each box, where the kernel lets us make one: the box sees loopback and on it nothing but
//! its own processes and what is forwarded to it, so what it needs besides shows at once, and cutting the
//! forwards cuts the box.

use std::fs::File;
use std::net::{Ipv4Addr, SocketAddr, TcpListener};
use std::os::fd::AsFd as _;
use std::sync::Arc;

use rustix::net::{AddressFamily, SendFlags, SocketFlags, SocketType};
use rustix::thread::{LinkNameSpaceType, UnshareFlags, move_into_link_name_space, unshare_unsafe};
use socket2::{Domain, Socket, Type};

const BACKLOG: i32 = 128;

/// A network namespace. It is gone when nothing holds or uses it any more.
#[derive(Debug, Clone)]
pub struct Namespace {
    link: Arc<File>,
}

impl Namespace {
    /// A new one, in which loopback is up and nothing else is.
    ///
    /// # Errors
    /// When this user may not, or the kernel cannot.
    pub fn create() -> std::io::Result<Self> {
        on_own_thread(|| {
            #[allow(
                unsafe_code,
                reason = "rustix marks unshare as unsafe for what it does to file descriptors"
            )]
            // SAFETY: the network namespace alone is unshared, of a thread that ends with this function.
            unsafe {
                unshare_unsafe(UnshareFlags::NEWNET)?;
            }
            raise_loopback()?;
            Ok(Self { link: Arc::new(File::open("/proc/thread-self/ns/net")?) })
        })
    }

    /// One if the machine gives it; the shared network otherwise.
    #[must_use]
    pub fn if_available() -> Option<Self> {
        Self::create().inspect_err(|error| log::debug!("boxes share this machine's network: {error}")).ok()
    }

    /// Moves the calling thread into it: for a new process between fork and exec.
    ///
    /// # Errors
    /// When the kernel refuses.
    pub(crate) fn enter(&self) -> std::io::Result<()> {
        Ok(move_into_link_name_space(self.link.as_fd(), Some(LinkNameSpaceType::Network))?)
    }
}

/// Where a socket is made: in a box's network, or on the machine's own.
#[derive(Debug, Clone, Default)]
pub(crate) struct Side(pub(crate) Option<Namespace>);

impl Side {
    /// Listens on loopback.
    pub(crate) fn listen(&self, port: u16) -> std::io::Result<TcpListener> {
        self.within(move || {
            let socket = Socket::new(Domain::IPV4, Type::STREAM.nonblocking(), None)?;
            socket.set_reuse_address(true)?;
            socket.bind(&SocketAddr::from((Ipv4Addr::LOCALHOST, port)).into())?;
            socket.listen(BACKLOG)?;
            Ok(socket.into())
        })
    }

    /// A socket that belongs to this network for ever, to connect with.
    pub(crate) fn socket(&self) -> std::io::Result<tokio::net::TcpSocket> {
        let socket = self.within(|| Socket::new(Domain::IPV4, Type::STREAM.nonblocking(), None))?;
        Ok(tokio::net::TcpSocket::from_std_stream(socket.into()))
    }

    fn within<T: Send + 'static>(
        &self,
        make: impl FnOnce() -> std::io::Result<T> + Send + 'static,
    ) -> std::io::Result<T> {
        match self.0.clone() {
            None => make(),
            // The namespace of a thread is its own, and a socket keeps the one that it was made in.
            Some(namespace) => on_own_thread(move || {
                namespace.enter()?;
                make()
            }),
        }
    }
}

fn on_own_thread<T: Send + 'static>(
    work: impl FnOnce() -> std::io::Result<T> + Send + 'static,
) -> std::io::Result<T> {
    std::thread::Builder::new()
        .name("network".to_owned())
        .spawn(work)?
        .join()
        .unwrap_or_else(|_| Err(std::io::Error::other("the thread panicked")))
}

/// What `ip link set lo up` sends: RTM_NEWLINK for the first interface with IFF_UP (rtnetlink(7)).
fn raise_loopback() -> std::io::Result<()> {
    const RTM_NEWLINK: u16 = 16;
    const NLM_F_REQUEST: u16 = 1;
    const IFF_UP: u32 = 1;
    const LOOPBACK: i32 = 1;
    const LEN: u32 = 32;
    let mut message = Vec::with_capacity(LEN as usize);
    // struct nlmsghdr: length, type, flags, sequence, port.
    message.extend(LEN.to_ne_bytes());
    message.extend(RTM_NEWLINK.to_ne_bytes());
    message.extend(NLM_F_REQUEST.to_ne_bytes());
    message.extend([0; 8]);
    // struct ifinfomsg: family and padding, type, index, flags, which flags change.
    message.extend([0; 4]);
    message.extend(LOOPBACK.to_ne_bytes());
    message.extend(IFF_UP.to_ne_bytes());
    message.extend(IFF_UP.to_ne_bytes());
    let socket = rustix::net::socket_with(
        AddressFamily::NETLINK,
        SocketType::RAW,
        SocketFlags::CLOEXEC,
        // NETLINK_ROUTE.
        None,
    )?;
    rustix::net::send(&socket, &message, SendFlags::empty())?;
    Ok(())
}

#[cfg(test)]
mod tests {
    use std::io::{Read as _, Write as _};

    use super::*;

    #[test]
    fn what_listens_in_a_namespace_is_seen_from_there_alone() {
        let Some(namespace) = Namespace::if_available() else { return };
        let inside = Side(Some(namespace));
        let port = crate::ports::free().unwrap();
        let listener = inside.listen(port).unwrap();
        listener.set_nonblocking(false).unwrap();
        assert!(std::net::TcpStream::connect(("127.0.0.1", port)).is_err());

        let address = SocketAddr::from((Ipv4Addr::LOCALHOST, port));
        let mut client = inside.within(move || std::net::TcpStream::connect(address)).unwrap();
        client.write_all(b"here").unwrap();
        drop(client);
        let mut text = String::new();
        listener.accept().unwrap().0.read_to_string(&mut text).unwrap();
        assert_eq!(text, "here");
    }
}
