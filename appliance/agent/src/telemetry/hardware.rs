//! What kind of box this is.

use nodi_protocol::fleet::presence::Hardware;

use super::source::Source;
use super::{cpu, jetson};

/// All that the kernel tells. An empty text is not known.
pub(crate) fn hardware(source: &Source) -> Hardware {
    let first = |paths: [&str; 3]| paths.iter().find_map(|path| source.text(path)).unwrap_or_default();
    let encoder = if jetson::has_encoder(source) { "jetson" } else { "software" };
    Hardware {
        model: first([
            "proc/device-tree/model",
            "sys/firmware/devicetree/base/model",
            "sys/class/dmi/id/product_name",
        ]),
        serial: first([
            "proc/device-tree/serial-number",
            "sys/firmware/devicetree/base/serial-number",
            "sys/class/dmi/id/product_serial",
        ]),
        architecture: std::env::consts::ARCH.to_owned(),
        cores: u32::try_from(std::thread::available_parallelism().map_or(1, std::num::NonZero::get))
            .unwrap_or(u32::MAX),
        memory_bytes: cpu::memory(source).map_or(0, |memory| memory.total),
        encoder: encoder.to_owned(),
        os: source.text("etc/os-release").and_then(|text| pretty_name(&text)).unwrap_or_default(),
        kernel: source.text("proc/sys/kernel/osrelease").unwrap_or_default(),
        l4t: source.text("etc/nv_tegra_release").and_then(|text| l4t(&text)),
        compatible: None,
        rtmp_url: None,
        rtmps_url: None,
    }
}

fn pretty_name(os_release: &str) -> Option<String> {
    let value = os_release.lines().find_map(|line| line.strip_prefix("PRETTY_NAME="))?;
    Some(value.trim_matches(['"', '\'']).to_owned())
}

/// `# R36 (release), REVISION: 4.4, GCID: …` is 36.4.4.
fn l4t(release: &str) -> Option<String> {
    let line = release.lines().find_map(|line| line.strip_prefix("# R"))?;
    let major = line.split(' ').next()?;
    let (_, rest) = line.split_once("REVISION: ")?;
    let minor = rest.split(',').next()?;
    Some(format!("{major}.{}", minor.trim()))
}
