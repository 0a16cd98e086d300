//! Who is at the other end: the address of the connection, or what a trusted proxy says of it.

use std::net::IpAddr;

use ipnet::IpNet;

use super::http::Head;

/// The client, as far as it can be believed.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct Client {
    pub address: IpAddr,
    /// Somebody says that the request came through a proxy that is not trusted: it is not a neighbour's.
    pub is_doubtful: bool,
}

impl Client {
    /// `X-Forwarded-For` is read from its end, where our proxies write: the first address that is not a trusted proxy
    /// is the client's. What stands before that anybody may have written.
    pub(super) fn of(peer: IpAddr, head: &Head, trusted: &[IpNet]) -> Self {
        let mut address = peer.to_canonical();
        if !is_in(trusted, address) {
            return Self { address, is_doubtful: head.all("x-forwarded-for").next().is_some() };
        }
        for hop in head.items("x-forwarded-for").rev() {
            let Ok(hop) = hop.parse::<IpAddr>() else { return Self { address, is_doubtful: true } };
            address = hop.to_canonical();
            if !is_in(trusted, address) {
                break;
            }
        }
        Self { address, is_doubtful: false }
    }
}

pub(super) fn is_in(nets: &[IpNet], address: IpAddr) -> bool {
    nets.iter().any(|net| net.contains(&address))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::serve::http::read_head;

    async fn client(peer: &str, forwarded: &[&str], trusted: &[&str]) -> (String, bool) {
        let mut text = "GET / HTTP/1.1\r\n".to_owned();
        for value in forwarded {
            text.push_str(&format!("X-Forwarded-For: {value}\r\n"));
        }
        text.push_str("\r\n");
        let head = read_head(&mut text.as_bytes()).await.unwrap();
        let trusted: Vec<IpNet> = trusted.iter().map(|net| net.parse().unwrap()).collect();
        let client = Client::of(peer.parse().unwrap(), &head, &trusted);
        (client.address.to_string(), client.is_doubtful)
    }

    #[tokio::test]
    async fn only_trusted_proxies_are_believed() {
        let ours = ["10.0.0.0/8"];
        let is = |address: &str, is_doubtful| (address.to_owned(), is_doubtful);
        assert_eq!(client("192.0.2.1", &[], &ours).await, is("192.0.2.1", false));
        assert_eq!(client("192.0.2.1", &["10.0.0.1"], &ours).await, is("192.0.2.1", true));
        assert_eq!(client("10.0.0.1", &["203.0.113.9"], &ours).await, is("203.0.113.9", false));
        let chain = ["1.1.1.1, 198.51.100.7", "10.0.0.2"];
        assert_eq!(client("::ffff:10.0.0.1", &chain, &ours).await, is("198.51.100.7", false));
        assert_eq!(client("10.0.0.1", &["203.0.113.9, unknown"], &ours).await, is("10.0.0.1", true));
    }
}
