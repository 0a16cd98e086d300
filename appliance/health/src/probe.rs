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
pub struct Link {
    pub connected: bool,
}

/// # Errors
/// Why nothing is known of the agent.
pub fn link(path: &Path) -> Result<Link, String> {
    let mut text = Vec::new();
    File::open(path)
        .and_then(|file| file.take(LONGEST_LINK).read_to_end(&mut text))
        .map_err(|error| format!("the agent has said nothing yet: {}: {error}", path.display()))?;
    serde_json::from_slice(&text).map_err(|error| format!("{}: {error}", path.display()))
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
        assert!(link(&path).unwrap_err().contains("said nothing yet"));
        std::fs::write(&path, "").unwrap();
        assert!(link(&path).is_err());
        std::fs::write(&path, r#"{"connected": true, "since_ms": 5}"#).unwrap();
        assert_eq!(link(&path), Ok(Link { connected: true }));
    }
}
