//! One session: from the accepted `publish` to its end. The loop is written by hand instead of with
//! `select!`, because it turns once per read: what it waits for is registered once and looked at cheaply.

use std::sync::{Arc, PoisonError};
use std::task::{Context, Poll};
use std::time::{Duration, SystemTime};

use nodi_flv::{SessionFacts, Tag};
use nodi_protocol::stream_key::{Grant, StreamKey};
use nodi_rtmp::Event;
use tokio::time::{Instant, Interval, MissedTickBehavior};

use crate::config::Limits;
use crate::credentials::Credentials;
use crate::ending::Ending;
use crate::handover::Handover;
use crate::health::rate::Rate;
use crate::inspector::Inspector;
use crate::registry::{Ended, Identity, Registration, Report};
use crate::shared::Shared;
use crate::wire::Wire;

/// How often limits over time are looked at and the status is renewed.
const TICK: Duration = Duration::from_secs(1);
/// How long the peer gets to take the reason off our hands; what it does with it is its business.
const TELL: Duration = Duration::from_secs(1);
/// Reads of one turn: a peer that sends without end lets the others have their turn after 512 KiB.
const READS_PER_TURN: usize = 8;

/// Whom a session is for.
pub(crate) struct Admitted {
    pub(crate) grant: Grant,
    /// For the uplink. `None`: the health gate's stream, of which nothing leaves the box.
    pub(crate) key: Option<StreamKey>,
}

/// Runs a session on a connection whose `publish` was granted, and says why it ended. The peer has been told, and
/// the worker has had the rest, when this returns.
pub(crate) async fn run(
    shared: &Arc<Shared>,
    wire: &mut Wire,
    admitted: Admitted,
    encoder: String,
) -> Ending {
    let (registration, credentials) = match open(shared, wire, &admitted) {
        Ok(opened) => opened,
        Err(ending) => {
            // Its texts are for the streamer; that it cannot be written is the connection's end anyway.
            let _ = wire.rtmp.refuse_publish(nodi_rtmp::code::PUBLISH_BAD_NAME, &ending.to_string());
            return ending;
        }
    };
    drop(admitted);
    let identity = registration.identity().clone();
    log::info!(channel:% = identity.channel, session:% = identity.session, peer:% = identity.peer,
        transport = identity.transport, encoder:%; "publishing");
    shared.metrics.published();
    let ending = match wire.rtmp.accept_publish() {
        Ok(()) => {
            wire.resume();
            let mut session = Session::new(shared, wire, registration, encoder);
            session.report();
            let ending = std::future::poll_fn(|cx| session.poll(cx)).await;
            session.report();
            session.note_end(&ending);
            let Stream { handover, .. } = session.stream;
            // The channel is free before the worker has drained.
            drop(session.registration);
            if let Some(code) = ending.code()
                && let Err(error) = wire.rtmp.end_publish(code, &ending.to_string())
            {
                log::error!(session:% = identity.session, error:%; "cannot tell the publisher");
            }
            // The peer hears of it while the worker drains; one that does not read is not waited for.
            let tell = tokio::time::timeout(TELL, wire.send());
            let drain = async {
                if let Some(handover) = handover {
                    handover.finish().await;
                }
            };
            let (_, ()) = tokio::join!(tell, drain);
            ending
        }
        Err(error) => Ending::Protocol(error),
    };
    drop(credentials);
    shared.metrics.ended(ending.label());
    log::info!(channel:% = identity.channel, session:% = identity.session, peer:% = identity.peer,
        reason:% = ending; "session ended");
    ending
}

/// The session's place, and its credentials file.
fn open(
    shared: &Arc<Shared>,
    wire: &Wire,
    Admitted { grant, key }: &Admitted,
) -> Result<(Registration, Option<Credentials>), Ending> {
    let mut random = [0; 16];
    if let Err(error) = getrandom::fill(&mut random) {
        log::error!(error:%; "no random numbers for a session id");
        return Err(Ending::Internal);
    }
    let session = shared
        .ids
        .lock()
        .unwrap_or_else(PoisonError::into_inner)
        .next(SystemTime::now(), u128::from_ne_bytes(random));
    let credentials = key.as_ref().map(|key| shared.credentials.write(&grant.channel, session, key));
    let credentials = credentials.transpose().map_err(|error| {
        log::error!(error:%; "no session without its credentials");
        Ending::Internal
    })?;
    let registration = shared.registry.register(Identity {
        channel: grant.channel.clone(),
        session,
        peer: wire.peer,
        transport: wire.transport_name(),
        key_version: grant.version,
        self_test: key.is_none(),
    });
    // Revoked since the check: whoever walks the registry may have been there before us.
    if key.is_some()
        && let Some(order) = shared.keyring.borrow().objection(&grant.channel, grant.version)
    {
        registration.mailbox().post(order);
    }
    Ok((registration, credentials))
}

struct Session<'a> {
    shared: &'a Shared,
    wire: &'a mut Wire,
    registration: Registration,
    /// Renewed with every tick.
    limits: Arc<Limits>,
    tick: Interval,
    started: Instant,
    /// What was received before this session, on the same connection.
    received_before: u64,
    received_reported: u64,
    rate: Rate,
    stream: Stream,
}

/// What tags go through.
struct Stream {
    inspector: Inspector,
    handover: Option<Handover>,
    /// As the client named itself in `connect`; metadata may know better.
    flash_version: String,
}

impl<'a> Session<'a> {
    fn new(
        shared: &'a Shared,
        wire: &'a mut Wire,
        registration: Registration,
        flash_version: String,
    ) -> Self {
        let identity = registration.identity();
        let worker = &shared.config.worker;
        let handover = worker.socket.clone().map(|socket| {
            let facts = SessionFacts {
                channel: identity.channel.clone(),
                session: identity.session,
                worker: 0,
                encoder: String::new(),
            };
            Handover::new(worker, socket, facts)
        });
        let limits = shared.limits();
        let mut tick = tokio::time::interval_at(Instant::now() + TICK, TICK);
        tick.set_missed_tick_behavior(MissedTickBehavior::Delay);
        Self {
            shared,
            received_before: wire.received,
            received_reported: 0,
            wire,
            tick,
            started: Instant::now(),
            rate: Rate::new(limits.bitrate_window_s),
            stream: Stream { inspector: Inspector::new(Arc::clone(&limits)), handover, flash_version },
            registration,
            limits,
        }
    }

    fn poll(&mut self, cx: &mut Context<'_>) -> Poll<Ending> {
        if let Poll::Ready(order) = self.registration.mailbox().poll(cx) {
            return Poll::Ready(order.into());
        }
        while self.tick.poll_tick(cx).is_ready() {
            if let Err(ending) = self.on_tick() {
                return Poll::Ready(ending);
            }
        }
        let now = self.started.elapsed();
        let mut reads = 0;
        while reads < READS_PER_TURN {
            let stream = &mut self.stream;
            match self.wire.poll_receive(cx, |_, event| stream.take(event, now)) {
                Poll::Ready(Ok(read)) => {
                    reads += 1;
                    if let Err(ending) = self.check_bitrate(read, now) {
                        return Poll::Ready(ending);
                    }
                }
                Poll::Ready(Err(ending)) => return Poll::Ready(ending),
                Poll::Pending => break,
            }
        }
        if reads == READS_PER_TURN {
            cx.waker().wake_by_ref();
        }
        if let Some(handover) = &mut self.stream.handover {
            let Poll::Pending = handover.poll(cx);
        }
        Poll::Pending
    }

    fn check_bitrate(&mut self, read: usize, now: Duration) -> Result<(), Ending> {
        let limits = &self.limits;
        self.rate.add(now, read as u64);
        let bits = self.rate.bytes(now).saturating_mul(8);
        if bits > limits.bitrate_bps.saturating_mul(limits.bitrate_window_s) {
            return Err(Ending::Bitrate {
                bps: bits / limits.bitrate_window_s,
                limit_bps: limits.bitrate_bps,
                window_s: limits.bitrate_window_s,
            });
        }
        Ok(())
    }

    fn on_tick(&mut self) -> Result<(), Ending> {
        self.renew_limits()?;
        let idle = self.limits.idle();
        let silent = self.wire.last_read.elapsed();
        if silent >= idle {
            return Err(Ending::Idle(idle));
        }
        if silent >= (idle / 2).saturating_sub(TICK) {
            // A publisher that only pauses answers; early enough for the next tick to see it.
            let ms = self.started.elapsed().as_millis();
            self.wire.rtmp.ping(u32::try_from(ms).unwrap_or_default())?;
        }
        self.stream.inspector.tick(self.started.elapsed())?;
        if let Some(handover) = &mut self.stream.handover {
            handover.tick()?;
        }
        self.report();
        Ok(())
    }

    /// Before the session's place is given back: whoever misses it there finds it among the ended ones.
    fn note_end(&self, ending: &Ending) {
        let identity = self.registration.identity();
        if identity.self_test {
            return;
        }
        self.shared.registry.note_end(Ended {
            channel: identity.channel.clone(),
            session: identity.session,
            encoder: self.stream.encoder().to_owned(),
            reason: ending.to_string(),
            code: ending.label(),
            live_s: self.started.elapsed().as_secs_f64(),
            received_bytes: self.wire.received - self.received_before,
        });
    }

    /// A stream that was within the old limits and is not within the new ones ends.
    fn renew_limits(&mut self) -> Result<(), Ending> {
        let limits = self.shared.limits();
        if Arc::ptr_eq(&limits, &self.limits) {
            return Ok(());
        }
        if limits.bitrate_window_s != self.limits.bitrate_window_s {
            self.rate = Rate::new(limits.bitrate_window_s);
        }
        self.stream.inspector.set_limits(Arc::clone(&limits));
        self.limits = limits;
        self.check_bitrate(0, self.started.elapsed())
    }

    fn report(&mut self) {
        let received_bytes = self.wire.received - self.received_before;
        self.shared.metrics.received(received_bytes - self.received_reported);
        self.received_reported = received_bytes;
        let (health, mut warnings) = self.stream.inspector.snapshot(self.started.elapsed());
        let handover = self.stream.handover.as_ref();
        warnings.extend(handover.map(Handover::warnings).unwrap_or_default());
        self.registration.report(Report {
            encoder: self.stream.encoder().to_owned(),
            received_bytes,
            health,
            worker: handover.map(Handover::status),
            warnings,
        });
    }
}

impl Stream {
    fn take(&mut self, event: Event, now: Duration) -> Result<(), Ending> {
        match event {
            Event::Tag(tag) => self.take_tag(&tag, now),
            Event::Unpublish(_) => Err(Ending::Unpublished),
            Event::Connect(_) | Event::Publish(_) | Event::Pong { .. } => Ok(()),
        }
    }

    fn take_tag(&mut self, tag: &Tag, now: Duration) -> Result<(), Ending> {
        let Some(class) = self.inspector.inspect(tag, now)? else { return Ok(()) };
        if let Some(handover) = &mut self.handover {
            if !handover.is_begun() && class.is_audio_or_video() {
                // Metadata, and with it the encoder's name, came before.
                handover.begin(self.inspector.encoder().unwrap_or(&self.flash_version));
            }
            handover.take(tag, class).map_err(|error| Ending::Configuration(error.to_string()))?;
        }
        Ok(())
    }

    fn encoder(&self) -> &str {
        self.inspector.encoder().unwrap_or(&self.flash_version)
    }
}
