//! Encoders as streamers use them: ffmpeg, and GStreamer with its own RTMP client and with librtmp.

use std::io::Read as _;
use std::process::{Child, Command, ExitStatus, Stdio};
use std::time::Instant;

use super::PATIENCE;

/// A running encoder; killed on drop.
pub struct Encoder {
    child: Child,
    name: &'static str,
    stderr: Option<std::thread::JoinHandle<String>>,
}

impl Encoder {
    pub fn command(name: &'static str, command: &mut Command) -> Self {
        let mut child =
            command.stdin(Stdio::null()).stdout(Stdio::null()).stderr(Stdio::piped()).spawn().unwrap();
        let mut pipe = child.stderr.take().unwrap();
        let stderr = std::thread::spawn(move || {
            let mut text = Vec::new();
            pipe.read_to_end(&mut text).unwrap();
            String::from_utf8_lossy(&text).into_owned()
        });
        Self { child, name, stderr: Some(stderr) }
    }

    /// ffmpeg with `input` and `codec` options, in real time, to `url`.
    pub fn ffmpeg(arguments: &[&str], url: &str) -> Self {
        let mut command = Command::new("ffmpeg");
        command.args(["-nostdin", "-hide_banner", "-loglevel", "info"]).args(arguments);
        command.args(["-f", "flv", url]);
        Self::command("ffmpeg", &mut command)
    }

    /// `gst-launch-1.0` with a test picture and tone into `sink`.
    pub fn gstreamer(name: &'static str, sink: &str, seconds: u32) -> Self {
        let description = format!(
            "flvmux streamable=true name=mux ! {sink} \
             videotestsrc is-live=true num-buffers={} ! video/x-raw,width=320,height=180,framerate=25/1 ! \
             x264enc tune=zerolatency speed-preset=ultrafast key-int-max=25 bitrate=300 ! h264parse ! mux. \
             audiotestsrc is-live=true num-buffers={} samplesperbuffer=1024 ! audio/x-raw,rate=48000,channels=2 ! \
             avenc_aac ! aacparse ! mux.",
            seconds * 25,
            seconds * 48_000 / 1024
        );
        let mut command = Command::new("gst-launch-1.0");
        command.args(["-q", "-e"]).args(description.split_whitespace());
        Self::command(name, &mut command)
    }

    pub fn rtmp2sink(url: &str, seconds: u32) -> Self {
        Self::gstreamer("rtmp2sink", &format!("rtmp2sink location={url}"), seconds)
    }

    /// GStreamer's `rtmpsink` is librtmp, on which OBS builds too.
    pub fn librtmp(url: &str, seconds: u32) -> Self {
        Self::gstreamer("rtmpsink", &format!("rtmpsink location={url}"), seconds)
    }

    /// Waits until it ends by itself; gives its status and what it said.
    pub fn end(mut self) -> (ExitStatus, String) {
        let deadline = Instant::now() + PATIENCE;
        let status = loop {
            if let Some(status) = self.child.try_wait().unwrap() {
                break status;
            }
            assert!(Instant::now() < deadline, "{} hangs", self.name);
            std::thread::sleep(std::time::Duration::from_millis(20));
        };
        (status, self.stderr.take().unwrap().join().unwrap())
    }

    pub fn kill(mut self) {
        self.child.kill().unwrap();
    }
}

impl Drop for Encoder {
    fn drop(&mut self) {
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

/// A test picture and a tone: 25 frames a second, a key frame every second, `seconds` of it.
pub fn test_stream(seconds: u32) -> Vec<String> {
    let text = format!(
        "-re -f lavfi -i testsrc=size=320x180:rate=25:duration={seconds} \
         -re -f lavfi -i sine=frequency=440:sample_rate=48000:duration={seconds} \
         -c:v libx264 -preset ultrafast -tune zerolatency -g 25 -b:v 300k -pix_fmt yuv420p -c:a aac -b:a 64k -ac 2"
    );
    text.split_whitespace().map(str::to_owned).collect()
}

/// ffmpeg publishing [`test_stream`].
pub fn ffmpeg(url: &str, seconds: u32) -> Encoder {
    let arguments = test_stream(seconds);
    Encoder::ffmpeg(&arguments.iter().map(String::as_str).collect::<Vec<_>>(), url)
}
