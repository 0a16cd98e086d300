//! Who may hold a connection: so many in all, and so many from one address. A peer over a limit is
//! let in as a guest, only to be told why it cannot stay; guests are limited too.

use std::collections::HashMap;
use std::net::{IpAddr, Ipv6Addr};
use std::sync::{Arc, Mutex, PoisonError};

/// Guests at a time. A guest costs a handshake and a few kilobytes; without a bound a flood of peers
/// over the limit would be as dear as the limit prevents.
const GUESTS: usize = 32;

/// An address as far as one peer can vary it: an IPv4 address, or the /64 that an IPv6 host can choose in.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub struct Origin(IpAddr);

impl From<IpAddr> for Origin {
    fn from(address: IpAddr) -> Self {
        match address.to_canonical() {
            IpAddr::V4(address) => Self(IpAddr::V4(address)),
            IpAddr::V6(address) => {
                let network = u128::from(address) & !u128::from(u64::MAX);
                Self(IpAddr::V6(Ipv6Addr::from(network)))
            }
        }
    }
}

/// The limit that a guest ran into; the text is for the streamer.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
pub enum Full {
    #[error("this server is full; try again later or use another server")]
    Total,
    #[error("too many connections from your address; close another encoder first")]
    Address,
}

/// What becomes of a new connection. The permit counts until it is dropped.
#[derive(Debug)]
pub enum Verdict {
    Admitted(Permit),
    Guest(Permit, Full),
    /// No room even for a refusal: close at once.
    Closed(Full),
}

#[derive(Debug)]
pub struct Admission {
    counts: Mutex<Counts>,
}

#[derive(Debug, Default)]
struct Counts {
    /// The limits; both may move at any time.
    connections: usize,
    per_address: usize,
    total: usize,
    guests: usize,
    by_origin: HashMap<Origin, usize>,
}

/// One admitted connection, or one guest.
#[derive(Debug)]
pub struct Permit {
    admission: Arc<Admission>,
    /// `None`: a guest.
    origin: Option<Origin>,
}

impl Admission {
    #[must_use]
    pub fn new(connections: usize, per_address: usize) -> Arc<Self> {
        Arc::new(Self { counts: Mutex::new(Counts { connections, per_address, ..Counts::default() }) })
    }

    /// For connections from now on; who is in stays.
    pub fn set_limits(&self, connections: usize, per_address: usize) {
        let mut counts = self.counts.lock().unwrap_or_else(PoisonError::into_inner);
        counts.connections = connections;
        counts.per_address = per_address;
    }

    pub fn admit(self: &Arc<Self>, origin: Origin) -> Verdict {
        let mut counts = self.counts.lock().unwrap_or_else(PoisonError::into_inner);
        let from_origin = counts.by_origin.get(&origin).copied().unwrap_or(0);
        let full = if counts.total >= counts.connections {
            Full::Total
        } else if from_origin >= counts.per_address {
            Full::Address
        } else {
            counts.total += 1;
            counts.by_origin.insert(origin, from_origin + 1);
            return Verdict::Admitted(Permit { admission: Arc::clone(self), origin: Some(origin) });
        };
        if counts.guests >= GUESTS {
            return Verdict::Closed(full);
        }
        counts.guests += 1;
        Verdict::Guest(Permit { admission: Arc::clone(self), origin: None }, full)
    }

    /// Connections that are admitted now.
    #[must_use]
    pub fn total(&self) -> usize {
        self.counts.lock().unwrap_or_else(PoisonError::into_inner).total
    }
}

impl Drop for Permit {
    fn drop(&mut self) {
        let mut counts = self.admission.counts.lock().unwrap_or_else(PoisonError::into_inner);
        let Some(origin) = self.origin else {
            counts.guests = counts.guests.saturating_sub(1);
            return;
        };
        counts.total = counts.total.saturating_sub(1);
        if let Some(count) = counts.by_origin.get_mut(&origin) {
            *count -= 1;
            if *count == 0 {
                counts.by_origin.remove(&origin);
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn origin(text: &str) -> Origin {
        text.parse::<IpAddr>().unwrap().into()
    }

    #[test]
    fn an_origin_is_what_one_peer_can_vary() {
        assert_eq!(origin("::ffff:192.0.2.1"), origin("192.0.2.1"));
        assert_eq!(origin("2001:db8::1"), origin("2001:db8::ffff:1"));
        assert_ne!(origin("2001:db8::1"), origin("2001:db8:0:1::1"));
        assert_ne!(origin("192.0.2.1"), origin("192.0.2.2"));
    }

    #[test]
    fn each_limit_is_told_apart_and_given_back() {
        let admission = Admission::new(3, 2);
        let first = admission.admit(origin("192.0.2.1"));
        let second = admission.admit(origin("192.0.2.1"));
        assert!(matches!((&first, &second), (Verdict::Admitted(_), Verdict::Admitted(_))));
        assert!(matches!(admission.admit(origin("192.0.2.1")), Verdict::Guest(_, Full::Address)));
        let third = admission.admit(origin("192.0.2.2"));
        assert!(matches!(third, Verdict::Admitted(_)));
        assert!(matches!(admission.admit(origin("192.0.2.3")), Verdict::Guest(_, Full::Total)));
        drop(first);
        assert_eq!(admission.total(), 2);
        assert!(matches!(admission.admit(origin("192.0.2.1")), Verdict::Admitted(_)));
        drop((second, third));
        assert_eq!(admission.total(), 0);
        assert!(admission.counts.lock().unwrap().by_origin.is_empty());
    }

    #[test]
    fn guests_are_limited() {
        let admission = Admission::new(1, 1);
        let _held = admission.admit(origin("192.0.2.1"));
        let guests: Vec<_> = (0..GUESTS).map(|_| admission.admit(origin("192.0.2.9"))).collect();
        assert!(guests.iter().all(|guest| matches!(guest, Verdict::Guest(..))));
        assert!(matches!(admission.admit(origin("192.0.2.9")), Verdict::Closed(Full::Total)));
        drop(guests);
        assert!(matches!(admission.admit(origin("192.0.2.9")), Verdict::Guest(..)));
    }
}
