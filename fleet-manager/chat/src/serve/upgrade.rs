//! The WebSocket handshake (RFC 6455 section 4.2).

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use nodi_protocol::chat::SUBPROTOCOL;
use tokio_tungstenite::tungstenite::handshake::derive_accept_key;

use super::http::{Answer, Head};

/// The answer that makes the connection a WebSocket.
#[derive(Debug)]
pub(super) struct Accepted(pub Vec<u8>);

/// `origins`: pages of these may connect, beside those of the host that the request itself names.
pub(super) fn accept(head: &Head, origins: &[String]) -> Result<Accepted, Answer> {
    if head.method != "GET" {
        return Err(Answer::problem(405, "a WebSocket begins with GET").with("allow", "GET"));
    }
    let Some(host) = head.one("host") else {
        return Err(Answer::problem(400, "one `Host` is needed"));
    };
    if !head.lists("connection", "upgrade") || !head.lists("upgrade", "websocket") {
        return Err(upgrade_required("this is a WebSocket: connect with `Upgrade: websocket`"));
    }
    if head.one("sec-websocket-version") != Some("13") {
        return Err(upgrade_required("`Sec-WebSocket-Version` has to be 13"));
    }
    let key = head.one("sec-websocket-key");
    let Some(key) = key.filter(|key| STANDARD.decode(key).is_ok_and(|bytes| bytes.len() == 16)) else {
        return Err(Answer::problem(400, "`Sec-WebSocket-Key` is not the base64 of 16 bytes"));
    };
    let mut from = head.all("origin");
    if let Some(origin) = from.next()
        && (from.next().is_some() || !is_allowed(origin, host, origins))
    {
        return Err(Answer::problem(403, "pages of this origin may not connect"));
    }
    if !head.items("sec-websocket-protocol").any(|offered| offered == SUBPROTOCOL) {
        let detail = format!("`Sec-WebSocket-Protocol` has to offer {SUBPROTOCOL}");
        return Err(Answer::problem(400, &detail));
    }
    let accept = derive_accept_key(key.as_bytes());
    Ok(Accepted(
        format!(
            "HTTP/1.1 101 Switching Protocols\r\nupgrade: websocket\r\nconnection: Upgrade\r\n\
             sec-websocket-accept: {accept}\r\nsec-websocket-protocol: {SUBPROTOCOL}\r\n\r\n"
        )
        .into_bytes(),
    ))
}

fn upgrade_required(detail: &str) -> Answer {
    Answer::problem(426, detail)
        .with("upgrade", "websocket")
        .with("connection", "upgrade")
        .with("sec-websocket-version", "13")
}

/// RFC 6455 section 10.2: other people's pages shall not speak in the name of who looks at them.
fn is_allowed(origin: &str, host: &str, origins: &[String]) -> bool {
    let same = |allowed: &String| allowed == "*" || allowed.eq_ignore_ascii_case(origin);
    if origins.iter().any(same) {
        return true;
    }
    let (of_origin, port) = match (origin.strip_prefix("https://"), origin.strip_prefix("http://")) {
        (Some(of_origin), _) => (of_origin, ":443"),
        (_, Some(of_origin)) => (of_origin, ":80"),
        _ => return false,
    };
    let plain = |host: &str| host.strip_suffix(port).unwrap_or(host).to_ascii_lowercase();
    plain(of_origin) == plain(host)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn pages_of_the_same_host_and_of_the_list_may_connect() {
        let listed = ["https://watch.example".to_owned()];
        for (origin, host) in [
            ("https://watch.example", "chat.example"),
            ("https://chat.example", "chat.example"),
            ("https://chat.example", "chat.example:443"),
            ("http://CHAT.example:80", "chat.example"),
            ("http://127.0.0.1:8443", "127.0.0.1:8443"),
        ] {
            assert!(is_allowed(origin, host, &listed), "{origin} {host}");
        }
        for (origin, host) in [
            ("https://evil.example", "chat.example"),
            ("http://chat.example:8080", "chat.example"),
            ("https://chat.example.evil.example", "chat.example"),
            ("https://watch.example.evil.example", "chat.example"),
            ("null", "chat.example"),
            ("", ""),
        ] {
            assert!(!is_allowed(origin, host, &listed), "{origin} {host}");
        }
        assert!(is_allowed("https://any.example", "chat.example", &["*".to_owned()]));
    }
}
