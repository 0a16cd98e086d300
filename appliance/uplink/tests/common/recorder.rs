//! An origin for tests: the push API with all its refusals, in memory, and a record of everything that came.

use std::collections::BTreeMap;
use std::net::SocketAddr;
use std::sync::{Arc, Mutex, MutexGuard};
use std::time::Instant;

use axum::Json;
use axum::Router;
use axum::body::Body;
use axum::extract::{Path, Request, State};
use axum::http::{HeaderMap, StatusCode};
use axum::response::{IntoResponse, Response};
use axum::routing::{get, post, put};
use futures_util::StreamExt as _;
use nodi_protocol::hls::Segment;
use nodi_protocol::push::{ChannelState, Claim, Claimed, Held, PlaylistUpdate, Refusal, UPLOAD_OFFSET};
use nodi_protocol::{RenditionName, SessionId};
use tokio::net::TcpListener;

/// Something that the origin was sent.
#[derive(Debug, Clone, PartialEq)]
pub enum Event {
    Claim {
        session: SessionId,
        base_msn: u64,
        renditions: usize,
    },
    Init {
        rendition: String,
        init: u32,
    },
    /// A PUT of a segment began at this offset.
    Begin {
        rendition: String,
        msn: u64,
        offset: u64,
    },
    /// Some of its bytes came.
    Bytes {
        rendition: String,
        msn: u64,
        len: usize,
    },
    /// The PUT ended by itself.
    Complete {
        rendition: String,
        msn: u64,
    },
    Playlist {
        rendition: String,
        segments: Vec<Segment>,
    },
    Thumbnail(usize),
    End {
        session: SessionId,
        reason: String,
    },
    Refused(u16),
}

#[derive(Default)]
pub struct Inner {
    pub session: Option<SessionId>,
    pub base_msn: u64,
    pub next_msn: u64,
    pub claim: Option<Claim>,
    pub inits: BTreeMap<(String, u32), Vec<u8>>,
    pub segments: BTreeMap<(String, u64), Vec<u8>>,
    pub described: BTreeMap<(String, u64), Segment>,
    pub events: Vec<(Instant, Event)>,
    /// Answers everything with this.
    pub refuse: Option<(StatusCode, Refusal)>,
    pub keys: Vec<String>,
    /// What claims are answered with.
    pub window_s: Option<u64>,
    pub ended: Option<String>,
    /// Everything that broke the contract.
    pub faults: Vec<String>,
}

#[derive(Clone, Default)]
pub struct Recorder(Arc<Mutex<Inner>>);

impl Recorder {
    pub async fn start() -> (Self, SocketAddr) {
        let recorder = Self::default();
        let app = Router::new()
            .route("/push/v1/{channel}", get(state))
            .route("/push/v1/{channel}/{session}", put(claim))
            .route("/push/v1/{channel}/{session}/{rendition}/init/{init}", put(init))
            .route("/push/v1/{channel}/{session}/{rendition}/segments/{msn}", put(segment))
            .route("/push/v1/{channel}/{session}/{rendition}/playlist", put(playlist))
            .route("/push/v1/{channel}/{session}/thumbnail.jpg", put(thumbnail))
            .route("/push/v1/{channel}/{session}/end", post(end))
            .layer(axum::middleware::from_fn_with_state(recorder.clone(), gate))
            .with_state(recorder.clone());
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let address = listener.local_addr().unwrap();
        tokio::spawn(async move { axum::serve(listener, app).await.unwrap() });
        (recorder, address)
    }

    pub fn lock(&self) -> MutexGuard<'_, Inner> {
        self.0.lock().unwrap()
    }

    fn note(&self, event: Event) {
        self.lock().events.push((Instant::now(), event));
    }

    pub fn events(&self) -> Vec<Event> {
        self.lock().events.iter().map(|(_, event)| event.clone()).collect()
    }

    /// All bytes of segments that came, also those that came twice.
    pub fn segment_bytes(&self) -> usize {
        let bytes = |event: &Event| if let Event::Bytes { len, .. } = event { *len } else { 0 };
        self.events().iter().map(bytes).sum()
    }

    /// The origin loses everything, as by a restart.
    pub fn restart(&self) {
        let mut inner = self.lock();
        let events = std::mem::take(&mut inner.events);
        *inner = Inner { events, ..Inner::default() };
    }

    /// The segments of `rendition` as the playlist would show them, numbers in order.
    pub fn described(&self, rendition: &str) -> Vec<Segment> {
        let inner = self.lock();
        inner.described.iter().filter(|((name, _), _)| name == rendition).map(|(_, s)| s.clone()).collect()
    }

    /// Whether everything that was written is there, byte for byte, and described as finished.
    pub fn holds(&self, written: &BTreeMap<(RenditionName, u64), Vec<u8>>) -> bool {
        let inner = self.lock();
        written.iter().all(|((name, seq), bytes)| {
            let key = (name.to_string(), inner.base_msn + seq);
            inner.segments.get(&key) == Some(bytes)
                && inner.described.get(&key).is_some_and(|segment| !segment.gap && segment.finished.is_some())
        })
    }
}

fn refuse(status: StatusCode, error: &str, newer: Option<SessionId>, held: Option<u64>) -> Response {
    let refusal = Refusal { error: error.into(), newer_session: newer, held_bytes: held };
    (status, Json(refusal)).into_response()
}

async fn gate(State(recorder): State<Recorder>, request: Request, next: axum::middleware::Next) -> Response {
    let key = request.headers().get("authorization").and_then(|value| value.to_str().ok()).unwrap_or("");
    let refusal = {
        let mut inner = recorder.lock();
        inner.keys.push(key.to_owned());
        inner.refuse.clone()
    };
    if let Some((status, refusal)) = refusal {
        recorder.note(Event::Refused(status.as_u16()));
        return (status, Json(refusal)).into_response();
    }
    next.run(request).await
}

async fn state(State(recorder): State<Recorder>) -> Json<ChannelState> {
    let inner = recorder.lock();
    Json(ChannelState { session: inner.session, next_msn: inner.next_msn })
}

async fn claim(
    State(recorder): State<Recorder>,
    Path((_, session)): Path<(String, SessionId)>,
    Json(claim): Json<Claim>,
) -> Response {
    let (base_msn, renditions) = (claim.base_msn, claim.renditions.len());
    recorder.note(Event::Claim { session, base_msn, renditions });
    let mut inner = recorder.lock();
    match inner.session {
        Some(current) if current > session => {
            return refuse(StatusCode::CONFLICT, "a newer session owns the channel", Some(current), None);
        }
        Some(current) if current == session => {}
        _ if base_msn < inner.next_msn => {
            return refuse(StatusCode::SERVICE_UNAVAILABLE, "base_msn was used meanwhile", None, None);
        }
        _ => inner.base_msn = base_msn,
    }
    inner.session = Some(session);
    inner.ended = None;
    inner.next_msn = inner.next_msn.max(base_msn);
    inner.claim = Some(claim.clone());
    let (base_msn, first) = (inner.base_msn, inner.base_msn);
    let held = claim.renditions.iter().map(|rendition| {
        let name = rendition.name.to_string();
        Held {
            rendition: rendition.name.clone(),
            inits: inner.inits.keys().filter(|(of, _)| *of == name).map(|(_, init)| *init).collect(),
            segments: inner
                .segments
                .iter()
                .filter(|((of, msn), _)| *of == name && *msn >= first)
                .map(|((_, msn), bytes)| (*msn, bytes.len() as u64))
                .collect(),
        }
    });
    let held: Vec<Held> = held.collect();
    Json(Claimed { base_msn, held, window_s: inner.window_s }).into_response()
}

async fn init(
    State(recorder): State<Recorder>,
    Path((_, _, rendition, init)): Path<(String, SessionId, String, u32)>,
    bytes: axum::body::Bytes,
) -> StatusCode {
    recorder.note(Event::Init { rendition: rendition.clone(), init });
    let mut inner = recorder.lock();
    if inner.inits.insert((rendition.clone(), init), bytes.to_vec()).is_some() {
        inner.faults.push(format!("init {init} of {rendition} came twice"));
    }
    StatusCode::NO_CONTENT
}

async fn segment(
    State(recorder): State<Recorder>,
    Path((_, session, rendition, msn)): Path<(String, SessionId, String, u64)>,
    headers: HeaderMap,
    body: Body,
) -> Response {
    let offset: u64 = headers
        .get(UPLOAD_OFFSET)
        .and_then(|value| value.to_str().ok())
        .map_or(0, |value| value.parse().unwrap());
    recorder.note(Event::Begin { rendition: rendition.clone(), msn, offset });
    let key = (rendition.clone(), msn);
    {
        let mut inner = recorder.lock();
        match inner.session {
            Some(current) if current == session => {}
            Some(newer) if newer > session => {
                return refuse(StatusCode::CONFLICT, "a newer session owns the channel", Some(newer), None);
            }
            _ => return refuse(StatusCode::NOT_FOUND, "no such session", None, None),
        }
        if !inner.inits.keys().any(|(of, _)| *of == rendition) {
            inner.faults.push(format!("segment {msn} of {rendition} came before its init"));
        }
        let held = inner.segments.get(&key).map_or(0, |bytes| bytes.len() as u64);
        if offset > held {
            return refuse(StatusCode::CONFLICT, "offset", None, Some(held));
        }
        if offset < held {
            inner.faults.push(format!("segment {msn} of {rendition} from {offset}, but {held} are held"));
        }
        inner.segments.entry(key.clone()).or_default();
        inner.next_msn = inner.next_msn.max(msn + 1);
    }
    let mut stream = body.into_data_stream();
    let mut at = offset;
    while let Some(chunk) = stream.next().await {
        // The connection broke: what came stays.
        let Ok(chunk) = chunk else { return StatusCode::BAD_REQUEST.into_response() };
        recorder.note(Event::Bytes { rendition: rendition.clone(), msn, len: chunk.len() });
        let mut inner = recorder.lock();
        match inner.session {
            Some(current) if current == session => {}
            None => return refuse(StatusCode::NOT_FOUND, "no such session", None, None),
            newer => return refuse(StatusCode::CONFLICT, "a newer session owns the channel", newer, None),
        }
        let held = inner.segments.get_mut(&key).unwrap();
        let skip = held.len().saturating_sub(usize::try_from(at).unwrap()).min(chunk.len());
        held.extend_from_slice(&chunk[skip..]);
        at += chunk.len() as u64;
    }
    recorder.note(Event::Complete { rendition, msn });
    StatusCode::NO_CONTENT.into_response()
}

async fn playlist(
    State(recorder): State<Recorder>,
    Path((_, session, rendition)): Path<(String, SessionId, RenditionName)>,
    Json(update): Json<PlaylistUpdate>,
) -> StatusCode {
    let segments = update.segments.clone();
    recorder.note(Event::Playlist { rendition: rendition.to_string(), segments });
    let mut inner = recorder.lock();
    for segment in update.segments {
        if segment.session != session {
            inner.faults.push(format!("segment {} of another session", segment.msn));
        }
        inner.described.insert((rendition.to_string(), segment.msn), segment);
    }
    StatusCode::NO_CONTENT
}

async fn thumbnail(State(recorder): State<Recorder>, bytes: axum::body::Bytes) -> StatusCode {
    recorder.note(Event::Thumbnail(bytes.len()));
    StatusCode::NO_CONTENT
}

async fn end(
    State(recorder): State<Recorder>,
    Path((_, session)): Path<(String, SessionId)>,
    Json(end): Json<nodi_protocol::push::End>,
) -> StatusCode {
    recorder.note(Event::End { session, reason: end.reason.clone() });
    recorder.lock().ended = Some(end.reason);
    StatusCode::NO_CONTENT
}
