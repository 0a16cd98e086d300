//! Addresses: what counts as one, and how one is remembered without being kept.

use std::fmt;
use std::net::{IpAddr, Ipv4Addr, Ipv6Addr};

use serde::{Deserialize, Serialize};

/// Bits of an IPv6 address that name a subscriber: who has a /64 has all addresses in it.
const IPV6_BITS: u32 = 64;

/// What counts as one address: a whole IPv4 address, or an IPv6 /64.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct AddressKey(IpAddr);

impl AddressKey {
    #[must_use]
    pub fn of(address: IpAddr) -> Self {
        match address.to_canonical() {
            IpAddr::V4(v4) => Self(IpAddr::V4(v4)),
            IpAddr::V6(v6) => {
                let mask = u128::MAX << (128 - IPV6_BITS);
                Self(IpAddr::V6(Ipv6Addr::from(u128::from(v6) & mask)))
            }
        }
    }

    /// Different keys have different bytes.
    pub(crate) fn bytes(&self) -> [u8; 17] {
        let (kind, address) = match self.0 {
            IpAddr::V4(v4) => (4, v4.to_ipv6_mapped()),
            IpAddr::V6(v6) => (6, v6),
        };
        let mut bytes = [kind; 17];
        bytes.iter_mut().zip(address.octets()).for_each(|(to, from)| *to = from);
        bytes
    }
}

impl Default for AddressKey {
    fn default() -> Self {
        Self(IpAddr::V4(Ipv4Addr::UNSPECIFIED))
    }
}

/// An [`AddressKey`], hashed with a salt that is forgotten after some days: good for telling whether two are the
/// same, and for nothing once the salt is gone.
#[derive(Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord, Serialize, Deserialize)]
#[serde(try_from = "String", into = "String")]
pub struct AddressHash([u8; 16]);

/// Why a text is not an [`AddressHash`].
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("not 32 hexadecimal digits")]
pub struct NotAHash;

impl AddressHash {
    pub(crate) fn new(bytes: [u8; 16]) -> Self {
        Self(bytes)
    }

    pub(crate) fn bytes(&self) -> &[u8; 16] {
        &self.0
    }
}

impl fmt::Display for AddressHash {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.0.iter().try_for_each(|byte| write!(f, "{byte:02x}"))
    }
}

impl fmt::Debug for AddressHash {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        fmt::Display::fmt(self, f)
    }
}

impl From<AddressHash> for String {
    fn from(hash: AddressHash) -> Self {
        hash.to_string()
    }
}

impl TryFrom<String> for AddressHash {
    type Error = NotAHash;

    fn try_from(text: String) -> Result<Self, NotAHash> {
        u128::from_str_radix(&text, 16)
            .ok()
            .map(|number| Self(number.to_be_bytes()))
            .filter(|hash| hash.to_string() == text)
            .ok_or(NotAHash)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn key(text: &str) -> AddressKey {
        AddressKey::of(text.parse().unwrap())
    }

    #[test]
    fn one_subscriber_is_one_address() {
        assert_eq!(key("2001:db8:1:2::1"), key("2001:db8:1:2:ffff::9"));
        assert_ne!(key("2001:db8:1:2::1"), key("2001:db8:1:3::1"));
        assert_ne!(key("192.0.2.1"), key("192.0.2.2"));
        assert_eq!(key("::ffff:192.0.2.1"), key("192.0.2.1"));
        assert_ne!(key("::").bytes(), key("0.0.0.0").bytes());
    }

    #[test]
    fn a_hash_is_32_digits() {
        let hash = AddressHash::new([0, 1, 2, 3, 4, 5, 6, 7, 8, 9, 10, 11, 12, 13, 14, 255]);
        let text = String::from(hash);
        assert_eq!(text, "000102030405060708090a0b0c0d0eff");
        assert_eq!(AddressHash::try_from(text), Ok(hash));
        for bad in ["", "0", "+00102030405060708090a0b0c0d0eff", "000102030405060708090A0B0C0D0EFF"] {
            assert_eq!(AddressHash::try_from(bad.to_owned()), Err(NotAHash), "{bad}");
        }
    }
}
