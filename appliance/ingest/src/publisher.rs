//! One connection from accept to close: TLS, handshake, `connect`, `publish`, the key, and then as many
//! sessions as the publisher makes of it, one after the other.

use std::net::SocketAddr;
use std::sync::{Arc, PoisonError};
use std::task::Poll;
use std::time::{Instant, SystemTime, UNIX_EPOCH};

use nodi_protocol::stream_key::{Refusal, StreamKey};
use nodi_rtmp::{Connection, Event, Publish};
use tokio::net::TcpStream;
use tokio_rustls::TlsAcceptor;

use crate::admission::Full;
use crate::ending::Ending;
use crate::keys::Denial;
use crate::mailbox::Order;
use crate::session::{self, Admitted};
use crate::shared::Shared;
use crate::wire::{Transport, Wire};

/// How every stream key starts; tells it from the other words of a URL.
const KEY_PREFIX: &str = "nodi_";
/// Keys that one `publish` may try: a URL has room for one in the path and one in the query.
const MOST_KEYS: usize = 2;

/// Serves `stream` to its end. `over`: the limit that is exceeded; the peer is only told so.
pub(crate) async fn serve(
    shared: Arc<Shared>,
    stream: TcpStream,
    peer: SocketAddr,
    tls: Option<TlsAcceptor>,
    over: Option<Full>,
) {
    let accepted = tokio::time::Instant::now();
    let limits = shared.limits();
    let transport = match tls {
        None => Transport::Plain(stream),
        Some(acceptor) => match tokio::time::timeout(limits.handshake(), acceptor.accept(stream)).await {
            Ok(Ok(stream)) => Transport::Tls(Box::new(stream)),
            Ok(Err(error)) => return ended_early(&shared, peer, &Ending::Tls(error)),
            Err(_) => return ended_early(&shared, peer, &Ending::HandshakeTimeout(limits.handshake())),
        },
    };
    let rtmp = Connection::new(nodi_rtmp::Limits {
        message_size: limits.message_bytes,
        assembling: limits.message_bytes.saturating_mul(2),
        ..nodi_rtmp::Limits::default()
    });
    let mut wire = Wire::new(transport, peer, rtmp);
    let mut handshake_until = Some(accepted + limits.handshake());
    loop {
        let negotiated = tokio::select! {
            negotiated = negotiate(&shared, &mut wire, handshake_until.take()) => negotiated,
            () = shared.shutdown.wait() => Err(Ending::Ordered(Order::Shutdown)),
        };
        let publish = match negotiated {
            Ok(publish) => publish,
            Err(ending) => {
                ended_early(&shared, peer, &ending);
                return wire.close().await;
            }
        };
        let authorised = match over {
            Some(full) => Err(full.into()),
            None => authorise(&shared, &publish, peer).await,
        };
        let admitted = match authorised {
            Ok(admitted) => admitted,
            Err(ending) => {
                ended_early(&shared, peer, &ending);
                let code = ending.code().unwrap_or(nodi_rtmp::code::PUBLISH_BAD_NAME);
                if let Err(error) = wire.rtmp.refuse_publish(code, &ending.to_string()) {
                    log::error!(peer:%, error:%; "cannot write a refusal");
                }
                return wire.close().await;
            }
        };
        let encoder = publish.connect.flash_version.clone();
        drop(publish);
        match Box::pin(session::run(&shared, &mut wire, admitted, encoder)).await {
            // It may publish again, as some encoders do after a change of settings.
            Ending::Unpublished => wire.resume(),
            _ => return wire.close().await,
        }
    }
}

/// Up to the next `publish`.
async fn negotiate(
    shared: &Shared,
    wire: &mut Wire,
    handshake_until: Option<tokio::time::Instant>,
) -> Result<Publish, Ending> {
    let limits = shared.limits();
    let received_before = wire.received;
    let mut publish = None;
    if let Some(until) = handshake_until {
        let handshake = std::future::poll_fn(|cx| {
            loop {
                if wire.rtmp.is_past_handshake() {
                    return Poll::Ready(Ok(()));
                }
                match wire.poll_receive(cx, |rtmp, event| prepare(rtmp, event, &mut publish)) {
                    Poll::Ready(Ok(_)) => {}
                    Poll::Ready(Err(ending)) => return Poll::Ready(Err(ending)),
                    Poll::Pending => return Poll::Pending,
                }
            }
        });
        match tokio::time::timeout_at(until, handshake).await {
            Ok(done) => done?,
            Err(_) => return Err(Ending::HandshakeTimeout(limits.handshake())),
        }
    }
    let published = std::future::poll_fn(|cx| {
        loop {
            if let Some(publish) = publish.take() {
                return Poll::Ready(Ok(publish));
            }
            if wire.received - received_before > limits.unauthenticated_bytes {
                return Poll::Ready(Err(Ending::UnauthenticatedBytes(limits.unauthenticated_bytes)));
            }
            match wire.poll_receive(cx, |rtmp, event| prepare(rtmp, event, &mut publish)) {
                Poll::Ready(Ok(_)) => {}
                Poll::Ready(Err(ending)) => return Poll::Ready(Err(ending)),
                Poll::Pending => return Poll::Pending,
            }
        }
    });
    match tokio::time::timeout(limits.publish(), published).await {
        Ok(published) => published,
        Err(_) => Err(Ending::PublishTimeout(limits.publish())),
    }
}

fn prepare(rtmp: &mut Connection, event: Event, publish: &mut Option<Publish>) -> Result<(), Ending> {
    match event {
        // Refusals come with `publish`: that is where every encoder shows them.
        Event::Connect(_) => rtmp.accept_connect()?,
        Event::Publish(asked) => *publish = Some(asked),
        Event::Tag(_) | Event::Unpublish(_) | Event::Pong { .. } => {}
    }
    Ok(())
}

/// Whether the box takes anybody, then the key; a wrong one costs its address time.
async fn authorise(shared: &Shared, publish: &Publish, peer: SocketAddr) -> Result<Admitted, Ending> {
    // Before everything that is about strangers: a box is tried while it is drained too, and what is wrong with the
    // gate's key is no reason to keep others of this machine waiting.
    if peer.ip().is_loopback()
        && let Some(judged) = self_test(shared, publish)
    {
        return judged.map_err(Ending::from);
    }
    if shared.in_force.borrow().drain {
        return Err(Ending::Draining);
    }
    let origin = peer.ip().into();
    shared.throttle.lock().unwrap_or_else(PoisonError::into_inner).check(origin, Instant::now())?;
    let denial = match check(shared, publish) {
        Ok(admitted) => return Ok(admitted),
        Err(denial) => denial,
    };
    // The key of a suspended channel is right.
    let wrong = match &denial {
        Denial::Key(refusal) => *refusal != Refusal::Suspended,
        Denial::SelfTest(_) => true,
        Denial::NotReady => false,
    };
    if wrong {
        let delay =
            shared.throttle.lock().unwrap_or_else(PoisonError::into_inner).failed(origin, Instant::now());
        tokio::select! {
            () = tokio::time::sleep(delay) => {}
            () = shared.shutdown.wait() => {}
        }
    }
    Err(denial.into())
}

/// The keys that one `publish` may try, out of what is in its URL.
fn keys<'a>(candidates: &'a [&'a str]) -> impl Iterator<Item = StreamKey> + 'a {
    candidates
        .iter()
        .filter(|text| text.starts_with(KEY_PREFIX))
        .take(MOST_KEYS)
        .copied()
        .map(StreamKey::from_text)
}

/// A key that has to do with the health gate, if there is one.
fn self_test(shared: &Shared, publish: &Publish) -> Option<Result<Admitted, Denial>> {
    let candidates = publish.key_candidates();
    let keyring = shared.keyring.borrow().clone();
    keys(&candidates).find_map(|key| {
        let judged = keyring.self_test(&key, true)?;
        Some(judged.map(|grant| Admitted { grant, key: None }).map_err(Denial::from))
    })
}

fn check(shared: &Shared, publish: &Publish) -> Result<Admitted, Denial> {
    let candidates = publish.key_candidates();
    let now_unix_s = SystemTime::now().duration_since(UNIX_EPOCH).unwrap_or_default().as_secs();
    let keyring = shared.keyring.borrow().clone();
    let mut denial = None;
    // Something that does not look like a key at all is refused as such, and only once.
    let keys = keys(&candidates).chain(candidates.iter().take(1).copied().map(StreamKey::from_text));
    for key in keys {
        let checked = match keyring.self_test(&key, false) {
            Some(judged) => judged.map_err(Denial::from),
            None => keyring.check(&key, now_unix_s),
        };
        match checked {
            Ok(grant) => return Ok(Admitted { grant, key: Some(key) }),
            Err(error) => {
                denial.get_or_insert(error);
            }
        }
    }
    Err(denial.unwrap_or(Denial::Key(Refusal::Malformed)))
}

/// Notes the end of a connection that published nothing.
fn ended_early(shared: &Shared, peer: SocketAddr, ending: &Ending) {
    shared.metrics.refused(ending.label());
    match ending {
        // Port scanners and health checks; a line each would be all that the log says.
        Ending::Disconnected
        | Ending::Broken(_)
        | Ending::Tls(_)
        | Ending::Protocol(_)
        | Ending::HandshakeTimeout(_) => log::debug!(peer:%, reason:% = ending; "connection ended"),
        _ => log::info!(peer:%, reason:% = ending; "publisher refused"),
    }
}
