//! Measurements of a board that is a directory.

use std::path::Path;
use std::process::Command;
use std::time::Duration;

use super::*;

/// A copy of a fixture that a test may change.
struct Board(tempfile::TempDir);

impl Board {
    fn orin_nx() -> Self {
        let fixture = Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/fixtures/orin-nx/.");
        let directory = tempfile::tempdir().unwrap();
        let copied = Command::new("cp").arg("-a").arg(fixture).arg(directory.path()).status().unwrap();
        assert!(copied.success());
        Self(directory)
    }

    fn set(&self, path: &str, text: &str) {
        let path = self.0.path().join(path);
        std::fs::create_dir_all(path.parent().unwrap()).unwrap();
        std::fs::write(path, text).unwrap();
    }

    fn remove(&self, path: &str) {
        std::fs::remove_dir_all(self.0.path().join(path)).unwrap();
    }

    fn kernel(&self) -> Kernel {
        let mut config = crate::Config::default();
        config.telemetry.root = self.0.path().to_owned();
        config.state = self.0.path().to_owned();
        let mut kernel = Kernel::new(&config, "boot");
        kernel.first_look();
        kernel
    }

    fn measure(&self, kernel: &mut Kernel) -> Telemetry {
        kernel.measure(Instant::now() + Duration::from_secs(10), 0).0
    }
}

#[test]
fn an_orin_nx_tells_what_tegrastats_tells() {
    let board = Board::orin_nx();
    let mut kernel = board.kernel();
    board.set("proc/stat", "cpu  182933 1204 95120 4211144 3320 0 8804 0 0 0\n");
    board.set("sys/class/devfreq/154c0000.nvenc/device/power/runtime_active_time", "5207500");
    board.set("sys/class/devfreq/154c0000.nvenc/device/power/runtime_suspended_time", "534910");
    board.set("sys/class/net/eth0/statistics/tx_bytes", "9247067890");
    let told = board.measure(&mut kernel);
    assert_eq!(told.uptime_s, 5732);
    assert_eq!((told.cpu, told.load_1m), (Some(0.2), Some(1.87)));
    assert_eq!(told.gpu, Some(0.372));
    assert_eq!(told.encoder, Some(0.375), "half the clock for three quarters of the time");
    let memory = told.memory.unwrap();
    assert_eq!(
        (memory.total >> 20, memory.available >> 20, memory.swap_total >> 20),
        (15_601, 11_763, 7_800)
    );
    let zones: Vec<_> =
        told.temperatures.iter().map(|t| (t.zone.as_str(), t.celsius, t.throttles_at)).collect();
    assert_eq!(
        zones,
        [
            ("cpu-thermal", 49.7, Some(99.0)),
            ("gpu-thermal", 50.5, Some(99.0)),
            ("soc0-thermal", 50.0, Some(99.0)),
            ("soc1-thermal", 50.8, Some(99.0)),
            ("soc2-thermal", 49.1, Some(99.0)),
            ("tj-thermal", 50.8, None),
        ],
        "units without power are not told of"
    );
    assert_eq!(told.throttling, Vec::<String>::new(), "the fan turns, and that slows nothing down");
    assert_eq!(told.power_w, Some(9.25), "what comes in, not the sum of all");
    let [eth0, wlan0] = told.interfaces.as_slice() else { panic!("{:?}", told.interfaces) };
    assert_eq!((eth0.name.as_str(), eth0.up, eth0.speed_mbps, eth0.errors), ("eth0", true, Some(1000), 2));
    assert!(eth0.received_bps == 0 && (9_000_000..=10_000_000).contains(&eth0.sent_bps), "{eth0:?}");
    assert_eq!((wlan0.name.as_str(), wlan0.up, wlan0.speed_mbps), ("wlan0", false, None));
    let [disk] = told.disks.as_slice() else { panic!("{:?}", told.disks) };
    assert_eq!(
        (disk.mount.as_str(), disk.wear),
        ("/", None),
        "one file system, on a disk that does not tell"
    );
    assert!(disk.total_bytes > disk.free_bytes);
    assert!(told.processes.iter().all(|process| !process.running && process.memory_bytes == 0));
}

#[test]
fn what_holds_the_clocks_down_is_named_while_it_does() {
    let board = Board::orin_nx();
    let mut kernel = board.kernel();
    board.set("sys/class/thermal/cooling_device3/cur_state", "4");
    board.set("sys/class/hwmon/hwmon3/oc2_event_cnt", "16");
    board.set("sys/class/hwmon/hwmon3/oc3_event_cnt", "3000");
    assert_eq!(board.measure(&mut kernel).throttling, ["devfreq-17000000.gpu", "oc2 average over-current"]);
    board.set("sys/class/thermal/cooling_device3/cur_state", "0");
    assert_eq!(board.measure(&mut kernel).throttling, Vec::<String>::new());
    board.set("sys/class/hwmon/hwmon3/oc1_event_cnt", "1");
    board.set("sys/class/hwmon/hwmon3/oc1_throt_en", "0");
    assert_eq!(board.measure(&mut kernel).throttling, Vec::<String>::new(), "counted, and nothing is slowed");
}

#[test]
fn older_and_pinned_encoders() {
    let board = Board::orin_nx();
    board.set("sys/class/devfreq/154c0000.nvenc/governor", "performance\n");
    assert_eq!(board.measure(&mut board.kernel()).encoder, None, "its clock says nothing");
    board.remove("sys/class/devfreq");
    board.set("sys/devices/gpu.0/load", "50\n");
    let clock = "sys/kernel/debug/bpmp/debug/clk/nvenc";
    for (file, text) in [("state", "1\n"), ("rate", "200000000\n"), ("max_rate", "800000000\n")] {
        board.set(&format!("{clock}/{file}"), text);
    }
    let mut kernel = board.kernel();
    let told = board.measure(&mut kernel);
    assert_eq!((told.encoder, told.gpu), (Some(0.25), Some(0.05)));
    board.set(&format!("{clock}/state"), "0\n");
    assert_eq!(board.measure(&mut kernel).encoder, Some(0.0));
    board.remove("sys/kernel");
    let told = board.measure(&mut kernel);
    assert_eq!(told.encoder, None, "Orin Nano has no encoder");
}

#[test]
fn worn_memory_of_a_box_with_emmc() {
    let board = Board::orin_nx();
    board.set("sys/devices/platform/3460000.mmc/mmcblk0/mmcblk0p1/partition", "1");
    board.set("sys/devices/platform/3460000.mmc/mmcblk0/device/life_time", "0x03 0x02\n");
    let link = board.0.path().join("sys/dev/block/179:1");
    std::os::unix::fs::symlink("../../devices/platform/3460000.mmc/mmcblk0/mmcblk0p1", link).unwrap();
    board.set("proc/self/mountinfo", "25 1 179:1 / / rw,relatime shared:1 - ext4 /dev/mmcblk0p1 rw\n");
    let told = board.measure(&mut board.kernel());
    assert_eq!(told.disks[0].wear, Some(0.3), "the worse of the two");
}

#[test]
fn a_root_that_nobody_writes_to_does_not_fill() {
    let board = Board::orin_nx();
    let mounts = |root: &str, data: &str| {
        board.set(
            "proc/self/mountinfo",
            &format!(
                "25 1 259:2 / / ro,relatime shared:1 - ext4 /dev/dm-0 {root}\n\
                 31 25 259:4 /state /var/lib/nodi ro,nosuid shared:2 - ext4 /dev/nvme0n1p4 {data}\n"
            ),
        );
        std::fs::create_dir_all(board.0.path().join("var/lib/nodi")).unwrap();
        board.measure(&mut board.kernel()).disks.into_iter().map(|disk| disk.mount).collect::<Vec<_>>()
    };
    assert_eq!(mounts("rw", "rw,errors=continue"), ["/", "/var/lib/nodi"]);
    assert_eq!(mounts("ro", "rw,errors=continue"), ["/var/lib/nodi"], "a sandbox's read-only view is none");
}

#[test]
fn a_machine_that_tells_nothing_is_measured_too() {
    let directory = tempfile::tempdir().unwrap();
    let board = Board(directory);
    let told = board.measure(&mut board.kernel());
    let processes = told.processes.len();
    assert_eq!(told, Telemetry { processes: told.processes.clone(), ..Telemetry::default() });
    assert_eq!(processes, 3, "those that should run are missing");
}

#[test]
fn this_machine_tells_something() {
    let mut config = crate::Config::default();
    config.telemetry.disks = vec!["/".into()];
    let state = tempfile::tempdir().unwrap();
    config.state = state.path().to_owned();
    let mut kernel = Kernel::new(&config, "boot");
    kernel.first_look();
    let (told, _) = kernel.measure(Instant::now() + Duration::from_secs(1), 0);
    assert!(told.uptime_s > 0 && told.memory.is_some() && told.load_1m.is_some());
    assert_eq!(told.disks.len(), 1);
    let me = told.processes.iter().find(|process| process.name == "agent");
    assert!(me.is_some_and(|me| me.running && me.memory_bytes > 0), "{:?}", told.processes);
}

#[test]
fn a_board_knows_what_it_is() {
    let board = Board::orin_nx();
    let hardware = hardware(&Source::new(board.0.path()));
    assert_eq!(hardware.model, "NVIDIA Jetson Orin NX Engineering Reference Developer Kit");
    assert_eq!((hardware.serial.as_str(), hardware.encoder.as_str()), ("1421523012345", "jetson"));
    assert_eq!((hardware.l4t.as_deref(), hardware.kernel.as_str()), (Some("36.4.4"), "5.15.148-tegra"));
    assert_eq!(hardware.os, "Ubuntu 22.04.5 LTS");
    assert_eq!(hardware.memory_bytes >> 30, 15);
}
