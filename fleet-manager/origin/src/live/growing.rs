//! A segment that is fetched while it grows: sent on as it comes.

use std::io;
use std::sync::Arc;
use std::time::Duration;

use futures_util::stream;
use http_body_util::{BodyExt as _, StreamBody};
use hyper::StatusCode;
use hyper::body::Frame;
use hyper::header::{CONTENT_RANGE, HeaderMap, HeaderValue};
use tokio::sync::watch;

use super::answer::{Answer, Body, ByteRange, Caching, requested_range};
use crate::blob::{Blob, Progress};

struct Follower {
    blob: Arc<Blob>,
    progress: watch::Receiver<Progress>,
    sent: u64,
    patience: Duration,
}

/// All of it as it comes, or a range that is there already. A segment that is not completed in time breaks the
/// response off, so that no cache takes a piece for the whole.
pub(super) fn answer(
    blob: Arc<Blob>,
    content_type: HeaderValue,
    request: &HeaderMap,
    patience: Duration,
) -> Answer {
    if let Some(ByteRange::From(start, Some(end))) = requested_range(request, &HeaderValue::from_static(""))
        && let Some(slice) = blob.slice(start, (end - start).saturating_add(1))
    {
        let mut answer = Answer::whole(content_type, Caching::Immutable, Body::Slice(slice));
        answer.status = StatusCode::PARTIAL_CONTENT;
        answer.set(CONTENT_RANGE, format!("bytes {start}-{end}/*"));
        return answer;
    }
    let progress = blob.follow();
    let follower = Follower { blob, progress, sent: 0, patience };
    let frames = stream::try_unfold(follower, |mut follower| async move {
        let frame = follower.next().await?;
        Ok::<_, io::Error>(frame.map(|frame| (frame, follower)))
    });
    Answer::whole(content_type, Caching::Immutable, Body::Stream(StreamBody::new(frames).boxed_unsync()))
}

impl Follower {
    async fn next(&mut self) -> io::Result<Option<Frame<bytes::Bytes>>> {
        loop {
            let progress = *self.progress.borrow_and_update();
            let ready = progress.end.map_or(progress.len, |end| end.min(progress.len));
            if ready > self.sent {
                let slice = self.blob.slice(self.sent, ready - self.sent);
                self.sent = ready;
                return Ok(slice.map(|slice| Frame::data(slice.bytes())));
            }
            match progress.end {
                Some(end) if end == self.sent => return Ok(None),
                // More was sent than the segment has in the end: its box crashed within a part.
                Some(end) if end < self.sent => return Err(broken("cut short")),
                _ if progress.abandoned => return Err(broken("given up")),
                _ => {}
            }
            match tokio::time::timeout(self.patience, self.progress.changed()).await {
                Ok(Ok(())) => {}
                Ok(Err(_)) => return Err(broken("given up")),
                Err(_) => return Err(broken("late")),
            }
        }
    }
}

fn broken(how: &'static str) -> io::Error {
    io::Error::new(io::ErrorKind::UnexpectedEof, format!("the segment was {how}"))
}
