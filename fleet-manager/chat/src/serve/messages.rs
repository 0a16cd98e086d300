//! What an account can have done about what it said: `GET /messages` hands it out, `DELETE /messages` erases it.
//! `Authorization: Bearer` with an account's token, which is not for one channel.

use std::io;
use std::sync::Arc;

use serde::Serialize;
use tokio::io::{AsyncWrite, AsyncWriteExt as _};
use tokio::sync::Semaphore;

use super::http::{self, Answer, Head};
use crate::service::Service;

/// Messages read from disk and sent at a time.
const PAGE: usize = 500;
/// Exports and erasures at a time: each keeps the disk busy.
static AT_ONCE: Semaphore = Semaphore::const_new(4);

#[derive(Serialize)]
struct Erased {
    erased: u64,
}

/// `None`: it was answered already.
pub(super) async fn answer(
    service: &Arc<Service>,
    head: &Head,
    stream: &mut (impl AsyncWrite + Unpin),
) -> Option<Answer> {
    if head.method != "GET" && head.method != "DELETE" {
        return Some(Answer::problem(405, "only GET and DELETE").with("allow", "GET, DELETE"));
    }
    let token = head.one("authorization").and_then(|value| {
        let (scheme, token) = value.split_once(' ')?;
        scheme.eq_ignore_ascii_case("bearer").then(|| token.trim())
    });
    let refused = |detail: &str| Some(Answer::problem(401, detail).with("www-authenticate", "Bearer"));
    let claims = match token.map(|token| service.verify(token, None)) {
        None => return refused("`Authorization: Bearer` with an account's chat token is needed"),
        Some(Err(refusal)) => return refused(&refusal.to_string()),
        Some(Ok(claims)) => claims,
    };
    let Ok(_turn) = AT_ONCE.try_acquire() else {
        return Some(Answer::problem(503, "others are being served").with("retry-after", "5"));
    };
    if head.method == "DELETE" {
        return Some(erase(service, &claims.sub).await);
    }
    match export(service, &claims.sub, stream).await {
        Ok(()) => {
            service.metrics.answered(200);
            None
        }
        Err(Failed::Store(answer)) => Some(answer),
        Err(Failed::Io) => None,
    }
}

async fn erase(service: &Arc<Service>, account: &str) -> Answer {
    match service.store.erase(account).await {
        Ok(erased) => {
            // What open rooms had on its way goes with the note that they get.
            service.rooms.erase(account).await;
            Answer::json(&Erased { erased: erased.messages })
        }
        Err(error) => {
            log::error!("messages of an account cannot be erased: {error}");
            unavailable()
        }
    }
}

enum Failed {
    /// Before anything was sent.
    Store(Answer),
    Io,
}

impl From<io::Error> for Failed {
    fn from(_: io::Error) -> Self {
        Self::Io
    }
}

/// `{"account": …, "messages": […]}`, in chunks (RFC 9112 section 7.1): it can be long, and an end that is missing shows.
async fn export(
    service: &Arc<Service>,
    account: &str,
    stream: &mut (impl AsyncWrite + Unpin),
) -> Result<(), Failed> {
    let mut cursor = None;
    let mut is_first = true;
    loop {
        let page = match service.store.export(account, cursor, PAGE).await {
            Ok(page) => page,
            Err(error) => {
                log::error!("messages of an account cannot be read: {error}");
                // In the middle there is no other way to say so than to stop.
                return Err(if is_first { Failed::Store(unavailable()) } else { Failed::Io });
            }
        };
        let mut json = String::new();
        if is_first {
            let fields = [
                ("transfer-encoding", "chunked".to_owned()),
                ("content-disposition", "attachment; filename=\"messages.json\"".to_owned()),
            ];
            stream.write_all(&http::head(200, "application/json", fields.iter())).await?;
            let account = serde_json::to_string(account).unwrap_or_default();
            json = format!("{{\"account\":{account},\"messages\":[");
        }
        for item in &page.items {
            if !std::mem::take(&mut is_first) {
                json.push(',');
            }
            json.push('\n');
            json.push_str(&serde_json::to_string(item).unwrap_or_default());
        }
        is_first = false;
        cursor = page.next;
        if cursor.is_none() {
            json.push_str("\n]}\n");
        }
        let chunk = format!("{:x}\r\n{json}\r\n", json.len());
        stream.write_all(chunk.as_bytes()).await?;
        if cursor.is_none() {
            stream.write_all(b"0\r\n\r\n").await?;
            stream.flush().await?;
            stream.shutdown().await?;
            return Ok(());
        }
    }
}

fn unavailable() -> Answer {
    Answer::problem(503, "this cannot be done now").with("retry-after", "30")
}
