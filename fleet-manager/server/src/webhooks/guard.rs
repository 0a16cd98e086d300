//! Where messages may go: this server must not become somebody's way into the network that it stands in.
//!
//! Names are judged by the addresses that are then connected to, in the moment of connecting, so that a name cannot
//! point to one address when it is judged and to another one later. Redirects are not followed.

use std::net::{IpAddr, Ipv4Addr, Ipv6Addr, SocketAddr};

use ipnet::IpNet;
use reqwest::Url;
use reqwest::dns::{Addrs, Name, Resolve, Resolving};

/// Longest address, in bytes.
const MAX_URL: usize = 2_000;

/// Why an address is not taken.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub(super) enum Refusal {
    #[error("is not a URL: {0}")]
    NoUrl(String),
    #[error("is longer than {MAX_URL} bytes")]
    TooLong,
    #[error("must begin with https://")]
    Scheme,
    #[error("must not have a user name or password in it: what is sent is signed")]
    Credentials,
    #[error("{0} is not a public address; the configuration can allow its network")]
    Address(IpAddr),
    #[error("{0} has no public address; the configuration can allow its network")]
    Name(String),
}

/// What the configuration allows beyond the public Internet.
#[derive(Debug, Clone, Default)]
pub(super) struct Guard {
    /// Networks that are fine although they are not public.
    pub networks: Vec<IpNet>,
    /// `http://` is fine.
    pub plain: bool,
}

impl Guard {
    /// # Errors
    /// What is wrong with the address. A name is not looked up here.
    pub(super) fn check(&self, url: &str) -> Result<Url, Refusal> {
        if url.len() > MAX_URL {
            return Err(Refusal::TooLong);
        }
        let url = Url::parse(url).map_err(|error| Refusal::NoUrl(error.to_string()))?;
        if url.scheme() != "https" && !(self.plain && url.scheme() == "http") {
            return Err(Refusal::Scheme);
        }
        if !url.username().is_empty() || url.password().is_some() {
            return Err(Refusal::Credentials);
        }
        let host = url.host_str().unwrap_or_default();
        // The parser has made dotted decimals of all ways to write an IPv4 address.
        let literal = host.trim_start_matches('[').trim_end_matches(']').parse::<IpAddr>();
        if let Ok(address) = literal
            && !self.permits(address)
        {
            return Err(Refusal::Address(address));
        }
        Ok(url)
    }

    fn permits(&self, address: IpAddr) -> bool {
        let address = address.to_canonical();
        is_public(address) || self.networks.iter().any(|network| network.contains(&address))
    }
}

impl Resolve for Guard {
    fn resolve(&self, name: Name) -> Resolving {
        let guard = self.clone();
        Box::pin(async move {
            let host = name.as_str().to_owned();
            // The port is put in by the caller.
            let found = tokio::net::lookup_host((host.as_str(), 0)).await?;
            let permitted: Vec<SocketAddr> = found.filter(|found| guard.permits(found.ip())).collect();
            if permitted.is_empty() {
                return Err(Refusal::Name(host).into());
            }
            Ok(Box::new(permitted.into_iter()) as Addrs)
        })
    }
}

/// Whether an address is one of the public Internet (the IANA special-purpose address registries).
fn is_public(address: IpAddr) -> bool {
    match address {
        IpAddr::V4(address) => is_public_v4(address),
        IpAddr::V6(address) => is_public_v6(address),
    }
}

fn is_public_v4(address: Ipv4Addr) -> bool {
    let [a, b, c, _] = address.octets();
    let special = address.is_private()
        || address.is_loopback()
        || address.is_link_local()
        || address.is_multicast()
        || address.is_broadcast()
        || address.is_documentation()
        // This network, shared address space, IETF protocol assignments, 6to4 relays, benchmarking, reserved.
        || a == 0
        || (a == 100 && (64..128).contains(&b))
        || (a, b, c) == (192, 0, 0)
        || (a, b, c) == (192, 88, 99)
        || (a == 198 && (b == 18 || b == 19))
        || a >= 240;
    !special
}

fn is_public_v6(address: Ipv6Addr) -> bool {
    let [a, b, ..] = address.segments();
    // Only global unicast is given out, and in it not documentation, nor what tunnels to an IPv4 address that is not
    // looked at: 6to4, Teredo and the other protocol assignments.
    let global = (a & 0xe000) == 0x2000;
    let special = (a == 0x2001 && (b < 0x0200 || b == 0x0db8)) || a == 0x2002 || a == 0x3fff;
    global && !special
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_the_public_internet_is_public() {
        for public in
            ["1.1.1.1", "93.184.215.14", "172.32.0.1", "2606:4700::1111", "2a00:1450::1", "::ffff:1.1.1.1"]
        {
            assert!(Guard::default().permits(public.parse().unwrap()), "{public}");
        }
        for inner in [
            "0.0.0.0",
            "10.1.2.3",
            "100.64.0.1",
            "127.0.0.1",
            "127.255.0.1",
            "169.254.169.254",
            "172.16.0.1",
            "192.0.0.8",
            "192.0.2.1",
            "192.168.1.1",
            "198.18.0.1",
            "203.0.113.9",
            "224.0.0.1",
            "240.0.0.1",
            "255.255.255.255",
            "::",
            "::1",
            "::ffff:127.0.0.1",
            "::ffff:10.0.0.1",
            "::127.0.0.1",
            "64:ff9b::a00:1",
            "fc00::1",
            "fd12::1",
            "fe80::1",
            "fec0::1",
            "ff02::1",
            "2001::1",
            "2001:db8::1",
            "2002:a00:1::",
        ] {
            assert!(!Guard::default().permits(inner.parse().unwrap()), "{inner}");
        }
    }

    #[test]
    fn addresses_in_any_spelling_are_judged() {
        let guard = Guard::default();
        for bad in [
            "https://127.0.0.1/x",
            "https://127.1/",
            "https://0x7f000001/",
            "https://2130706433/",
            "https://0177.0.0.1/",
            "https://[::1]:8080/",
            "https://[::ffff:10.0.0.1]/",
            "https://169.254.169.254/latest/meta-data/",
        ] {
            assert!(matches!(guard.check(bad), Err(Refusal::Address(_))), "{bad}");
        }
        assert_eq!(guard.check("http://example.com/").unwrap_err(), Refusal::Scheme);
        assert_eq!(guard.check("ftp://example.com/").unwrap_err(), Refusal::Scheme);
        assert_eq!(guard.check("https://user@example.com/").unwrap_err(), Refusal::Credentials);
        assert_eq!(guard.check(&format!("https://a/{}", "x".repeat(2_000))).unwrap_err(), Refusal::TooLong);
        assert!(matches!(guard.check("nonsense"), Err(Refusal::NoUrl(_))));
        guard.check("https://example.com:8443/hooks?x=1").unwrap();
    }

    #[test]
    fn the_configuration_can_allow_a_network() {
        let guard = Guard { networks: vec!["10.0.0.0/8".parse().unwrap()], plain: true };
        guard.check("http://10.1.2.3:9000/").unwrap();
        assert!(guard.check("http://192.168.0.1/").is_err());
    }

    #[tokio::test]
    async fn a_name_that_points_inside_is_refused_when_it_is_connected_to() {
        let refused = Guard::default().resolve("localhost".parse().unwrap()).await;
        let Err(error) = refused else { panic!("localhost is not public") };
        assert!(error.to_string().contains("no public address"), "{error}");
        let guard =
            Guard { networks: vec!["127.0.0.0/8".parse().unwrap(), "::1/128".parse().unwrap()], plain: true };
        assert!(guard.resolve("localhost".parse().unwrap()).await.is_ok());
    }
}
