//! Who is at the other end: the address of the connection, or what a trusted proxy says of it.

use std::net::{IpAddr, SocketAddr};

use axum::extract::FromRequestParts;
use axum::http::HeaderMap;
use axum::http::request::Parts;
use ipnet::IpNet;

use crate::error::Error;

/// The connection as the listener saw it.
#[derive(Debug, Clone, Copy)]
pub struct Peer {
    pub address: SocketAddr,
    /// TLS on this connection.
    pub tls: bool,
}

/// The client, as far as it can be believed.
#[derive(Debug, Clone, Copy)]
pub struct Client {
    pub address: IpAddr,
    /// The client speaks HTTPS, to us or to the proxy.
    pub secure: bool,
}

impl Client {
    /// `X-Forwarded-For` is read from its end, where our proxies write: the first address that is not a trusted proxy
    /// is the client's. What stands before that anybody may have written.
    #[must_use]
    pub fn of(peer: Peer, headers: &HeaderMap, trusted: &[IpNet]) -> Self {
        let is_trusted = |address: IpAddr| trusted.iter().any(|net| net.contains(&address));
        let mut address = peer.address.ip().to_canonical();
        if !is_trusted(address) {
            return Self { address, secure: peer.tls };
        }
        let forwarded: Vec<&str> = headers
            .get_all("x-forwarded-for")
            .iter()
            .filter_map(|value| value.to_str().ok())
            .flat_map(|value| value.split(','))
            .collect();
        for hop in forwarded.into_iter().rev() {
            let Ok(hop) = hop.trim().parse::<IpAddr>() else { break };
            address = hop.to_canonical();
            if !is_trusted(address) {
                break;
            }
        }
        let proto = headers.get("x-forwarded-proto").and_then(|value| value.to_str().ok());
        let secure = peer.tls || proto.is_some_and(|proto| proto.eq_ignore_ascii_case("https"));
        Self { address, secure }
    }
}

impl<S: Send + Sync> FromRequestParts<S> for Client {
    type Rejection = Error;

    async fn from_request_parts(parts: &mut Parts, _: &S) -> Result<Self, Error> {
        parts
            .extensions
            .get::<Self>()
            .copied()
            .ok_or_else(|| Error::Internal("a request without its client".to_owned()))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn client(peer: &str, forwarded: &[&str], trusted: &[&str]) -> (String, bool) {
        let peer = Peer { address: SocketAddr::new(peer.parse().unwrap(), 1), tls: false };
        let mut headers = HeaderMap::new();
        for value in forwarded {
            headers.append("x-forwarded-for", value.parse().unwrap());
        }
        headers.insert("x-forwarded-proto", "https".parse().unwrap());
        let trusted: Vec<IpNet> = trusted.iter().map(|net| net.parse().unwrap()).collect();
        let client = Client::of(peer, &headers, &trusted);
        (client.address.to_string(), client.secure)
    }

    #[test]
    fn only_trusted_proxies_are_believed() {
        assert_eq!(client("192.0.2.1", &["198.51.100.7"], &["10.0.0.0/8"]), ("192.0.2.1".into(), false));
        assert_eq!(client("10.0.0.1", &["198.51.100.7"], &["10.0.0.0/8"]), ("198.51.100.7".into(), true));
    }

    #[test]
    fn what_the_client_wrote_itself_does_not_count() {
        let forwarded = ["1.1.1.1, 198.51.100.7", "10.0.0.2"];
        assert_eq!(client("10.0.0.1", &forwarded, &["10.0.0.0/8"]).0, "198.51.100.7");
        assert_eq!(client("10.0.0.1", &["1.1.1.1, nonsense"], &["10.0.0.0/8"]).0, "10.0.0.1");
    }

    #[test]
    fn mapped_addresses_are_the_same_client() {
        assert_eq!(client("::ffff:10.0.0.1", &["::ffff:198.51.100.7"], &["10.0.0.0/8"]).0, "198.51.100.7");
    }
}
