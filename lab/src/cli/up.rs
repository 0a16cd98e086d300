//! `nodi-lab up`.

use std::path::{Path, PathBuf};
use std::process::ExitCode;
use std::time::Duration;

use anyhow::Context as _;
use clap::{Args, ValueEnum};
use nodi_daemon::shutdown;
use nodi_lab::chat::chatters::Chatters;
use nodi_lab::check::{self, Viewer};
use nodi_lab::config::Rung;
use nodi_lab::fleet::Administrator;
use nodi_lab::platform::Ports;
use nodi_lab::process::Process;
use nodi_lab::publish::{self, Client, Source};
use nodi_lab::site::{Login, Logins};
use nodi_lab::{Edge, Lab, Links, Options};
use nodi_protocol::ChannelId;

/// Every process of the platform has had its own deadline by then.
const STOP_DEADLINE: Duration = Duration::from_secs(60);
/// Encoding has to begin, which on a busy machine takes its time.
const FIRST_PICTURE: Duration = Duration::from_secs(60);
const LOOK_EVERY: Duration = Duration::from_millis(500);

#[derive(Args)]
pub(crate) struct Up {
    /// Where to keep keys, logs, configuration and spool; a temporary directory otherwise
    #[arg(long)]
    dir: Option<PathBuf>,
    #[arg(long, default_value = "demo")]
    channel: ChannelId,
    /// Publishes a moving picture with a clock and a tone
    #[arg(long, value_name = "KIND", num_args = 0..=1, default_missing_value = "loop")]
    test_stream: Option<TestStream>,
    /// What stands in front of the origin
    #[arg(long, value_enum, default_value = "nginx")]
    edge: EdgeChoice,
    /// One JSON object on one line, for programs
    #[arg(long)]
    json: bool,
    /// Port for viewers; a free one otherwise
    #[arg(long)]
    port: Option<u16>,
    /// Port for RTMP; a free one otherwise
    #[arg(long)]
    rtmp_port: Option<u16>,
    /// Port for RTMPS; a free one otherwise
    #[arg(long)]
    rtmps_port: Option<u16>,
    /// A rung, once for each; the default ladder otherwise
    #[arg(long, value_name = "NAME:HEIGHT:KBITS")]
    rung: Vec<Rung>,
    /// Length of a part in milliseconds
    #[arg(long, default_value_t = 333)]
    part_ms: u32,
    /// Length of a segment in milliseconds
    #[arg(long, default_value_t = 2000)]
    segment_ms: u32,
    /// Port for the dashboard; a free one otherwise
    #[arg(long)]
    dashboard_port: Option<u16>,
    /// How many boxes to run
    #[arg(long, default_value_t = 1)]
    boxes: usize,
    /// How many of them have no claim code and wait to be let in
    #[arg(long, default_value_t = 0)]
    unclaimed: usize,
    /// The video path alone: no broker, no fleet server, no agents; keys are minted here
    #[arg(long)]
    no_fleet: bool,
    /// No chat service
    #[arg(long)]
    no_chat: bool,
    /// Nobody talks but people: without the scripted chatters that come with the test stream
    #[arg(long)]
    no_chatters: bool,
    /// All boxes on this machine's own network, also where each could have one of its own
    #[arg(long)]
    shared_network: bool,
    /// Runs a second origin that gets the same pushes
    #[arg(long)]
    standby: bool,
}

#[derive(Clone, Copy, ValueEnum)]
enum TestStream {
    /// 1080p30 from a clip that is encoded once: costs its ladder alone
    Loop,
    /// 720p30 encoded as it goes, with the wall clock burnt in
    Clock,
}

#[derive(Clone, Copy, ValueEnum)]
enum EdgeChoice {
    Nginx,
    None,
}

pub(crate) async fn run(args: Up) -> anyhow::Result<ExitCode> {
    let asked_to_stop = shutdown::on_signals(STOP_DEADLINE)?;
    let mut options = Options::new(args.channel);
    options.dir = args.dir;
    options.boxes = args.boxes;
    options.unclaimed = args.unclaimed;
    options.fleet = !args.no_fleet;
    options.chat = !args.no_chat;
    options.namespaces = !args.shared_network;
    options.origins = if args.standby { 2 } else { 1 };
    options.edge = match args.edge {
        EdgeChoice::Nginx => Edge::Nginx,
        EdgeChoice::None => Edge::None,
    };
    options.ladder = Some(args.rung).filter(|rungs| !rungs.is_empty());
    options.part_ms = args.part_ms;
    options.segment_ms = args.segment_ms;
    options.ports = Ports {
        rtmp: args.rtmp_port,
        rtmps: args.rtmps_port,
        watch: args.port,
        dashboard: args.dashboard_port,
    };
    let page = options.web_root.is_some();

    let mut lab = tokio::select! {
        lab = Lab::start(options) => lab?,
        () = asked_to_stop.wait() => return Ok(ExitCode::SUCCESS),
    };
    let mut chatters = None;
    if let Some(kind) = args.test_stream {
        publish_test_stream(&mut lab, kind)?;
        tokio::select! {
            first = first_picture(&mut lab) => first?,
            () = asked_to_stop.wait() => return Ok(ExitCode::SUCCESS),
        }
        if lab.chat.is_some() && !args.no_chatters {
            chatters = Some(Chatters::start(&lab).await.context("the scripted chatters")?);
        }
    }
    lab.open_control()?;
    let links = lab.links();
    if args.json {
        println!("{}", serde_json::to_string(&links)?);
    } else {
        print_links(&links, page);
    }
    loop {
        tokio::select! {
            () = asked_to_stop.wait() => break,
            () = tokio::time::sleep(LOOK_EVERY) => lab.check_running()?,
        }
    }
    drop(chatters);
    lab.stop();
    Ok(ExitCode::SUCCESS)
}

fn publish_test_stream(lab: &mut Lab, kind: TestStream) -> anyhow::Result<()> {
    let (url, key, logs) = (lab.rtmp_url(0), lab.stream_key(), lab.logs());
    let spec = match kind {
        TestStream::Loop => {
            let clip = publish::clip::demo(&cache_dir()).context("the test stream's clip")?;
            publish::clip::publish_loop(&clip, &url, key.reveal(), &logs)?
        }
        TestStream::Clock => publish::live(Client::Ffmpeg, &Source::clock_720p(), &url, key.reveal(), &logs)?,
    };
    lab.clients.push(Process::start(spec)?);
    Ok(())
}

/// The repository's cache for whoever runs from it, the system's temporary directory otherwise.
fn cache_dir() -> PathBuf {
    let root = Path::new(env!("CARGO_MANIFEST_DIR")).join("..");
    if root.join("Cargo.toml").is_file() {
        root.join(".cache/lab")
    } else {
        std::env::temp_dir().join("nodi-lab-cache")
    }
}

async fn first_picture(lab: &mut Lab) -> anyhow::Result<()> {
    let options = check::Options { wait: FIRST_PICTURE, ..check::Options::new(lab.multivariant_url()) };
    let playable = async {
        let viewer = Viewer::start(options).await?;
        viewer
            .until("the first part", FIRST_PICTURE, |report| {
                report.renditions.values().any(|rendition| rendition.parts > 0)
            })
            .await
            .map(drop)
    };
    let failed = async {
        loop {
            tokio::time::sleep(LOOK_EVERY).await;
            lab.check_running()?;
            lab.clients.iter_mut().try_for_each(Process::check_running)?;
        }
    };
    tokio::select! {
        playable = playable => Ok(playable?),
        failed = failed => failed,
    }
}

fn print_links(links: &Links, page: bool) {
    println!("Nodi is running; Ctrl-C stops it.\n");
    if page {
        println!("  site      {}/   the directory of live channels", links.site_url);
        println!("  watch     {}", links.watch_url);
    } else {
        println!("  site      (no pages: `make web` builds them)");
    }
    if let Some(Logins { streamer, moderator, viewers }) = &links.logins {
        for (role, Login { name, password }) in [
            ("streamer", streamer),
            ("moderator", moderator),
            ("viewer", &viewers[0]),
            ("viewer", &viewers[1]),
        ] {
            println!("            sign in as {name} with {password}   ({role})");
        }
    }
    if let Some(fleet) = &links.fleet {
        let Administrator { name, password } = &fleet.administrator;
        println!("  dashboard {}   log in as {name} with {password}", fleet.dashboard_url);
    }
    println!("  playlist  {}", links.multivariant_url);
    if let Some(url) = &links.chat_ws_url {
        println!("  chat      {url}");
    }
    println!("  publish   {}   or   {}", links.rtmp_url, links.rtmps_url);
    println!("  key       {}", links.stream_key);
    for (process, url) in &links.metrics {
        println!("  metrics   {url}  ({process})");
    }
    println!("  logs      {}", links.dir.join("log").display());
}
