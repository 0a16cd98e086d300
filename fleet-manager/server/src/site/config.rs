//! `[site]`: the watch site's part of the configuration.

use std::net::{Ipv4Addr, Ipv6Addr, SocketAddr};

use ipnet::{IpNet, Ipv4Net, Ipv6Net};
use serde::Deserialize;

/// How viewers are served, and what they may make this server do.
#[derive(Debug, Clone, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub struct Config {
    /// A listener for `/site` alone: plain HTTP, on a loopback address or for the proxies named in
    /// `http.trusted_proxies`. Default: none; `/site` is served where the dashboard is.
    pub listen: Option<SocketAddr>,
    /// Connections to it at a time; more are closed at once.
    pub max_connections: usize,
    /// The chat service as this server reaches it, such as `http://127.0.0.1:8480`. Default: nobody counts viewers.
    pub chat_url: Option<String>,
    /// For how long a chat token is good, in seconds. Who loses a right can use it for so long.
    pub chat_token_s: u64,
    /// Whoever has an account may open a channel and stream.
    pub open_channels: bool,
    /// Whoever comes may make an account.
    pub open_accounts: bool,
    /// Accounts that there may be, disabled and deleted ones included.
    pub max_accounts: u32,
    /// A browser that was not used for so long is signed out, in seconds.
    pub session_s: u64,
    /// Browsers that one person can be signed in with; the oldest is signed out.
    pub sessions_per_person: u32,
    /// Channels that one person can follow.
    pub follows_per_person: u32,
    /// Emotes of one channel.
    pub emotes_per_channel: u32,
    /// Live channels in the directory; of more the ones with the most viewers are shown.
    pub max_listed: usize,
    /// Browsers that follow the directory at a time, in all and from one address. Who gets no place asks now and then.
    pub max_followers: usize,
    pub followers_per_address: u32,
    /// Requests of one address: so many at once, then so many a second. A household loads a page with about ten.
    pub requests_burst: u32,
    pub requests_per_s: u32,
    /// What changes something, of one address: so many at once, then so many a minute.
    pub changes_burst: u32,
    pub changes_per_minute: u32,
    /// Accounts made from one address: so many at once, then so many an hour. A school class shares one.
    pub sign_ups_burst: u32,
    pub sign_ups_per_hour: u32,
    /// Networks whose requests are not counted, such as that of the chat service. Sign-ups and sign-ins always are.
    pub uncounted: Vec<IpNet>,
    /// How often the picture of a live channel is kept for when it is offline, in seconds; 0: never.
    pub thumbnail_s: u64,
    /// For how long it is kept, in days.
    pub thumbnail_days: u32,
}

impl Default for Config {
    fn default() -> Self {
        Self {
            listen: None,
            max_connections: 4_096,
            chat_url: None,
            chat_token_s: 3_600,
            open_channels: true,
            open_accounts: true,
            max_accounts: 1_000_000,
            session_s: 90 * 86_400,
            sessions_per_person: 20,
            follows_per_person: 1_000,
            emotes_per_channel: 50,
            max_listed: 500,
            max_followers: 2_000,
            followers_per_address: 100,
            requests_burst: 300,
            requests_per_s: 50,
            changes_burst: 60,
            changes_per_minute: 60,
            sign_ups_burst: 20,
            sign_ups_per_hour: 30,
            uncounted: vec![
                Ipv4Net::new_assert(Ipv4Addr::LOCALHOST, 8).into(),
                Ipv6Net::new_assert(Ipv6Addr::LOCALHOST, 128).into(),
            ],
            thumbnail_s: 60,
            thumbnail_days: 90,
        }
    }
}

impl Config {
    /// # Errors
    /// The key and what is wrong with it.
    pub fn validate(&self, trusted_proxies: &[IpNet]) -> Result<(), (&'static str, String)> {
        if let Some(address) = self.listen
            && !address.ip().is_loopback()
            && trusted_proxies.is_empty()
        {
            // Passwords would cross the network in the clear.
            return Err((
                "site.listen",
                format!("{address} is not a loopback address: name the proxy in `http.trusted_proxies`"),
            ));
        }
        if let Some(url) = &self.chat_url {
            let http = url.starts_with("http://") || url.starts_with("https://");
            if !http || url.ends_with('/') {
                return Err((
                    "site.chat_url",
                    format!("{url:?} is not http:// or https://, or ends with a slash"),
                ));
            }
        }
        for (key, value) in [
            ("site.chat_token_s", self.chat_token_s),
            ("site.session_s", self.session_s),
            ("site.max_connections", self.max_connections as u64),
            ("site.max_listed", self.max_listed as u64),
            ("site.max_followers", self.max_followers as u64),
            ("site.followers_per_address", self.followers_per_address.into()),
            ("site.sessions_per_person", self.sessions_per_person.into()),
            ("site.requests_burst", self.requests_burst.into()),
            ("site.requests_per_s", self.requests_per_s.into()),
            ("site.changes_burst", self.changes_burst.into()),
            ("site.changes_per_minute", self.changes_per_minute.into()),
            ("site.sign_ups_burst", self.sign_ups_burst.into()),
            ("site.sign_ups_per_hour", self.sign_ups_per_hour.into()),
        ] {
            if value == 0 {
                return Err((key, "must not be 0".to_owned()));
            }
        }
        // Whoever loses a right keeps it until the token ends.
        if self.chat_token_s > 86_400 {
            return Err(("site.chat_token_s", "must not be more than a day (86400)".to_owned()));
        }
        Ok(())
    }
}
