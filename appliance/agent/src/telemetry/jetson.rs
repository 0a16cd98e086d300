//! What only NVIDIA's boards tell, from where `tegrastats` reads it: load of the GPU, clocks of the video encoder, and
//! power at the INA3221 monitors. Works by what is there, not by the name of the board.

use std::path::{Path, PathBuf};

use super::source::{Source, name, number, share, text};

/// Names that the integrated GPU had through the generations, at the end of its device's name.
const GPUS: [&str; 5] = ["gpu", "ga10b", "gv11b", "gp10b", "gm20b"];
/// Where the GPU is on systems whose devfreq does not lead to it.
const GPU_LOADS: [&str; 3] = [
    "sys/devices/platform/bus@0/17000000.gpu/load",
    "sys/devices/platform/17000000.ga10b/load",
    "sys/devices/gpu.0/load",
];
/// Where the clocks are in debugfs: since Orin, and before.
const CLOCKS: [(&str, [&str; 3]); 2] = [
    ("sys/kernel/debug/bpmp/debug/clk/nvenc", ["state", "rate", "max_rate"]),
    ("sys/kernel/debug/clk/nvenc", ["clk_enable_count", "clk_rate", "clk_max_rate"]),
];
/// The rail that feeds everything else, by its names through the generations.
const TOTAL_RAILS: [&str; 2] = ["VDD_IN", "POM_5V_IN"];

/// Share of time that the GPU was busy, as its driver measures it.
pub(super) fn gpu(source: &Source) -> Option<f32> {
    let devices = source.entries("sys/class/devfreq").into_iter();
    let from_devfreq =
        devices.filter(|path| is_one_of(path, &GPUS)).find_map(|path| number(&path.join("device/load")));
    let fixed = || GPU_LOADS.iter().find_map(|path| number(&source.at(path)));
    if let Some(thousandths) = from_devfreq.or_else(fixed) {
        return share(thousandths, 1000);
    }
    // AMD's driver, on other boxes.
    let cards = source.entries("sys/class/drm").into_iter();
    let percent: u64 = cards.into_iter().find_map(|path| number(&path.join("device/gpu_busy_percent")))?;
    share(percent, 100)
}

fn is_one_of(path: &Path, names: &[&str]) -> bool {
    let name = name(path);
    let kind = name.rsplit('.').next().unwrap_or_default();
    names.contains(&kind)
}

/// Whether there is a video encoder at all. Orin Nano has none.
pub(crate) fn has_encoder(source: &Source) -> bool {
    encoder_device(source).is_some() || CLOCKS.iter().any(|(path, _)| source.at(path).is_dir())
}

fn encoder_device(source: &Source) -> Option<PathBuf> {
    source.entries("sys/class/devfreq").into_iter().find(|path| is_one_of(path, &["nvenc"]))
}

/// The load of the video encoder.
#[derive(Debug, Default)]
pub(super) struct Encoder {
    /// Milliseconds with and without power.
    last: Option<(u64, u64)>,
}

impl Encoder {
    /// Its clock follows its load, so the clock's share of the highest one, for the share of time that it ran. `None`
    /// where a governor holds the clock: then it says nothing.
    pub(super) fn load(&mut self, source: &Source) -> Option<f32> {
        if let Some(device) = encoder_device(source) {
            if text(&device.join("governor")).is_some_and(|governor| governor == "performance") {
                return None;
            }
            let clock = share(number(&device.join("cur_freq"))?, number(&device.join("max_freq"))?)?;
            return Some(clock * self.powered(&device.join("device/power")).unwrap_or(1.0));
        }
        CLOCKS.iter().find_map(|(directory, [state, rate, highest])| {
            let at = |file: &str| number::<u64>(&source.at(directory).join(file));
            if at(state)? == 0 {
                return Some(0.0);
            }
            share(at(rate)?, at(highest)?)
        })
    }

    /// Share of the time since the last look, from the kernel's runtime power management.
    fn powered(&mut self, power: &Path) -> Option<f32> {
        let active = number(&power.join("runtime_active_time"))?;
        let suspended = number(&power.join("runtime_suspended_time"))?;
        match self.last.replace((active, suspended)) {
            Some((active_then, suspended_then)) => {
                let on = active.saturating_sub(active_then);
                share(on, on + suspended.saturating_sub(suspended_then))
            }
            None => {
                text(&power.join("runtime_status")).map(|status| if status == "active" { 1.0 } else { 0.0 })
            }
        }
    }
}

/// What the whole board takes, in watts.
pub(super) fn power_w(source: &Source) -> Option<f32> {
    let mut rails: Vec<(String, f32)> = Vec::new();
    for path in source.entries("sys/class/hwmon") {
        if text(&path.join("name")).is_none_or(|name| !name.contains("ina3221")) {
            continue;
        }
        for channel in 1..=3 {
            let at = |kind: &str| number::<u32>(&path.join(format!("{kind}{channel}_input")));
            let label = text(&path.join(format!("in{channel}_label")));
            // `NC`: nothing is connected.
            if let (Some(label), Some(millivolts), Some(milliamperes)) = (label, at("in"), at("curr"))
                && label != "NC"
            {
                #[allow(clippy::cast_precision_loss, reason = "a power with two digits")]
                let watts = millivolts as f32 * milliamperes as f32 / 1e6;
                rails.push((label, watts));
            }
        }
    }
    let total =
        rails.iter().find(|(label, _)| TOTAL_RAILS.contains(&label.as_str())).map(|(_, watts)| *watts);
    // AGX Orin has no rail for all: its rails side by side are all.
    let sum = || (!rails.is_empty()).then(|| rails.iter().map(|(_, watts)| watts).sum());
    total.or_else(sum).map(|watts: f32| (watts * 100.0).round() / 100.0)
}
