//! Proves that a live low-latency HLS presentation is what it says: follows it like a player, on all
//! renditions at once, and reports every violation and what a viewer saw. It works on any server.

mod follow;
mod growth;
mod http;
mod ledger;
pub mod mp4;
mod player;
pub mod playlist;
pub mod report;

use std::path::PathBuf;
use std::sync::{Arc, Mutex};
use std::time::{Duration, Instant};

use reqwest::header::{self, HeaderMap, HeaderValue};
use tokio::task::JoinSet;

use crate::error::Error;
use follow::{Follower, Shared, lock, rendition_name};
use http::{Client, resolve};
use ledger::Ledger;
use mp4::Track;
use playlist::Multivariant;
pub use report::{Report, Rule};

const POLL: Duration = Duration::from_millis(200);
/// BANDWIDTH may be exceeded by a tenth (RFC 8216bis 4.4.6.2 bounds the peak; segments are cut by time).
const BANDWIDTH_TOLERANCE: f64 = 1.1;

/// What to follow.
#[derive(Debug, Clone)]
pub struct Options {
    /// The multivariant playlist.
    pub url: String,
    /// How long to wait for it to be there.
    pub wait: Duration,
    /// Every playlist is saved below this directory, in order.
    pub save: Option<PathBuf>,
}

impl Options {
    pub fn new(url: impl Into<String>) -> Self {
        Self { url: url.into(), wait: Duration::from_secs(30), save: None }
    }
}

/// A check under way, in the background.
pub struct Viewer {
    options: Options,
    http: Client,
    ledger: Shared,
    followers: JoinSet<()>,
    multivariant: Multivariant,
}

impl Viewer {
    /// Waits for the presentation and begins to follow all its renditions.
    ///
    /// # Errors
    /// When there is none at the end of `options.wait`.
    pub async fn start(options: Options) -> Result<Self, Error> {
        crate::install_tls();
        let http = Client::new()?;
        let ledger: Shared = Arc::new(Mutex::new(Ledger::new()));
        let multivariant = first_multivariant(&http, &options).await?;
        if let Some(folder) = &options.save {
            let text = http.get(&options.url).await.text();
            std::fs::create_dir_all(folder)
                .and_then(|()| std::fs::write(folder.join("index.m3u8"), text))
                .map_err(crate::error::io(format!("saving to {}", folder.display())))?;
        }
        let mut viewer = Self { options, http, ledger, followers: JoinSet::new(), multivariant };
        viewer.follow_all();
        Ok(viewer)
    }

    fn follow_all(&mut self) {
        let variants = self.multivariant.variants.iter().map(|variant| variant.uri.clone());
        let audio = self.multivariant.audio.iter().filter_map(|audio| audio.uri.clone());
        for uri in variants.chain(audio) {
            let url = resolve(&self.options.url, &uri);
            let follower = Follower::new(
                self.http.clone(),
                Arc::clone(&self.ledger),
                rendition_name(&uri),
                url,
                self.options.save.clone(),
            );
            self.followers.spawn(follower.run());
        }
    }

    /// The multivariant playlist as it was at the beginning.
    #[must_use]
    pub fn multivariant(&self) -> &Multivariant {
        &self.multivariant
    }

    /// How many renditions the multivariant playlist named at the beginning.
    #[must_use]
    pub fn renditions(&self) -> usize {
        let audio = self.multivariant.audio.iter().filter(|audio| audio.uri.is_some()).count();
        self.multivariant.variants.len() + audio
    }

    /// Everything so far.
    #[must_use]
    pub fn report(&self) -> Report {
        lock(&self.ledger).report(&self.options.url)
    }

    /// Until `condition` holds of the report; the report then.
    ///
    /// # Errors
    /// At the deadline; `what` names what was waited for.
    pub async fn until(
        &self,
        what: &str,
        deadline: Duration,
        condition: impl Fn(&Report) -> bool,
    ) -> Result<Report, Error> {
        let end = Instant::now() + deadline;
        loop {
            let report = self.report();
            if condition(&report) {
                return Ok(report);
            }
            if Instant::now() > end {
                return Err(Error::Deadline { what: format!("{what}\n{report}"), deadline });
            }
            tokio::time::sleep(POLL).await;
        }
    }

    /// Whether every playlist has ended.
    pub fn has_ended(&mut self) -> bool {
        while self.followers.try_join_next().is_some() {}
        self.followers.is_empty()
    }

    /// Stops following, compares the multivariant playlist with what was seen, and reports.
    pub async fn finish(mut self) -> Report {
        self.followers.shutdown().await;
        self.probe().await;
        {
            let mut ledger = lock(&self.ledger);
            let now = Instant::now();
            ledger.renditions.values_mut().for_each(|facts| facts.player.play_until(now));
            judge_multivariant(&mut ledger, &self.multivariant);
        }
        self.report()
    }

    /// Answers that no playlist leads to.
    async fn probe(&self) {
        const NAME: &str = "index";
        let missing = self.http.get(&resolve(&self.options.url, "no-such-session/x/0.0.m4s")).await;
        let mut gzip = HeaderMap::new();
        gzip.insert(header::ACCEPT_ENCODING, HeaderValue::from_static("gzip"));
        let packed = self.http.get_with(&self.options.url, gzip).await;
        let mut ledger = lock(&self.ledger);
        if missing.status != 404 {
            let message = format!("a part that is not there answers {}", missing.status);
            ledger.find(Rule::Headers, NAME, message);
        }
        let control = missing.header(header::CACHE_CONTROL);
        if missing.max_age().is_some_and(|seconds| seconds > 1) || control.is_empty() {
            let message = format!("a 404 may be cached for longer than a part: {control:?}");
            ledger.find(Rule::Headers, NAME, message);
        }
        if packed.status == 200 && packed.header(header::CONTENT_ENCODING) != "gzip" {
            ledger.find(Rule::Headers, NAME, "the playlist does not come gzipped to who can read that");
        }
    }
}

/// Follows for `duration`, or until everything has ended.
///
/// # Errors
/// As [`Viewer::start`].
pub async fn watch(options: Options, duration: Duration) -> Result<Report, Error> {
    let mut viewer = Viewer::start(options).await?;
    let end = Instant::now() + duration;
    while Instant::now() < end && !viewer.has_ended() {
        tokio::time::sleep(POLL).await;
    }
    Ok(viewer.finish().await)
}

async fn first_multivariant(http: &Client, options: &Options) -> Result<Multivariant, Error> {
    let end = Instant::now() + options.wait;
    loop {
        let answer = http.get(&options.url).await;
        if answer.status == 200 {
            match playlist::parse_multivariant(&answer.text()) {
                Ok(multivariant) if !multivariant.variants.is_empty() => return Ok(multivariant),
                Ok(_) => {}
                Err(error) => return Err(Error::Media(format!("{}: {error}", options.url))),
            }
        }
        if Instant::now() > end {
            let what = format!("{} (last status {})", options.url, answer.status);
            return Err(Error::Deadline { what, deadline: options.wait });
        }
        tokio::time::sleep(POLL).await;
    }
}

/// CODECS, RESOLUTION, FRAME-RATE and BANDWIDTH against the media.
fn judge_multivariant(ledger: &mut Ledger, multivariant: &Multivariant) {
    let mut findings = Vec::new();
    let audio_peak = multivariant
        .audio
        .iter()
        .filter_map(|audio| ledger.renditions.get(&rendition_name(audio.uri.as_deref()?)))
        .map(|facts| facts.peak_bps)
        .fold(0.0, f64::max);
    for variant in &multivariant.variants {
        let name = rendition_name(&variant.uri);
        let mut wrong = |message: String| findings.push((name.clone(), message));
        let Some(facts) = ledger.renditions.get(&name) else { continue };
        if facts.figures.discontinuities.is_empty()
            && let Some(Track::Video { width, height, codec, .. }) = &facts.track
        {
            if !variant.codecs.iter().any(|listed| listed.eq_ignore_ascii_case(codec)) {
                wrong(format!("CODECS is {:?}, the media is {codec}", variant.codecs));
            }
            if variant.resolution != Some((*width, *height)) {
                wrong(format!("RESOLUTION is {:?}, the media is {width}x{height}", variant.resolution));
            }
            let rate = facts.frame_s.recip();
            if variant.frame_rate.is_none_or(|listed| (listed - rate).abs() > 0.01 * rate) {
                wrong(format!("FRAME-RATE is {:?}, the media has {rate:.3}", variant.frame_rate));
            }
        }
        let peak = facts.peak_bps + audio_peak;
        if peak > variant.bandwidth as f64 * BANDWIDTH_TOLERANCE {
            wrong(format!("BANDWIDTH is {}, a segment had {peak:.0} bit/s", variant.bandwidth));
        }
    }
    if !multivariant.independent_segments {
        findings.push(("index".to_owned(), "EXT-X-INDEPENDENT-SEGMENTS is not said".to_owned()));
    }
    for (name, message) in findings {
        ledger.find(Rule::Multivariant, &name, message);
    }
}
