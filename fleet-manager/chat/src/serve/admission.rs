//! Who may hold a connection: so many in all, so many of one address, and so many that have not joined yet.

use std::collections::{BTreeMap, HashMap};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use prometheus_client::metrics::counter::Counter;
use tokio::task::AbortHandle;

use crate::clock;
use crate::config::Connections;
use crate::connection::link::Link;
use crate::frame::code;
use crate::limits::AddressKey;

/// Why there is no place.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Full {
    /// For anybody.
    All,
    /// For this address.
    Address,
}

#[derive(Debug)]
pub struct Admission {
    max: usize,
    per_address: usize,
    max_unjoined: usize,
    evicted: Counter,
    state: Mutex<State>,
}

#[derive(Debug, Default)]
struct State {
    seats: usize,
    by_address: HashMap<AddressKey, usize>,
    /// Oldest first.
    unjoined: BTreeMap<u64, Who>,
    next: u64,
}

#[derive(Debug)]
enum Who {
    /// Just accepted.
    New,
    /// In the TLS handshake or before the end of the request's head.
    Task(AbortHandle),
    /// Before its `join`.
    Link(Arc<Link>),
}

/// One of the connections of an address, until it is dropped.
#[derive(Debug)]
pub struct Seat {
    admission: Arc<Admission>,
    address: AddressKey,
}

/// One of the connections that have not joined, until it is dropped.
#[derive(Debug)]
pub struct Unjoined {
    admission: Arc<Admission>,
    id: u64,
}

impl Admission {
    #[must_use]
    pub fn new(limits: &Connections, evicted: Counter) -> Arc<Self> {
        Arc::new(Self {
            max: limits.max,
            per_address: limits.per_address,
            max_unjoined: limits.max_unjoined,
            evicted,
            state: Mutex::default(),
        })
    }

    /// A new connection. There is always a place: the connection that has taken longest loses its own.
    #[must_use]
    pub fn accept(self: &Arc<Self>) -> Unjoined {
        let (id, loser) = {
            let mut state = self.lock();
            let id = state.next;
            state.next += 1;
            state.unjoined.insert(id, Who::New);
            let loser =
                if state.unjoined.len() > self.max_unjoined { state.unjoined.pop_first() } else { None };
            (id, loser)
        };
        if let Some((_, who)) = loser {
            self.evicted.inc();
            who.evict();
        }
        Unjoined { admission: Arc::clone(self), id }
    }

    /// A place for a connection of an address.
    ///
    /// # Errors
    /// Whose places are all taken.
    pub fn seat(self: &Arc<Self>, address: AddressKey) -> Result<Seat, Full> {
        let mut state = self.lock();
        if state.seats >= self.max {
            return Err(Full::All);
        }
        let of_address = state.by_address.entry(address).or_default();
        if *of_address >= self.per_address {
            return Err(Full::Address);
        }
        *of_address += 1;
        state.seats += 1;
        Ok(Seat { admission: Arc::clone(self), address })
    }

    /// Connections that have not joined.
    #[must_use]
    pub fn unjoined(&self) -> usize {
        self.lock().unjoined.len()
    }

    /// Ends all that have not joined: the process stops.
    pub fn stop(&self) {
        let unjoined = std::mem::take(&mut self.lock().unjoined);
        for who in unjoined.into_values() {
            match who {
                Who::New => {}
                Who::Task(task) => task.abort(),
                Who::Link(link) => {
                    link.close(code::GOING_AWAY, "the chat restarts; connect again", clock::ticks());
                }
            }
        }
    }

    fn lock(&self) -> MutexGuard<'_, State> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Who {
    fn evict(self) {
        match self {
            Self::New => {}
            Self::Task(task) => task.abort(),
            Self::Link(link) => {
                link.close(code::JOIN_EXPECTED, "too many connections have not joined", clock::ticks());
            }
        }
    }
}

impl Unjoined {
    /// The task that looks after the connection; aborted at once if the place is lost already.
    pub fn is_run_by(admission: &Admission, id: u64, task: AbortHandle) {
        if let Some(who) = admission.lock().unjoined.get_mut(&id) {
            *who = Who::Task(task);
        } else {
            task.abort();
        }
    }

    #[must_use]
    pub fn id(&self) -> u64 {
        self.id
    }

    /// From now on it can be closed in words.
    pub fn is_now(&self, link: &Arc<Link>) {
        let mut state = self.admission.lock();
        if let Some(who) = state.unjoined.get_mut(&self.id) {
            *who = Who::Link(Arc::clone(link));
        } else {
            drop(state);
            Who::Link(Arc::clone(link)).evict();
        }
    }
}

impl Drop for Unjoined {
    fn drop(&mut self) {
        self.admission.lock().unjoined.remove(&self.id);
    }
}

impl Drop for Seat {
    fn drop(&mut self) {
        let mut state = self.admission.lock();
        state.seats = state.seats.saturating_sub(1);
        if let Some(of_address) = state.by_address.get_mut(&self.address) {
            *of_address -= 1;
            if *of_address == 0 {
                state.by_address.remove(&self.address);
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::connection::link::{End, Limits};

    fn admission(limits: &Connections) -> Arc<Admission> {
        Admission::new(limits, Counter::default())
    }

    fn address(text: &str) -> AddressKey {
        AddressKey::of(text.parse().unwrap())
    }

    fn link() -> Arc<Link> {
        Link::new(None, Limits { bytes: 100, age_ms: 100 }, 0)
    }

    #[test]
    fn each_address_has_its_places_and_all_have_theirs() {
        let admission = admission(&Connections { max: 3, per_address: 2, ..Connections::default() });
        let one = address("2001:db8::1");
        let first = admission.seat(one).unwrap();
        let second = admission.seat(address("2001:db8::2")).unwrap();
        assert_eq!(admission.seat(one).unwrap_err(), Full::Address, "one subscriber's network");
        let third = admission.seat(address("192.0.2.1")).unwrap();
        assert_eq!(admission.seat(address("192.0.2.2")).unwrap_err(), Full::All);
        drop(third);
        drop(first);
        let again = admission.seat(one).unwrap();
        drop((second, again));
        assert!(admission.lock().by_address.is_empty());
    }

    #[test]
    fn whoever_has_taken_longest_makes_room() {
        let admission = admission(&Connections { max_unjoined: 2, ..Connections::default() });
        let links: Vec<_> = (0..4).map(|_| link()).collect();
        let places: Vec<_> = links
            .iter()
            .map(|link| {
                let place = admission.accept();
                place.is_now(link);
                place
            })
            .collect();
        let ends: Vec<_> = links.iter().map(|link| link.end()).collect();
        let closed = Some(End::Closed(code::JOIN_EXPECTED));
        assert_eq!(ends, [closed, closed, None, None]);
        assert_eq!((admission.unjoined(), admission.evicted.get()), (2, 2));
        drop(places);
        assert_eq!(admission.unjoined(), 0);
        let late = admission.accept();
        drop((admission.accept(), admission.accept()));
        admission.stop();
        let link = link();
        late.is_now(&link);
        assert_eq!(link.end(), closed, "its place was gone before it had a link");
    }
}
