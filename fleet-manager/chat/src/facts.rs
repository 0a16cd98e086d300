//! What the fleet server says of a channel: whether there is one, whether it is suspended, its emotes.

use std::time::Duration;

use nodi_protocol::ChannelId;
use nodi_protocol::chat::rooms::ChannelFacts;
use tokio::sync::Semaphore;

/// An answer takes milliseconds; a room that opens waits for it.
const TIMEOUT: Duration = Duration::from_secs(3);
/// Questions at a time: after an outage every open room asks.
const AT_ONCE: usize = 16;
/// Longest answer, in bytes: some thousand emotes.
const MAX_ANSWER: usize = 1 << 20;

/// Why there is no answer.
#[derive(Debug, thiserror::Error)]
pub enum Error {
    #[error(transparent)]
    Request(#[from] reqwest::Error),
    #[error("answers {0}")]
    Status(reqwest::StatusCode),
    #[error("the answer is longer than {MAX_ANSWER} bytes")]
    TooLong,
    #[error("the answer is not understood: {0}")]
    Answer(#[from] serde_json::Error),
    #[error("the answer is about the channel {0}")]
    OtherChannel(ChannelId),
}

/// The fleet server's site API.
#[derive(Debug)]
pub struct Fleet {
    client: reqwest::Client,
    url: String,
    slots: Semaphore,
}

impl Fleet {
    /// # Errors
    /// When TLS cannot be set up.
    pub fn new(url: &str) -> Result<Self, reqwest::Error> {
        let client = reqwest::Client::builder()
            .timeout(TIMEOUT)
            .redirect(reqwest::redirect::Policy::none())
            .user_agent(concat!("nodi-chat/", env!("CARGO_PKG_VERSION")))
            .build()?;
        Ok(Self { client, url: url.to_owned(), slots: Semaphore::new(AT_ONCE) })
    }

    /// `None`: there is no such channel.
    ///
    /// # Errors
    /// When there is no answer or none that can be used.
    pub async fn ask(&self, channel: &ChannelId) -> Result<Option<ChannelFacts>, Error> {
        let _slot = self.slots.acquire().await;
        let url = format!("{}/site/v1/channels/{channel}/chat", self.url);
        let mut response = self.client.get(url).send().await?;
        match response.status() {
            reqwest::StatusCode::NOT_FOUND => return Ok(None),
            reqwest::StatusCode::OK => {}
            status => return Err(Error::Status(status)),
        }
        let mut body = Vec::new();
        while let Some(chunk) = response.chunk().await? {
            if body.len() + chunk.len() > MAX_ANSWER {
                return Err(Error::TooLong);
            }
            body.extend_from_slice(&chunk);
        }
        let facts: ChannelFacts = serde_json::from_slice(&body)?;
        if facts.channel == *channel { Ok(Some(facts)) } else { Err(Error::OtherChannel(facts.channel)) }
    }
}
