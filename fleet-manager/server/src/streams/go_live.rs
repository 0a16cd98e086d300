//! What a streamer needs to go live: where to publish, how to set the encoder and why, and how the stream does.

use axum::extract::State;
use nodi_protocol::ChannelId;
use nodi_protocol::fleet::desired::Settings;
use serde::Serialize;
use utoipa::ToSchema;

use super::view::SessionView;
use crate::boxes::store::fleet_settings;
use crate::channels::{self, Channel};
use crate::error::Error;
use crate::http::client::Client;
use crate::http::extract::{At, Json, Query};
use crate::http::identity::Identity;
use crate::ingests::{self, Ingest, Where};
use crate::state::App;

/// The best rung of a box that nobody configured.
const USUAL_HEIGHT: u32 = 1_080;
const USUAL_BITRATE: u64 = 6_000_000;
/// In bit/s: what boxes pass on at most for sound.
const AUDIO_BITRATE: u64 = 160_000;
/// In seconds: the length of a segment.
const KEY_FRAMES_S: f64 = 2.0;
/// An encoder goes beyond its set rate for moments: a hundredth less than the limit would break it.
const BELOW_LIMIT_PERCENT: u64 = 80;
/// Servers to choose from.
const SERVERS: usize = 10;

/// How to set an encoder up for a channel.
#[derive(Debug, Clone, PartialEq, Serialize, ToSchema)]
pub(crate) struct GoLive {
    pub channel: ChannelId,
    pub display_name: String,
    /// Why nobody can publish to it, if nobody can.
    pub suspended_reason: Option<String>,
    /// Servers, the best one first.
    pub ingests: Vec<Ingest>,
    pub settings: EncoderSettings,
    /// The stream that is live now, and how it does.
    pub session: Option<SessionView>,
    pub watch_url: Option<String>,
}

#[derive(Debug, Clone, PartialEq, Serialize, ToSchema)]
pub(crate) struct EncoderSettings {
    pub video_bitrate_bps: u64,
    pub audio_bitrate_bps: u64,
    pub key_frame_interval_s: f64,
    pub max_height: u32,
    /// The same in the words of OBS, each with its reason.
    pub obs: Vec<Setting>,
}

/// One setting of OBS Studio.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, ToSchema)]
pub(crate) struct Setting {
    /// Where it is.
    pub name: &'static str,
    pub value: String,
    pub why: &'static str,
}

impl EncoderSettings {
    /// What fits the fleet's ladder and limits.
    #[must_use]
    pub(super) fn of(settings: &Settings) -> Self {
        let best = settings.ladder.as_ref().and_then(|ladder| ladder.iter().max_by_key(|rung| rung.height));
        let max_height = best.map_or(USUAL_HEIGHT, |rung| rung.height);
        let wanted = best.map_or(USUAL_BITRATE, |rung| u64::from(rung.bitrate));
        let limit = settings.limits.as_ref().and_then(|limits| limits.bitrate_bps);
        let most = limit.map_or(u64::MAX, |limit| (limit / 100).saturating_mul(BELOW_LIMIT_PERCENT));
        // The sound is within the limit too.
        let video_bitrate_bps = wanted.min(most.saturating_sub(AUDIO_BITRATE)).max(200_000);
        let obs = vec![
            Setting {
                name: "Output → Streaming → Rate Control",
                value: "CBR".to_owned(),
                why: "A constant rate is what a line carries best: peaks are what makes a stream stutter.",
            },
            Setting {
                name: "Output → Streaming → Bitrate",
                value: format!("{} Kbps", video_bitrate_bps / 1_000),
                why: "The best picture that viewers get has this rate. More does not make it better, \
                      and your upload should carry half as much again.",
            },
            Setting {
                name: "Output → Streaming → Keyframe Interval",
                value: format!("{KEY_FRAMES_S} s"),
                why: "Viewers can join and change resolution only at a key frame, and every two seconds one is needed.",
            },
            Setting {
                name: "Output → Streaming → Encoder",
                value: "H.264".to_owned(),
                why: "It is the one that boxes take: HEVC and AV1 are refused.",
            },
            Setting {
                name: "Output → Streaming → B-frames",
                value: "0".to_owned(),
                why: "Each B-frame adds to the delay between you and your viewers.",
            },
            Setting {
                name: "Output → Audio → Bitrate",
                value: format!("{} (AAC, 48 kHz, stereo)", AUDIO_BITRATE / 1_000),
                why: "It is as good as can be heard; more is thrown away.",
            },
            Setting {
                name: "Video → Output Resolution",
                value: format!("{} × {max_height}", max_height.saturating_mul(16) / 9),
                why: "A larger picture is made smaller by the box: it costs your line and gives viewers nothing.",
            },
            Setting {
                name: "Video → FPS",
                value: "30 or 60".to_owned(),
                why: "A whole and constant frame rate keeps the picture smooth.",
            },
        ];
        Self {
            video_bitrate_bps,
            audio_bitrate_bps: AUDIO_BITRATE,
            key_frame_interval_s: KEY_FRAMES_S,
            max_height,
            obs,
        }
    }
}

/// What a streamer needs to go live
///
/// For operators, viewers and the channel's owner. The key is not among it: it is shown once, when it is made.
#[utoipa::path(get, path = "/channels/{id}/go-live", params(("id" = ChannelId, Path), Where),
    responses((status = 200, description = "Servers, settings, and the stream if it is live.", body = GoLive)))]
pub(super) async fn go_live(
    State(app): State<App>,
    who: Identity,
    client: Client,
    At(id): At<ChannelId>,
    Query(place): Query<Where>,
) -> Result<Json<GoLive>, Error> {
    let channel = app.db.read(move |connection| channels::see(connection, &who, &id)).await?;
    Ok(Json(GoLive::of(&app, channel, client, &place).await?))
}

impl GoLive {
    /// For whoever may see the channel.
    pub(crate) async fn of(
        app: &App,
        channel: Channel,
        client: Client,
        place: &Where,
    ) -> Result<Self, Error> {
        let settings = app.db.read(|connection| Ok(fleet_settings(connection)?.0)).await?;
        let place = ingests::place(app, place, client)?;
        let suspended = channel.suspended_ms.is_some();
        Ok(Self {
            ingests: ingests::nearest(app, place, SERVERS),
            settings: EncoderSettings::of(&settings),
            session: super::live_on(app, &channel.id),
            watch_url: (!suspended).then(|| channels::watch_url(app, &channel.id)),
            suspended_reason: suspended.then(|| channel.suspended_reason.unwrap_or_default()),
            display_name: channel.display_name,
            channel: channel.id,
        })
    }
}

#[cfg(test)]
mod tests {
    use nodi_protocol::fleet::desired::{Limits, Rung};

    use super::*;

    #[test]
    fn the_settings_fit_the_ladder_and_the_limits() {
        let usual = EncoderSettings::of(&Settings::default());
        assert_eq!((usual.video_bitrate_bps, usual.max_height), (6_000_000, 1_080));
        let ladder = vec![
            Rung { name: "360p".parse().unwrap(), height: 360, bitrate: 800_000 },
            Rung { name: "720p".parse().unwrap(), height: 720, bitrate: 3_000_000 },
        ];
        let limits = Limits { bitrate_bps: Some(2_000_000), ..Limits::default() };
        let settings = Settings { ladder: Some(ladder), limits: Some(limits), ..Settings::default() };
        let fitting = EncoderSettings::of(&settings);
        assert_eq!((fitting.video_bitrate_bps, fitting.max_height), (1_440_000, 720));
        assert!(fitting.obs.iter().any(|setting| setting.value == "1440 Kbps"), "{:?}", fitting.obs);
    }
}
