//! Follows one rendition as a low-latency player does: blocking reloads, delta updates, announced parts.

use std::collections::HashMap;
use std::path::PathBuf;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::{Duration, Instant, SystemTime, UNIX_EPOCH};

use bytes::{Bytes, BytesMut};
use reqwest::header;
use tokio::task::JoinHandle;

use super::growth;
use super::http::{Answer, Client, resolve};
use super::ledger::{Claim, Ledger};
use super::mp4::{self, Fragment, Init, Track};
use super::playlist::{self, Media, Position, Segment};
use super::report::Rule;

pub(super) type Shared = Arc<Mutex<Ledger>>;

/// The least share of PART-TARGET that an inner part may have.
const SHORTEST_PART: f64 = 0.85;
/// Playlists round durations to a microsecond or a millisecond.
const ROUNDING_S: f64 = 0.001_1;
/// After an answer that was no playlist.
const RETRY: Duration = Duration::from_millis(250);
/// Every so many reloads the full playlist is fetched as well and compared with what deltas built.
const FULL_EVERY: u64 = 8;
/// The server's and this machine's clock are the same one in the lab, and synchronised elsewhere.
const FUTURE_MS: i64 = 250;
/// Media this old when it arrives is not live.
const OLD_MS: i64 = 4_000;

pub(super) fn lock(ledger: &Shared) -> MutexGuard<'_, Ledger> {
    // Facts are added one at a time: what a panicking follower left is whole.
    ledger.lock().unwrap_or_else(PoisonError::into_inner)
}

/// Where to look and what to do with it.
pub(super) struct Follower {
    pub http: Client,
    pub ledger: Shared,
    pub name: String,
    pub url: String,
    /// Every playlist is saved here.
    pub save: Option<PathBuf>,
    known: Option<Media>,
    known_at: Instant,
    inits: HashMap<String, Init>,
    hint: Option<(String, JoinHandle<Answer>)>,
    /// Where the next fragment's samples have to start, by discontinuity sequence.
    expected: Option<(u64, u64)>,
    /// Segment whose parts are being collected, and their bytes.
    collected: Option<(u64, u64, BytesMut)>,
    next: Position,
    joined: bool,
    saved: u64,
    reloads: u64,
}

impl Follower {
    pub(super) fn new(
        http: Client,
        ledger: Shared,
        name: String,
        url: String,
        save: Option<PathBuf>,
    ) -> Self {
        Self {
            http,
            ledger,
            name,
            url,
            save,
            known: None,
            known_at: Instant::now(),
            inits: HashMap::new(),
            hint: None,
            expected: None,
            collected: None,
            next: (0, 0),
            joined: false,
            saved: 0,
            reloads: 0,
        }
    }

    /// Until the playlist ends; the caller drops the future at the end of the check.
    pub(super) async fn run(mut self) {
        loop {
            match self.reload().await {
                Ok(true) => break,
                Ok(false) => {}
                Err(status) => {
                    lock(&self.ledger).refused("playlist", status);
                    tokio::time::sleep(RETRY).await;
                }
            }
        }
    }

    fn find(&self, rule: Rule, message: impl Into<String>) {
        lock(&self.ledger).find(rule, &self.name, message);
    }

    /// One playlist and everything new in it. `Ok(true)` when it has ended.
    async fn reload(&mut self) -> Result<bool, u16> {
        let asked = Instant::now();
        let wanted =
            self.known.as_ref().filter(|known| known.server_control.can_block_reload).map(Media::next);
        let can_skip = self.known.as_ref().is_some_and(|known| known.server_control.can_skip_until.is_some());
        let with_delta = wanted.is_some() && can_skip;
        let query = wanted.map_or(String::new(), |(msn, part)| format!("?_HLS_msn={msn}&_HLS_part={part}"));
        let url = format!("{}{query}{}", self.url, if with_delta { "&_HLS_skip=YES" } else { "" });
        let media = self.load(&url).await?;
        self.reloads += 1;
        let received = Instant::now();
        let Some(media) = media else { return Ok(false) };

        let was_delta = media.skipped > 0;
        let media = match &self.known {
            Some(known) => match media.expand(known) {
                Ok(media) => media,
                Err(reason) => {
                    self.find(Rule::Delta, reason);
                    self.known = None;
                    return Ok(false);
                }
            },
            None => media,
        };
        if was_delta {
            lock(&self.ledger).facts(&self.name).figures.delta_updates += 1;
            if self.reloads.is_multiple_of(FULL_EVERY) {
                self.compare_with_full(&media, &query).await;
            }
        }
        self.judge(&media, wanted, (asked, received));
        let ended = media.ended;
        self.fetch_new(&media).await;
        if self.known.as_ref().is_some_and(|known| known.next() == media.next()) && !ended {
            // A reload that answered without anything new would be asked again at once.
            tokio::time::sleep(RETRY).await;
        }
        self.known = Some(media);
        self.known_at = received;
        if ended {
            let mut ledger = lock(&self.ledger);
            let facts = ledger.facts(&self.name);
            facts.figures.ended = true;
            facts.player.end(Instant::now());
        }
        Ok(ended)
    }

    /// `Err` holds the status of an answer that is no playlist.
    async fn load(&mut self, url: &str) -> Result<Option<Media>, u16> {
        let answer = self.http.get(url).await;
        if answer.status != 200 {
            return Err(answer.status);
        }
        let text = answer.text();
        self.save_playlist(&text);
        let kind = answer.header(header::CONTENT_TYPE);
        if !kind.starts_with("application/vnd.apple.mpegurl") && !kind.starts_with("audio/mpegurl") {
            self.find(Rule::Headers, format!("a playlist's Content-Type is {kind:?}"));
        }
        self.check_cross_origin(&answer, url);
        let parsed = playlist::parse_media(&text);
        let mut ledger = lock(&self.ledger);
        ledger.facts(&self.name).figures.playlists += 1;
        match parsed {
            Ok(media) => Ok(Some(media)),
            Err(error) => {
                ledger.find(Rule::Syntax, &self.name, format!("{url}: {error}"));
                Err(answer.status)
            }
        }
    }

    fn check_cross_origin(&self, answer: &Answer, url: &str) {
        if answer.header(header::ACCESS_CONTROL_ALLOW_ORIGIN) != "*" {
            self.find(Rule::Headers, format!("{url} is not for other sites (Access-Control-Allow-Origin)"));
        }
    }

    fn save_playlist(&mut self, text: &str) {
        let Some(folder) = self.save.as_ref().map(|folder| folder.join(&self.name)) else { return };
        self.saved += 1;
        let path = folder.join(format!("{:05}.m3u8", self.saved));
        if let Err(error) = std::fs::create_dir_all(&folder).and_then(|()| std::fs::write(&path, text)) {
            log::warn!("cannot save {}: {error}", path.display());
        }
    }

    /// The playlist that deltas built and the full one may differ at the moving end only.
    async fn compare_with_full(&mut self, built: &Media, query: &str) {
        let url = format!("{}{query}", self.url);
        let Ok(Some(full)) = self.load(&url).await else { return };
        for segment in full.segments.iter().filter(|segment| segment.is_complete()) {
            let other = built.segments.iter().find(|other| other.msn == segment.msn && other.is_complete());
            // Parts leave the list as the end moves on between the two requests. A gap that was filled behind the skip
            // boundary stays a gap for who reads deltas: it lies further back than anybody plays.
            let same = other.is_none_or(|other| {
                let gap = segment.gap || other.gap;
                let strip = |segment: &Segment| Segment { parts: Vec::new(), gap, ..segment.clone() };
                strip(other) == strip(segment)
            });
            if !same {
                self.find(
                    Rule::Delta,
                    format!("segment {} is {segment:?} in full and {other:?} by deltas", segment.msn),
                );
            }
        }
        if full.media_sequence < built.media_sequence {
            self.find(Rule::Delta, "the full playlist is older than the delta update".to_owned());
        }
    }

    /// Everything that the text alone shows.
    fn judge(&mut self, media: &Media, wanted: Option<Position>, (asked, received): (Instant, Instant)) {
        let mut ledger = lock(&self.ledger);
        let name = &self.name;
        if let Some(known) = &self.known {
            for reason in growth::compare(known, media) {
                ledger.find(Rule::Growth, name, reason);
            }
        }
        if let Some(wanted) = wanted
            && media.next() <= wanted
            && !media.ended
        {
            let message = format!(
                "asked for part {wanted:?}, answered after {} ms with a playlist up to {:?}",
                (received - asked).as_millis(),
                media.next()
            );
            ledger.find(Rule::BlockingReload, name, message);
        }
        if let Some(position) = last(media) {
            ledger.facts(name).positions.push((received, position));
        }
        for report in &media.reports {
            let about = rendition_name(&report.uri);
            let position = (report.last_msn, report.last_part.unwrap_or(0));
            ledger.claims.push(Claim { by: name.clone(), about, position, asked, received });
        }
        let target = media.part_target.unwrap_or(f64::MAX);
        for segment in media.segments.iter().filter(|segment| segment.msn >= self.next.0) {
            judge_segment(&mut ledger, name, segment, target, media.target_duration_s);
        }
    }

    /// All parts and segments that this playlist names and the last one did not.
    async fn fetch_new(&mut self, media: &Media) {
        let announced = media.preload_hint.clone();
        for segment in &media.segments {
            if segment.msn < self.next.0 || segment.msn == self.next.0 && self.next.1 == u64::MAX {
                continue;
            }
            if segment.gap {
                self.note_segment(segment);
                self.forget_position();
                continue;
            }
            if segment.parts.is_empty() && segment.is_complete() {
                // Too old for parts, or plain HLS.
                self.whole_segment(segment, media.target_duration_s).await;
                continue;
            }
            self.note_segment(segment);
            for (number, part) in (0..).zip(&segment.parts) {
                if (segment.msn, number) < self.next {
                    continue;
                }
                let is_hint = self.hint.as_ref().is_some_and(|(uri, _)| *uri == part.uri);
                let answer = if is_hint {
                    self.hinted().await
                } else {
                    self.check_hint(&part.uri, segment);
                    self.http.get(&resolve(&self.url, &part.uri)).await
                };
                self.part(segment, number, &part.uri, part.duration, part.independent, answer).await;
                self.next = (segment.msn, number + 1);
            }
            if segment.is_complete() {
                self.compare_bytes(segment, media.target_duration_s).await;
                self.next = (segment.msn + 1, 0);
            }
        }
        if !self.joined {
            self.joined = true;
            let hold_back = media.server_control.part_hold_back.or(media.server_control.hold_back);
            let hold_back = Duration::from_secs_f64(hold_back.unwrap_or(0.0));
            lock(&self.ledger).facts(&self.name).player.start(Instant::now(), hold_back);
        }
        if let Some(uri) = announced
            && self.hint.as_ref().is_none_or(|(hinted, _)| *hinted != uri)
        {
            let (http, url) = (self.http.clone(), resolve(&self.url, &uri));
            // Ends with the answer or with the client's time-out; dropped with the follower otherwise.
            let task = tokio::spawn(async move { http.get(&url).await });
            if let Some((_, old)) = self.hint.replace((uri, task)) {
                old.abort();
                lock(&self.ledger).facts(&self.name).figures.hints_unmet += 1;
            }
        }
    }

    async fn hinted(&mut self) -> Answer {
        let Some((uri, task)) = self.hint.take() else { return self.http.get(&self.url).await };
        match task.await {
            Ok(answer) if answer.status == 200 => answer,
            other => {
                let status = other.map_or(0, |answer| answer.status);
                self.find(Rule::PreloadHint, format!("{uri} was announced and answered {status}"));
                self.http.get(&resolve(&self.url, &uri)).await
            }
        }
    }

    /// A part came that is not the announced one: allowed only where the timeline breaks.
    fn check_hint(&mut self, uri: &str, segment: &Segment) {
        let Some((hinted, task)) = self.hint.take() else { return };
        task.abort();
        let mut ledger = lock(&self.ledger);
        ledger.facts(&self.name).figures.hints_unmet += 1;
        let broke = self
            .known
            .as_ref()
            .and_then(|known| known.segments.last())
            .is_none_or(|last| last.discontinuity != segment.discontinuity);
        if !broke {
            let message = format!("{hinted} was announced, {uri} came");
            ledger.find(Rule::PreloadHint, &self.name, message);
        }
    }

    async fn part(
        &mut self,
        segment: &Segment,
        number: u64,
        uri: &str,
        duration: f64,
        independent: bool,
        answer: Answer,
    ) {
        let Some(fragments) = self.fragments(segment, uri, &answer, number == 0).await else {
            return;
        };
        let media_s = self.durations(segment, &fragments);
        if (media_s - duration).abs() > ROUNDING_S {
            self.find(
                Rule::PartDuration,
                format!("{uri} is listed with {duration} s, its samples last {media_s:.6} s"),
            );
        }
        let video = self.init(segment).is_some_and(|init| matches!(init.track, Track::Video { .. }));
        let starts = fragments.first().is_some_and(|fragment| {
            !video || fragment.starts_with_idr() && fragment.samples.first().is_some_and(|s| s.sync)
        });
        if independent != starts {
            self.find(
                Rule::KeyFrame,
                format!("{uri} says INDEPENDENT={independent}, its first sample is a key frame: {starts}"),
            );
        }
        match &mut self.collected {
            Some((msn, parts, bytes)) if *msn == segment.msn && *parts == number => {
                *parts += 1;
                bytes.extend_from_slice(&answer.body);
            }
            collected if number == 0 => {
                *collected = Some((segment.msn, 1, BytesMut::from(answer.body.as_ref())));
            }
            collected => *collected = None,
        }
        let age_ms = self.age_ms(segment, number);
        let mut ledger = lock(&self.ledger);
        let facts = ledger.facts(&self.name);
        facts.figures.parts += 1;
        facts.player.arrived(Instant::now(), Duration::from_secs_f64(duration));
        if let Some(age_ms) = age_ms.filter(|_| self.joined) {
            facts.ages_ms.push(age_ms);
            if !(-FUTURE_MS..=OLD_MS).contains(&age_ms) {
                let message = format!("{uri} ends {age_ms} ms before the clock of who received it");
                ledger.find(Rule::ProgramDateTime, &self.name, message);
            }
        }
    }

    async fn whole_segment(&mut self, segment: &Segment, target_s: u64) {
        self.note_segment(segment);
        if self.next.0 == segment.msn && self.next.1 > 0 {
            // An outage cut it off after some parts: now it is read from the beginning.
            self.forget_position();
            lock(&self.ledger).facts(&self.name).segments.remove(&segment.msn);
            self.note_segment(segment);
        }
        let Some(uri) = segment.uri.clone() else { return };
        let answer = self.http.get(&resolve(&self.url, &uri)).await;
        if let Some(fragments) = self.fragments(segment, &uri, &answer, true).await {
            self.durations(segment, &fragments);
            self.finished(segment, target_s, &answer.body);
            let mut ledger = lock(&self.ledger);
            let media = Duration::from_secs_f64(segment.duration.unwrap_or(0.0));
            ledger.facts(&self.name).player.arrived(Instant::now(), media);
        }
        self.collected = None;
        self.next = (segment.msn + 1, 0);
    }

    /// The segment as a whole, against the parts that were fetched one by one.
    async fn compare_bytes(&mut self, segment: &Segment, target_s: u64) {
        let collected = self.collected.take();
        let Some(uri) = segment.uri.as_deref() else { return };
        let answer = self.http.get(&resolve(&self.url, uri)).await;
        if answer.status != 200 {
            self.missing(uri, answer.status);
            return;
        }
        if let Some((msn, parts, bytes)) = collected
            && (msn, parts) == (segment.msn, segment.parts.len() as u64)
            && bytes != answer.body
        {
            let (whole, sum) = (answer.body.len(), bytes.len());
            self.find(Rule::SegmentBytes, format!("{uri} has {whole} bytes, its parts {sum}, or others"));
        }
        self.finished(segment, target_s, &answer.body);
    }

    fn finished(&self, segment: &Segment, target_s: u64, body: &Bytes) {
        let mut ledger = lock(&self.ledger);
        let facts = ledger.facts(&self.name);
        facts.figures.segments += 1;
        let media_s = {
            let known = facts.segments.entry(segment.msn).or_default();
            known.complete = true;
            known.media_s
        };
        if let Some(duration) = segment.duration.filter(|duration| *duration > 0.1) {
            // BANDWIDTH bounds stretches of half a target duration and more (4.4.6.2).
            if duration >= target_s as f64 / 2.0 {
                facts.peak_bps = facts.peak_bps.max(body.len() as f64 * 8.0 / duration);
            }
            if media_s > 0.0 && self.joined && (media_s - duration).abs() > ROUNDING_S {
                let message = format!(
                    "segment {} is listed with {duration} s, its samples last {media_s:.6} s",
                    segment.msn
                );
                ledger.find(Rule::SegmentDuration, &self.name, message);
            }
        }
    }

    fn missing(&self, uri: &str, status: u16) {
        let mut ledger = lock(&self.ledger);
        ledger.refused("media", status);
        ledger.find(Rule::Missing, &self.name, format!("{uri} is listed and answered {status}"));
    }

    /// What no fetched media can be compared with any more.
    fn forget_position(&mut self) {
        self.expected = None;
        self.collected = None;
    }

    /// Reads and judges the fragments of a part or a segment; `None` when they are not to be had.
    async fn fragments(
        &mut self,
        segment: &Segment,
        uri: &str,
        answer: &Answer,
        is_start: bool,
    ) -> Option<Vec<Fragment>> {
        if answer.status != 200 {
            self.missing(uri, answer.status);
            self.forget_position();
            return None;
        }
        lock(&self.ledger).facts(&self.name).figures.bytes += answer.body.len() as u64;
        self.check_media_headers(uri, answer);
        self.load_init(segment).await;
        let init = self.init(segment)?.clone();
        let fragments = match mp4::parse_fragments(&init, &answer.body) {
            Ok(fragments) if !fragments.is_empty() => fragments,
            Ok(_) => {
                self.find(Rule::Missing, format!("{uri} holds no media"));
                return None;
            }
            Err(reason) => {
                self.find(Rule::Missing, format!("{uri}: {reason}"));
                return None;
            }
        };
        self.judge_times(&init, segment, uri, &fragments);
        if is_start && let Some(first) = fragments.first() {
            self.judge_start(&init, segment, uri, first);
        }
        Some(fragments)
    }

    fn judge_times(&mut self, init: &Init, segment: &Segment, uri: &str, fragments: &[Fragment]) {
        for fragment in fragments {
            if let Some((expected, discontinuity)) = self.expected
                && discontinuity == segment.discontinuity
                && expected != fragment.decode_time
            {
                let off = fragment.decode_time.abs_diff(expected) as f64 / f64::from(init.timescale);
                let sign = if fragment.decode_time > expected { "after" } else { "before" };
                self.find(Rule::Continuity, format!("{uri} starts {off:.6} s {sign} what came before ends"));
            }
            self.expected = Some((fragment.decode_time + fragment.duration(), segment.discontinuity));
            if fragment.samples.iter().any(|sample| sample.composition_offset != 0) {
                self.find(Rule::Continuity, format!("{uri} has reordered frames"));
            }
        }
    }

    fn judge_start(&self, init: &Init, segment: &Segment, uri: &str, first: &Fragment) {
        let mut ledger = lock(&self.ledger);
        let sync = first.samples.first().is_some_and(|sample| sample.sync);
        if matches!(init.track, Track::Video { .. }) && !(sync && first.starts_with_idr()) {
            let message = format!(
                "segment {} ({uri}) does not start with a key frame (sync flag {sync}, NAL units {:?})",
                segment.msn, first.first_nals
            );
            ledger.find(Rule::KeyFrame, &self.name, message);
        }
        let facts = ledger.facts(&self.name);
        let known = facts.segments.entry(segment.msn).or_default();
        known.start_s = Some(first.decode_time as f64 / f64::from(init.timescale));
    }

    /// Adds to what is known of the segment; returns how long the fragments last, in seconds.
    fn durations(&self, segment: &Segment, fragments: &[Fragment]) -> f64 {
        let Some(init) = self.init(segment) else { return 0.0 };
        let scale = f64::from(init.timescale);
        let ticks: u64 = fragments.iter().map(Fragment::duration).sum();
        let mut ledger = lock(&self.ledger);
        let facts = ledger.facts(&self.name);
        facts.track = Some(init.track.clone());
        for sample in fragments.iter().flat_map(|fragment| &fragment.samples) {
            *facts.durations.entry(sample.duration).or_default() += 1;
        }
        let usual = facts.durations.iter().max_by_key(|(_, count)| **count);
        facts.frame_s = usual.map_or(0.0, |(ticks, _)| f64::from(*ticks) / scale);
        facts.segments.entry(segment.msn).or_default().media_s += ticks as f64 / scale;
        ticks as f64 / scale
    }

    fn note_segment(&self, segment: &Segment) {
        let mut ledger = lock(&self.ledger);
        if let Some(session) = segment
            .uri
            .as_deref()
            .or(segment.parts.first().map(|part| part.uri.as_str()))
            .and_then(|uri| uri.split('/').next())
        {
            ledger.saw_session(session);
        }
        let facts = ledger.facts(&self.name);
        let known = facts.segments.entry(segment.msn).or_default();
        known.discontinuity = segment.discontinuity;
        known.date_ms = segment.program_date_time_ms;
        if segment.gap {
            facts.figures.gaps.insert(segment.msn);
        }
        let broke = segment.msn > 0
            && facts
                .segments
                .get(&(segment.msn - 1))
                .is_some_and(|before| before.discontinuity < segment.discontinuity);
        if broke {
            facts.figures.discontinuities.insert(segment.msn);
        }
    }

    fn init(&self, segment: &Segment) -> Option<&Init> {
        self.inits.get(segment.map.as_deref()?)
    }

    async fn load_init(&mut self, segment: &Segment) {
        let Some(uri) = segment.map.clone() else {
            self.find(Rule::Syntax, format!("segment {} has no EXT-X-MAP", segment.msn));
            return;
        };
        if self.inits.contains_key(&uri) {
            return;
        }
        let answer = self.http.get(&resolve(&self.url, &uri)).await;
        if answer.status != 200 {
            self.missing(&uri, answer.status);
            return;
        }
        self.check_media_headers(&uri, &answer);
        match mp4::parse_init(&answer.body) {
            Ok(init) => {
                self.inits.insert(uri, init);
            }
            Err(reason) => self.find(Rule::Missing, format!("{uri}: {reason}")),
        }
    }

    /// Media never changes under its address, so every cache may keep it.
    fn check_media_headers(&self, uri: &str, answer: &Answer) {
        let kind = answer.header(header::CONTENT_TYPE);
        if !["video/mp4", "audio/mp4", "video/iso.segment"].contains(&kind) {
            self.find(Rule::Headers, format!("{uri} has Content-Type {kind:?}"));
        }
        if answer.max_age().is_none_or(|seconds| seconds < 60) {
            let control = answer.header(header::CACHE_CONTROL);
            self.find(Rule::Headers, format!("{uri} may not be cached for a minute: {control:?}"));
        }
        self.check_cross_origin(answer, uri);
    }

    /// How long ago the end of this part was life.
    fn age_ms(&self, segment: &Segment, number: u64) -> Option<i64> {
        let parts = usize::try_from(number).ok()?.checked_add(1)?;
        let offset_s: f64 = segment.parts.iter().take(parts).map(|part| part.duration).sum();
        let now_ms = SystemTime::now().duration_since(UNIX_EPOCH).ok()?.as_millis();
        #[allow(clippy::cast_possible_truncation, reason = "a segment lasts seconds")]
        let end_ms = segment.program_date_time_ms? + (offset_s * 1_000.0) as i64;
        Some(i64::try_from(now_ms).ok()? - end_ms)
    }
}

impl Drop for Follower {
    fn drop(&mut self) {
        if let Some((_, task)) = self.hint.take() {
            task.abort();
        }
    }
}

fn judge_segment(ledger: &mut Ledger, name: &str, segment: &Segment, part_target: f64, target_s: u64) {
    let msn = segment.msn;
    if let Some(duration) = segment.duration
        && duration.round() > target_s as f64
    {
        let message = format!("segment {msn} lasts {duration} s, EXT-X-TARGETDURATION is {target_s}");
        ledger.find(Rule::SegmentDuration, name, message);
    }
    for (number, part) in segment.parts.iter().enumerate() {
        if part.duration > part_target {
            let message = format!("{} lasts {} s, PART-TARGET is {part_target}", part.uri, part.duration);
            ledger.find(Rule::PartDuration, name, message);
        }
        // Inner parts have one after them: the last one may be short, and one before a key frame too.
        let inner = segment.parts.get(number + 1).is_some_and(|next| !next.independent || part.independent);
        if inner && part.duration < part_target * SHORTEST_PART {
            let message = format!("{} lasts only {} s of {part_target}", part.uri, part.duration);
            ledger.find(Rule::PartDuration, name, message);
        }
    }
    if segment.program_date_time_ms.is_none() && !segment.gap {
        ledger.find(Rule::ProgramDateTime, name, format!("segment {msn} has none"));
    }
    if segment.parts.first().is_some_and(|part| !part.independent) {
        ledger.find(Rule::KeyFrame, name, format!("the first part of segment {msn} is not INDEPENDENT"));
    }
}

/// The last part that is listed.
fn last(media: &Media) -> Option<Position> {
    let segment = media.segments.last()?;
    Some((segment.msn, (segment.parts.len() as u64).saturating_sub(1)))
}

/// `720p` of `…/720p.m3u8?x`.
#[must_use]
pub(super) fn rendition_name(uri: &str) -> String {
    let path = uri.split('?').next().unwrap_or(uri);
    let file = path.rsplit('/').next().unwrap_or(path);
    file.strip_suffix(".m3u8").unwrap_or(file).to_owned()
}
