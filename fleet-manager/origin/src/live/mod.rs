//! What viewers and CDN edges fetch: playlists that wait for what comes next, segments and parts out of
//! memory, the watch site.

pub mod answer;
mod growing;
mod page;
pub mod route;

use std::sync::Arc;
use std::time::Duration;

use hyper::header::{
    ACCESS_CONTROL_ALLOW_HEADERS, ACCESS_CONTROL_ALLOW_METHODS, ACCESS_CONTROL_MAX_AGE, ALLOW, CONTENT_TYPE,
    HeaderMap, HeaderValue,
};
use hyper::{Method, StatusCode, Uri};
use nodi_daemon::shutdown::Shutdown;
use nodi_protocol::SessionId;
use nodi_protocol::push::{ChannelStatus, State};
use tokio::sync::watch;

use crate::channel::{Lane, PartAnswer, Phase, Position, Settings, Stand, View};
use crate::metrics::{Kind, Metrics};
use crate::registry::Registry;
use answer::{Answer, Body, Caching, Content};
use page::Pages;
use route::{Directives, Object, Target, directives, target};

/// A blocking request waits this many target durations at most (RFC 8216bis 6.2.5.2).
const WAIT_TARGETS: u64 = 3;
const METHODS: HeaderValue = HeaderValue::from_static("GET, HEAD, OPTIONS");

/// The public side.
#[derive(Debug)]
pub struct Live {
    registry: Arc<Registry>,
    settings: Arc<Settings>,
    metrics: Arc<Metrics>,
    pages: Option<Pages>,
    shutdown: Shutdown,
}

/// How a wait ended without what was waited for.
enum Over {
    /// It took too long, or the origin stops.
    GaveUp,
    /// It will not come.
    Never,
}

impl Live {
    #[must_use]
    pub fn new(
        registry: Arc<Registry>,
        settings: Arc<Settings>,
        metrics: Arc<Metrics>,
        web_root: Option<std::path::PathBuf>,
        shutdown: Shutdown,
    ) -> Self {
        Self { registry, settings, metrics, pages: web_root.map(Pages::new), shutdown }
    }

    /// Answers any request.
    pub async fn answer(&self, method: &Method, uri: &Uri, headers: &HeaderMap) -> Answer {
        let (kind, answer) = match *method {
            Method::GET => self.get(method, uri, headers).await,
            Method::HEAD => {
                let (kind, answer) = self.get(method, uri, headers).await;
                (kind, answer.without_body())
            }
            Method::OPTIONS => (Kind::Other, preflight()),
            _ => {
                let mut answer = Answer::empty(StatusCode::METHOD_NOT_ALLOWED);
                answer.headers.insert(ALLOW, METHODS);
                (Kind::Other, answer)
            }
        };
        self.metrics.served(kind, answer.status);
        answer
    }

    async fn get(&self, method: &Method, uri: &Uri, headers: &HeaderMap) -> (Kind, Answer) {
        match target(uri.path()) {
            Target::Playlist { channel, rendition } => {
                self.playlist(channel, rendition, uri.query().unwrap_or(""), headers).await
            }
            Target::Object { channel, session, rendition, object } => {
                let lane = self.registry.get(channel).and_then(|channel| channel.lane(rendition));
                match (lane, object) {
                    (Some(lane), Object::Part(msn, part)) => {
                        (Kind::Part, self.part(&lane, session, msn, part, headers).await)
                    }
                    (Some(lane), Object::Segment(msn)) => {
                        (Kind::Segment, self.segment(&lane, session, msn, headers))
                    }
                    (Some(lane), Object::Init(init)) => {
                        (Kind::Init, init_section(&lane, session, init, headers))
                    }
                    (None, _) => (Kind::Other, Answer::not_found()),
                }
            }
            Target::Multivariant { channel } => {
                let rendered = self.registry.get(channel).and_then(|channel| channel.multivariant());
                let answer = rendered.map_or_else(Answer::not_found, |rendered| {
                    Answer::playlist(&rendered, Caching::Short, headers)
                });
                (Kind::Multivariant, answer)
            }
            Target::Status { channel } => (Kind::Status, self.status(channel)),
            Target::Thumbnail { channel } => {
                let answer = match self.registry.get(channel).map(|channel| channel.thumbnail()) {
                    Some(Some(jpeg)) => {
                        let jpeg_type = HeaderValue::from_static("image/jpeg");
                        Answer::whole(jpeg_type, Caching::Short, Body::Bytes(jpeg))
                    }
                    // Soon there is one: a page that asks with its first picture has made no mistake.
                    Some(None) => Answer::empty(StatusCode::NO_CONTENT),
                    None => Answer::not_found(),
                };
                (Kind::Thumbnail, answer)
            }
            Target::Health => (Kind::Other, Answer::text(StatusCode::OK, "ok\n")),
            Target::Page(page) => match &self.pages {
                Some(pages) => (Kind::Page, pages.answer(method, uri, headers, page).await),
                None => (Kind::Other, Answer::not_found()),
            },
            Target::Nothing => (Kind::Other, Answer::not_found()),
        }
    }

    fn status(&self, channel: &str) -> Answer {
        let Ok(id) = channel.parse() else {
            return Answer::not_found();
        };
        let known = self.registry.get(channel).map(|channel| channel.status());
        let (state, started_unix_ms) = known.unwrap_or((State::Offline, None));
        let status = ChannelStatus { channel: id, state, started_unix_ms };
        Answer::json(serde_json::to_vec(&status).unwrap_or_default())
    }

    async fn playlist(
        &self,
        channel: &str,
        rendition: &str,
        query: &str,
        headers: &HeaderMap,
    ) -> (Kind, Answer) {
        let Directives { wait_for, delta } = match directives(query) {
            Ok(directives) => directives,
            Err(bad) => return (Kind::Playlist, Answer::text(StatusCode::BAD_REQUEST, bad.0)),
        };
        let kind = if wait_for.is_some() { Kind::BlockingPlaylist } else { Kind::Playlist };
        let Some(lane) = self.registry.get(channel).and_then(|channel| channel.lane(rendition)) else {
            return (kind, Answer::not_found());
        };
        let mut view = lane.view();
        let newest_asked = view.newest();
        if let (Some(position), Phase::Live) = (wait_for, view.phase) {
            view = match self.wait_for_position(&lane, position).await {
                Ok(view) => view,
                Err(Over::GaveUp) => return (kind, self.gave_up()),
                Err(Over::Never) => {
                    let reason = "_HLS_msn or _HLS_part is too far ahead";
                    return (kind, Answer::text(StatusCode::BAD_REQUEST, reason));
                }
            };
        }
        let caching = match (view.phase, wait_for) {
            (Phase::Empty | Phase::Gone, _) => return (kind, Answer::not_found()),
            (Phase::Live, Some(_)) => Caching::Blocking(view.media.target_duration()),
            _ => Caching::Short,
        };
        // A player knows the playlist as it was when it asked. When that moved on by more than it can have seen
        // while it waited, as after an outage, a delta would skip segments that it never saw.
        let knows = view.newest() <= newest_asked.map(|msn| msn.saturating_add(1));
        (kind, Answer::playlist(view.text(delta && knows), caching, headers))
    }

    /// The first version of the playlist that has `position`, or in which nothing more is waited for.
    async fn wait_for_position(&self, lane: &Lane, position: Position) -> Result<Arc<View>, Over> {
        let ready = |view: &Arc<View>| {
            if view.phase != Phase::Live {
                return Some(Ok(Arc::clone(view)));
            }
            match view.stand(position) {
                Stand::Has => Some(Ok(Arc::clone(view))),
                Stand::TooFar => Some(Err(Over::Never)),
                Stand::NotYet => None,
            }
        };
        self.wait(lane, ready).await
    }

    async fn part(
        &self,
        lane: &Lane,
        session: SessionId,
        msn: u64,
        part: u64,
        headers: &HeaderMap,
    ) -> Answer {
        let look = || match lane.timeline().segments.get(&msn) {
            Some(object) if object.session == session => object.part(part),
            Some(_) => PartAnswer::Never,
            None => PartAnswer::Later,
        };
        let found = match look() {
            PartAnswer::Later => {
                let ready = |view: &Arc<View>| match look() {
                    PartAnswer::Here(slice) => Some(Ok(slice)),
                    PartAnswer::Never => Some(Err(Over::Never)),
                    // Only what is next, as the playlist hints it, is waited for.
                    PartAnswer::Later => {
                        let position = Position { msn, part: Some(part) };
                        let next = view.media.hint == Some(session) && view.stand(position) == Stand::NotYet;
                        (!next).then_some(Err(Over::Never))
                    }
                };
                self.wait(lane, ready).await
            }
            PartAnswer::Here(slice) => Ok(slice),
            PartAnswer::Never => Err(Over::Never),
        };
        match found {
            Ok(slice) => Answer::object(Content::Slice(slice), lane.content_type(), headers),
            Err(Over::Never) => Answer::not_found(),
            Err(Over::GaveUp) => self.gave_up(),
        }
    }

    fn segment(&self, lane: &Lane, session: SessionId, msn: u64, headers: &HeaderMap) -> Answer {
        let blob = {
            let timeline = lane.timeline();
            let Some(object) = timeline.segments.get(&msn).filter(|object| object.session == session) else {
                return Answer::not_found();
            };
            if let Some(whole) = object.whole() {
                drop(timeline);
                return Answer::object(Content::Slice(whole), lane.content_type(), headers);
            }
            object.blob.clone()
        };
        match blob {
            Some(blob) => growing::answer(blob, lane.content_type(), headers, self.patience(&lane.view())),
            None => Answer::not_found(),
        }
    }

    /// Looks at every version of the lane's playlist until `ready` says something.
    async fn wait<T>(
        &self,
        lane: &Lane,
        ready: impl Fn(&Arc<View>) -> Option<Result<T, Over>>,
    ) -> Result<T, Over> {
        let mut views = lane.follow();
        if let Some(answer) = ready(&views.borrow_and_update()) {
            return answer;
        }
        let _waiting = Waiting::new(&self.metrics);
        let patience = self.patience(&lane.view());
        tokio::select! {
            answer = until(&mut views, ready) => answer,
            () = self.settings.clock.sleep(patience) => Err(Over::GaveUp),
            () = self.shutdown.wait() => Err(Over::GaveUp),
        }
    }

    fn patience(&self, view: &View) -> Duration {
        Duration::from_secs(view.media.target_duration().saturating_mul(WAIT_TARGETS))
    }

    fn gave_up(&self) -> Answer {
        let mut answer =
            Answer::text(StatusCode::SERVICE_UNAVAILABLE, "what was waited for did not come in time");
        if self.shutdown.is_asked() {
            answer.headers.insert(hyper::header::RETRY_AFTER, HeaderValue::from_static("1"));
        }
        answer
    }
}

async fn until<T>(
    views: &mut watch::Receiver<Arc<View>>,
    ready: impl Fn(&Arc<View>) -> Option<Result<T, Over>>,
) -> Result<T, Over> {
    loop {
        if views.changed().await.is_err() {
            return Err(Over::Never);
        }
        if let Some(answer) = ready(&views.borrow_and_update()) {
            return answer;
        }
    }
}

/// Counted while it lives.
struct Waiting<'a>(&'a Metrics);

impl<'a> Waiting<'a> {
    fn new(metrics: &'a Metrics) -> Self {
        metrics.blocked.inc();
        Self(metrics)
    }
}

impl Drop for Waiting<'_> {
    fn drop(&mut self) {
        self.0.blocked.dec();
    }
}

fn init_section(lane: &Lane, session: SessionId, init: u32, headers: &HeaderMap) -> Answer {
    let bytes = lane.timeline().inits.get(&(session, init)).cloned();
    bytes.map_or_else(Answer::not_found, |bytes| {
        Answer::object(Content::Bytes(bytes), lane.content_type(), headers)
    })
}

fn preflight() -> Answer {
    let mut answer = Answer::empty(StatusCode::NO_CONTENT);
    answer.headers.insert(ACCESS_CONTROL_ALLOW_METHODS, METHODS);
    answer.headers.insert(ACCESS_CONTROL_ALLOW_HEADERS, HeaderValue::from_static("*"));
    answer.headers.insert(ACCESS_CONTROL_MAX_AGE, HeaderValue::from_static("86400"));
    answer.headers.remove(CONTENT_TYPE);
    answer
}
