//! What ladder the software back end can carry on this machine: a model of costs, measured once, and the choice of
//! presets and rungs that fits into a budget of cores. The measuring itself is in [`calibrate`].

pub mod calibrate;

use serde::{Deserialize, Serialize};

use crate::backend::Preset;
use crate::ladder::{Ladder, Picture, Rung};
use crate::rate::FrameRate;

/// CPU time per pixel, in nanoseconds.
#[derive(Debug, Clone, Copy, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Costs {
    /// Of the source.
    pub decode: f64,
    /// Of the source, for each rung that is smaller.
    pub scale: f64,
    /// Of the rung.
    pub ultrafast: f64,
    pub superfast: f64,
    pub veryfast: f64,
}

/// What fits.
#[derive(Debug, Clone, PartialEq)]
pub struct Choice {
    pub ladder: Ladder,
    pub preset: Preset,
    /// Cores that this will fill.
    pub cores: f64,
    /// What of the ladder was left out, in words.
    pub given_up: Vec<String>,
}

/// A rate that is not worth halving: 15 fps look broken, a smaller picture does not.
const LEAST_HALVED_FPS: f64 = 45.0;

/// Pixels per second that one encoder thread is sure to keep up with at any preset we use, on any core that
/// carries more than one rung: 1080p at 30 fps and a little.
const ONE_THREAD: f64 = 70e6;

/// Encoder threads for `rung`. Threads cost a little and delay nothing, since they work on slices of one picture.
#[must_use]
pub fn threads(rung: &Rung, rate: FrameRate) -> u32 {
    if rung.pixel_rate(rate) > ONE_THREAD { 2 } else { 1 }
}

impl Costs {
    #[must_use]
    pub fn encode(&self, preset: Preset) -> f64 {
        match preset {
            Preset::Ultrafast => self.ultrafast,
            Preset::Superfast => self.superfast,
            Preset::Veryfast => self.veryfast,
        }
    }

    /// Cores that `ladder` fills.
    #[must_use]
    pub fn cores(&self, source: Picture, ladder: &Ladder, preset: Preset) -> f64 {
        let source_rate = f64::from(source.width) * f64::from(source.height) * source.frame_rate.fps();
        let rungs: f64 = ladder
            .rungs
            .iter()
            .map(|rung| {
                let own_size = (rung.width, rung.height) == (source.width, source.height);
                let share = if rung.half_rate { 0.5 } else { 1.0 };
                let scale = if own_size { 0.0 } else { self.scale * source_rate * share };
                scale + self.encode(preset) * rung.pixel_rate(ladder.frame_rate)
            })
            .sum();
        (self.decode * source_rate + rungs) / 1e9
    }

    /// The best that fits into `budget` cores: first the preset gives way, then the top rung's frame rate, then
    /// the rung. One rung always remains.
    #[must_use]
    pub fn choose(&self, source: Picture, ladder: &Ladder, presets: &[Preset], budget: f64) -> Choice {
        let mut ladder = ladder.clone();
        let mut given_up = Vec::new();
        loop {
            let fitting = presets
                .iter()
                .rev()
                .map(|preset| (*preset, self.cores(source, &ladder, *preset)))
                .find(|(_, cores)| *cores <= budget);
            if let Some((preset, cores)) = fitting {
                return Choice { ladder, preset, cores, given_up };
            }
            let fps = ladder.frame_rate.fps();
            let rungs = ladder.rungs.len();
            match ladder.rungs.first_mut() {
                Some(top) if !top.half_rate && fps > LEAST_HALVED_FPS => {
                    top.half_rate = true;
                    given_up.push(format!("{} at {fps:.0} fps", top.name));
                }
                Some(top) if rungs > 1 => {
                    given_up.push(top.name.to_string());
                    ladder.rungs.remove(0);
                }
                _ => {
                    let preset = presets.first().copied().unwrap_or(Preset::Ultrafast);
                    let cores = self.cores(source, &ladder, preset);
                    return Choice { ladder, preset, cores, given_up };
                }
            }
        }
    }
}

/// What one machine carries, for those who send streamers to it.
#[derive(Debug, Clone, Copy, PartialEq, Serialize)]
pub struct Capacity {
    /// `jetson` or `software`.
    pub backend: nodi_spool::Backend,
    /// Sessions of 1080p at 30 fps with the whole ladder, all at once.
    pub sessions: f64,
}

impl Capacity {
    /// By the costs that were measured, at the fastest preset: more sessions would lose rungs.
    #[must_use]
    pub fn of_software(costs: &Costs, configured: &[crate::config::Rung], cores: f64) -> Self {
        let (source, ladder) = usual_session(configured);
        let each = costs.cores(source, &ladder, Preset::Ultrafast);
        Self { backend: nodi_spool::Backend::Software, sessions: cores / each }
    }

    /// By the pixels that the encoder carries.
    #[must_use]
    pub fn of_hardware(pixels_per_s: u64, configured: &[crate::config::Rung]) -> Self {
        let (source, ladder) = usual_session(configured);
        let each: f64 = ladder.rungs.iter().map(|rung| rung.pixel_rate(source.frame_rate)).sum();
        #[allow(clippy::cast_precision_loss, reason = "pixel rates stay far below 2^52")]
        let sessions = pixels_per_s as f64 / each;
        Self { backend: nodi_spool::Backend::Jetson, sessions }
    }
}

fn usual_session(configured: &[crate::config::Rung]) -> (Picture, Ladder) {
    let source = Picture::new(1920, 1080, (1, 1), FrameRate::new(30, 1));
    (source, Ladder::for_source(source, configured, std::time::Duration::from_secs(2)))
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use super::*;
    use crate::config;

    const COSTS: Costs = Costs { decode: 2.7, scale: 1.0, ultrafast: 4.0, superfast: 7.0, veryfast: 11.0 };

    fn choose(fps: u32, budget: f64) -> (Preset, Vec<String>, Vec<String>) {
        let source = Picture::new(1920, 1080, (1, 1), FrameRate::new(fps, 1));
        let ladder = Ladder::for_source(source, &config::default_ladder(), Duration::from_secs(2));
        let choice = COSTS.choose(source, &ladder, &Preset::ALL, budget);
        assert!(choice.cores <= budget || choice.ladder.rungs.len() == 1);
        let names = choice
            .ladder
            .rungs
            .iter()
            .map(|rung| format!("{}{}", rung.name, if rung.half_rate { "/2" } else { "" }));
        (choice.preset, names.collect(), choice.given_up)
    }

    #[test]
    fn a_large_machine_gets_all() {
        assert_eq!(choose(30, 8.0).0, Preset::Veryfast);
        assert!(choose(60, 8.0).2.is_empty());
    }

    #[test]
    fn presets_give_way_first_then_rate_then_rungs() {
        assert_eq!(choose(30, 1.1).0, Preset::Superfast);
        assert_eq!(choose(30, 0.8).0, Preset::Ultrafast);
        assert_eq!(choose(60, 1.2).1, ["1080p/2", "720p", "360p"]);
        assert_eq!(choose(30, 0.5).1, ["720p", "360p"]);
        assert_eq!(choose(60, 0.6).2, ["1080p at 60 fps", "1080p", "720p at 60 fps", "720p"]);
        assert_eq!(choose(30, 0.01).1, ["360p"]);
    }

    #[test]
    fn capacity_is_counted_in_whole_ladders() {
        let ladder = config::default_ladder();
        let nx = Capacity::of_hardware(config::Config::default().hardware_pixels_per_s, &ladder);
        assert!((7.0..9.0).contains(&nx.sessions), "{nx:?}");
        let small = Capacity::of_software(&COSTS, &ladder, 2.0);
        assert!((2.0..4.0).contains(&small.sessions), "{small:?}");
        let low = Capacity::of_software(&COSTS, &ladder[2..], 2.0);
        assert!(low.sessions > 2.0 * small.sessions, "fewer rungs, more sessions: {low:?}");
    }

    #[test]
    fn large_fast_rungs_get_a_second_thread() {
        let source = Picture::new(1920, 1080, (1, 1), FrameRate::new(60, 1));
        let mut rung =
            Ladder::for_source(source, &config::default_ladder(), Duration::from_secs(2)).rungs.remove(0);
        assert_eq!(threads(&rung, source.frame_rate), 2);
        rung.half_rate = true;
        assert_eq!(threads(&rung, source.frame_rate), 1);
    }
}
