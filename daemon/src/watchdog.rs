//! Telling systemd that the process lives, for as long as its work moves.
//!
//! A process names the parts that it cannot do its work without. Each part beats when it was seen to work: a loop when it
//! turns, a server when it answers. Only while all of them beat does systemd hear anything, and when it hears nothing for
//! `WatchdogSec=` it starts the process anew. A part that ends without the process ending beats no more.
//!
//! Without a watchdog in the unit, and without systemd, all of this does nothing.

use std::io;
use std::net::{IpAddr, Ipv4Addr, SocketAddr};
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
use tokio::net::TcpStream;
use tokio::time::{Instant, MissedTickBehavior};

use crate::systemd;

/// Beats per period: one may be missed, and another be late, on a busy machine.
const BEATS: u32 = 4;

/// The parts of one process.
#[derive(Debug, Clone)]
pub struct Watchdog {
    /// Within which each part has to beat. `None`: nobody watches.
    period: Option<Duration>,
    parts: Arc<Mutex<Vec<Arc<Part>>>>,
}

#[derive(Debug)]
struct Part {
    name: &'static str,
    last: Mutex<Instant>,
}

impl Watchdog {
    /// As the unit says: parts have to beat within half of `WatchdogSec=`.
    #[must_use]
    pub fn of_unit() -> Self {
        Self { period: systemd::watchdog_interval(), parts: Arc::default() }
    }

    /// One with a period of its own.
    #[must_use]
    pub fn with_period(period: Duration) -> Self {
        Self { period: Some(period), parts: Arc::default() }
    }

    /// One that watches nothing.
    #[must_use]
    pub fn off() -> Self {
        Self { period: None, parts: Arc::default() }
    }

    /// One more part. It counts as alive now, and has to beat from now on.
    #[must_use]
    pub fn part(&self, name: &'static str) -> Beat {
        let part = Arc::new(Part { name, last: Mutex::new(Instant::now()) });
        lock(&self.parts).push(part.clone());
        Beat { part, every: self.period.map(|period| period / BEATS) }
    }

    /// The parts that did not beat within the period before `now`.
    #[must_use]
    pub fn late(&self, now: Instant) -> Vec<&'static str> {
        let Some(period) = self.period else { return Vec::new() };
        let is_late = |part: &&Arc<Part>| now.saturating_duration_since(*lock(&part.last)) > period;
        lock(&self.parts).iter().filter(is_late).map(|part| part.name).collect()
    }

    /// Tells systemd again and again, while nothing is late. Never returns.
    pub async fn run(self) {
        self.run_with(systemd::alive).await;
    }

    /// [`run`](Self::run) with something else to call than systemd.
    pub async fn run_with(self, mut alive: impl FnMut()) {
        let Some(period) = self.period else { return std::future::pending().await };
        let mut tick = ticks(period / BEATS);
        let mut known = Vec::new();
        loop {
            tick.tick().await;
            let late = self.late(Instant::now());
            for name in late.iter().filter(|name| !known.contains(*name)) {
                log::error!("nothing moves for {} s: {name}", period.as_secs_f32());
            }
            for name in known.iter().filter(|name| !late.contains(*name)) {
                log::info!("moves again: {name}");
            }
            if late.is_empty() {
                alive();
            }
            known = late;
        }
    }
}

/// One part's way to say that it works.
#[derive(Debug, Clone)]
pub struct Beat {
    part: Arc<Part>,
    every: Option<Duration>,
}

impl Beat {
    /// The part was seen to work.
    pub fn beat(&self) {
        self.beat_at(Instant::now());
    }

    /// [`beat`](Self::beat) at a time of the caller's.
    pub fn beat_at(&self, now: Instant) {
        *lock(&self.part.last) = now;
    }

    /// How often somebody has to look whether the part works; `None`: nobody watches.
    #[must_use]
    pub fn every(&self) -> Option<Duration> {
        self.every
    }

    /// An arm for a loop's `select!`: completes when it is time to beat, and has beaten then. Loses nothing when it is
    /// dropped.
    pub async fn turn(&self) {
        let Some(every) = self.every else { return std::future::pending().await };
        let due = *lock(&self.part.last) + every;
        tokio::time::sleep_until(due).await;
        self.beat();
    }

    /// Beats for as long as the runtime, or the thread, that it is spawned on gives it its turn. Never returns.
    pub async fn turning(self) {
        loop {
            self.turn().await;
        }
    }

    /// Beats as often as the process's own server at `address` answers `GET /healthz` as it has to. Never returns.
    pub async fn answering(self, address: SocketAddr, expected: Expected) {
        let Some(every) = self.every else { return std::future::pending().await };
        let address = reachable(address);
        let mut tick = ticks(every);
        loop {
            tick.tick().await;
            // Within the whole period: a machine that is busy answers late.
            match tokio::time::timeout(every * BEATS, ask(address, expected)).await {
                Ok(Ok(())) => self.beat(),
                Ok(Err(error)) => log::warn!("{} does not answer at {address}: {error}", self.part.name),
                Err(_) => log::warn!("{} does not answer at {address} in time", self.part.name),
            }
        }
    }
}

/// What a server has to say to a plain request.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Expected {
    /// 200.
    Ok,
    /// Anything: TLS answers with an alert, and somebody accepted and read.
    Answer,
}

/// Where this machine reaches a server that listens there.
#[must_use]
pub fn reachable(address: SocketAddr) -> SocketAddr {
    if address.ip().is_unspecified() {
        // The unspecified address of IPv6 takes IPv4 too, and every machine has this one.
        return SocketAddr::new(IpAddr::V4(Ipv4Addr::LOCALHOST), address.port());
    }
    address
}

async fn ask(address: SocketAddr, expected: Expected) -> io::Result<()> {
    const REQUEST: &[u8] = b"GET /healthz HTTP/1.1\r\nhost: localhost\r\nconnection: close\r\n\r\n";
    const OK: &[u8] = b"HTTP/1.1 200";
    let mut stream = TcpStream::connect(address).await?;
    let mut answer = Vec::with_capacity(OK.len());
    let asked = async {
        stream.write_all(REQUEST).await?;
        stream.take(OK.len() as u64).read_to_end(&mut answer).await
    };
    match asked.await {
        Ok(_) => {}
        // Closed before the request was read, as below.
        Err(error) if matches!(error.kind(), io::ErrorKind::ConnectionReset | io::ErrorKind::BrokenPipe) => {}
        Err(error) => return Err(error),
    }
    // Closed at once is what a full server does: it lives, and starting it anew would help nobody.
    if answer.is_empty() || expected == Expected::Answer || answer == OK {
        return Ok(());
    }
    let said = String::from_utf8_lossy(&answer).into_owned();
    Err(io::Error::new(io::ErrorKind::InvalidData, format!("it says {said:?}")))
}

fn ticks(every: Duration) -> tokio::time::Interval {
    let mut tick = tokio::time::interval(every.max(Duration::from_millis(1)));
    tick.set_missed_tick_behavior(MissedTickBehavior::Delay);
    tick
}

fn lock<T>(value: &Mutex<T>) -> std::sync::MutexGuard<'_, T> {
    value.lock().unwrap_or_else(PoisonError::into_inner)
}

#[cfg(test)]
mod tests {
    use tokio::net::TcpListener;

    use super::*;

    const PERIOD: Duration = Duration::from_secs(10);

    #[test]
    fn one_late_part_is_enough() {
        let watchdog = Watchdog::with_period(PERIOD);
        let (loop_, disk) = (watchdog.part("loop"), watchdog.part("disk"));
        let start = Instant::now();
        let at = |seconds| start + Duration::from_secs(seconds);
        loop_.beat_at(at(0));
        disk.beat_at(at(0));
        assert_eq!(watchdog.late(at(10)), Vec::<&str>::new());
        loop_.beat_at(at(10));
        assert_eq!(watchdog.late(at(11)), ["disk"]);
        assert_eq!(watchdog.late(at(21)), ["loop", "disk"]);
        disk.beat_at(at(21));
        loop_.beat_at(at(21));
        assert_eq!(watchdog.late(at(22)), Vec::<&str>::new());
    }

    #[test]
    fn a_part_that_is_gone_is_late() {
        let watchdog = Watchdog::with_period(PERIOD);
        drop(watchdog.part("loop"));
        assert_eq!(watchdog.late(Instant::now() + 2 * PERIOD), ["loop"]);
    }

    #[test]
    fn without_a_watchdog_nothing_is_late() {
        let watchdog = Watchdog::off();
        let _loop = watchdog.part("loop");
        assert!(watchdog.late(Instant::now() + 100 * PERIOD).is_empty());
    }

    #[tokio::test]
    async fn silence_while_a_part_is_late_and_life_when_it_is_back() {
        let watchdog = Watchdog::with_period(Duration::from_millis(80));
        let turning = tokio::spawn(watchdog.part("loop").turning());
        let stuck = watchdog.part("stuck");
        let (say, mut said) = tokio::sync::mpsc::unbounded_channel();
        let running = tokio::spawn(watchdog.clone().run_with(move || {
            // The test may be over.
            let _ = say.send(());
        }));
        said.recv().await.unwrap();
        // Nobody beats for it until it is late; from then on nothing is said.
        while watchdog.late(Instant::now()) != ["stuck"] {
            tokio::time::sleep(Duration::from_millis(5)).await;
        }
        while said.try_recv().is_ok() {}
        assert!(tokio::time::timeout(Duration::from_millis(200), said.recv()).await.is_err());
        stuck.beat();
        said.recv().await.unwrap();
        turning.abort();
        running.abort();
    }

    async fn server(answer: &'static [u8]) -> SocketAddr {
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let address = listener.local_addr().unwrap();
        tokio::spawn(async move {
            loop {
                let (mut stream, _) = listener.accept().await.unwrap();
                if !answer.is_empty() {
                    let mut request = [0; 512];
                    let _ = stream.read(&mut request).await.unwrap();
                    stream.write_all(answer).await.unwrap();
                }
            }
        });
        address
    }

    #[tokio::test]
    async fn servers_are_believed_what_they_say() {
        let good = server(b"HTTP/1.1 200 OK\r\n\r\nok\n").await;
        let bad = server(b"HTTP/1.1 503 Service Unavailable\r\n\r\n").await;
        let alert = server(b"\x15\x03\x03\x00\x02\x02\x46").await;
        let full = server(b"").await;
        ask(good, Expected::Ok).await.unwrap();
        ask(full, Expected::Ok).await.unwrap();
        ask(alert, Expected::Answer).await.unwrap();
        assert!(ask(bad, Expected::Ok).await.unwrap_err().to_string().contains("503"));
        assert!(ask(alert, Expected::Ok).await.is_err());
        let nobody = TcpListener::bind("127.0.0.1:0").await.unwrap().local_addr().unwrap();
        assert!(ask(nobody, Expected::Answer).await.is_err());
    }

    #[test]
    fn a_server_on_every_address_is_asked_on_this_machine() {
        for (listens, asked) in [
            ("0.0.0.0:80", "127.0.0.1:80"),
            ("[::]:1935", "127.0.0.1:1935"),
            ("[::1]:8080", "[::1]:8080"),
            ("192.0.2.1:443", "192.0.2.1:443"),
        ] {
            assert_eq!(reachable(listens.parse().unwrap()), asked.parse().unwrap());
        }
    }
}
