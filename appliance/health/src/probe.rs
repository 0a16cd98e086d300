//! The other processes: the uplink answers, the agent has said something in this boot.

use std::fs::File;
use std::io::Read as _;
use std::path::Path;
use std::time::Duration;

use serde::Deserialize;
use tokio::io::{AsyncRead, AsyncReadExt as _, AsyncWrite, AsyncWriteExt as _};
use tokio::net::{TcpStream, UnixStream};

use crate::config::Address;

/// It answers from memory; longer means that it hangs.
const TIMEOUT: Duration = Duration::from_secs(3);
/// The status line is all that is wanted.
const LONGEST_ANSWER: u64 = 4 << 10;
const LONGEST_LINK: u64 = 16 << 10;
/// It says every 15 s that nothing has changed.
const SILENT: Duration = Duration::from_secs(50);

/// `GET /healthz` of the uplink.
///
/// # Errors
/// Why there is no answer, or which one.
pub async fn uplink(address: &Address) -> Result<String, String> {
    let asked = tokio::time::timeout(TIMEOUT, async {
        match address {
            Address::Unix(path) => exchange(UnixStream::connect(path).await?).await,
            Address::Tcp(address) => exchange(TcpStream::connect(address).await?).await,
        }
    });
    let answer = match asked.await {
        Ok(Ok(answer)) => answer,
        Ok(Err(error)) => return Err(format!("the uplink does not answer: {error}")),
        Err(_) => return Err(format!("the uplink does not answer within {} s", TIMEOUT.as_secs())),
    };
    let status = answer.split(' ').nth(1).unwrap_or_default();
    if status == "200" { Ok("answers".to_owned()) } else { Err(format!("the uplink answers {status:?}")) }
}

async fn exchange(mut stream: impl AsyncRead + AsyncWrite + Unpin) -> std::io::Result<String> {
    stream.write_all(b"GET /healthz HTTP/1.1\r\nhost: uplink\r\nconnection: close\r\n\r\n").await?;
    let mut answer = Vec::new();
    stream.take(LONGEST_ANSWER).read_to_end(&mut answer).await?;
    Ok(String::from_utf8_lossy(&answer).into_owned())
}

/// What the agent says about itself; the file is on a memory file system, so it is of this boot.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Deserialize)]
struct Link {
    connected: bool,
    /// When that began, and when it was written last, in milliseconds since boot.
    since_boot_ms: u64,
    at_boot_ms: u64,
}

/// The agent's word, if it still lives.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Agent {
    /// For how long it has been connected to the broker.
    pub connected: Option<Duration>,
}

/// # Errors
/// Why nothing is known of the agent.
pub fn agent(path: &Path) -> Result<Agent, String> {
    let mut text = Vec::new();
    File::open(path)
        .and_then(|file| file.take(LONGEST_LINK).read_to_end(&mut text))
        .map_err(|error| format!("the agent has said nothing yet: {}: {error}", path.display()))?;
    let link: Link = serde_json::from_slice(&text).map_err(|error| format!("{}: {error}", path.display()))?;
    let now = rustix::time::clock_gettime(rustix::time::ClockId::Boottime);
    let now_ms = u64::try_from(now.tv_sec).unwrap_or(0).saturating_mul(1_000);
    let passed = |ms: u64| Duration::from_millis(now_ms.saturating_sub(ms));
    let silent = passed(link.at_boot_ms);
    if silent > SILENT {
        return Err(format!("the agent has said nothing for {} s", silent.as_secs()));
    }
    Ok(Agent { connected: link.connected.then(|| passed(link.since_boot_ms)) })
}

#[cfg(test)]
mod tests {
    use tokio::net::{TcpListener, UnixListener};

    use super::*;

    async fn answering(answer: &'static str) -> Result<String, String> {
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let address = Address::Tcp(listener.local_addr().unwrap());
        let server = tokio::spawn(async move {
            let (mut stream, _) = listener.accept().await.unwrap();
            let mut asked = [0; 1024];
            let _ = stream.read(&mut asked).await.unwrap();
            stream.write_all(answer.as_bytes()).await.unwrap();
        });
        let said = uplink(&address).await;
        server.await.unwrap();
        said
    }

    #[tokio::test]
    async fn only_a_200_is_an_answer() {
        assert!(answering("HTTP/1.1 200 OK\r\ncontent-length: 3\r\n\r\nok\n").await.is_ok());
        assert!(answering("HTTP/1.1 503 Service Unavailable\r\n\r\n").await.unwrap_err().contains("503"));
        assert!(answering("").await.is_err());
        let directory = tempfile::tempdir().unwrap();
        let socket = directory.path().join("uplink.sock");
        let address = Address::Unix(socket.clone());
        assert!(uplink(&address).await.unwrap_err().contains("does not answer"));
        // A process that is stopped takes connections and says nothing.
        let _hangs = UnixListener::bind(&socket).unwrap();
        assert!(uplink(&address).await.unwrap_err().contains("within 3 s"));
    }

    #[test]
    fn the_agents_word() {
        let directory = tempfile::tempdir().unwrap();
        let path = directory.path().join("link.json");
        assert!(agent(&path).unwrap_err().contains("said nothing yet"));
        std::fs::write(&path, "").unwrap();
        assert!(agent(&path).is_err());
        let now = rustix::time::clock_gettime(rustix::time::ClockId::Boottime).tv_sec * 1_000;
        let says = |connected: bool, since_boot_ms: i64, at_boot_ms: i64| {
            let link = serde_json::json!({
                "connected": connected, "since_ms": 5, "since_boot_ms": since_boot_ms, "at_boot_ms": at_boot_ms
            });
            std::fs::write(&path, link.to_string()).unwrap();
            agent(&path)
        };
        let connected = says(true, now - 30_000, now).unwrap().connected.unwrap();
        assert!((30..90).contains(&connected.as_secs()), "{connected:?}");
        assert_eq!(says(false, now - 30_000, now), Ok(Agent { connected: None }));
        let dead = says(true, now - 90_000, now - 60_000).unwrap_err();
        assert!(dead.starts_with("the agent has said nothing for "), "{dead}");
    }
}
