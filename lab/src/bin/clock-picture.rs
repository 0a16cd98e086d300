//! Raw video with the wall clock in it as blocks that a program reads back exactly: the encoder's input for
//! measuring latency from glass to glass. 1280 × 720 planar YUV 4:2:0 on stdout, in real time.
//!
//! The code: two rows of 16 blocks of 32 pixels, 32 pixels from the top left corner, most significant bit first:
//! milliseconds since the Unix epoch modulo 2^24, then a check sum. `fleet-manager/web/test/probe.mjs` reads it.
//!
//! With `--audio` a tone that belongs to the picture, for a second pipe: an encoder that gets sound from
//! elsewhere holds the picture back until the sound has caught up.

use std::fs::OpenOptions;
use std::io::Write as _;
use std::path::{Path, PathBuf};
use std::process::ExitCode;
use std::time::{Duration, Instant, SystemTime, UNIX_EPOCH};

use clap::Parser;

const WIDTH: usize = 1280;
const HEIGHT: usize = 720;
const LUMA: usize = WIDTH * HEIGHT;
const CHROMA: usize = LUMA / 4;
const MARGIN: usize = 32;
const BLOCK: usize = 32;
const COLUMNS: usize = 16;
/// Video black and white (BT.709, limited range).
const BLACK: u8 = 16;
const WHITE: u8 = 235;
const SAMPLE_RATE: u64 = 48_000;
const AUDIO_PERIOD: Duration = Duration::from_millis(10);
/// Keeps a picture without a code from passing for one.
const SALT: u8 = 0x5a;

#[derive(Parser)]
#[command(version, about = "Raw 720p video with a machine-readable clock, on stdout")]
struct Cli {
    #[arg(long, default_value_t = 30)]
    fps: u32,
    /// Ends after this many seconds; never otherwise
    #[arg(long)]
    seconds: Option<u32>,
    /// Writes the tone into this named pipe: 48 kHz, one channel, signed 16 bits, little-endian
    #[arg(long, value_name = "PIPE")]
    audio: Option<PathBuf>,
}

fn main() -> ExitCode {
    let cli = Cli::parse();
    match run(&cli) {
        // The reader has gone: that is how a publisher ends.
        Ok(()) => ExitCode::SUCCESS,
        Err(error) if error.kind() == std::io::ErrorKind::BrokenPipe => ExitCode::SUCCESS,
        Err(error) => {
            eprintln!("clock-picture: {error}");
            ExitCode::FAILURE
        }
    }
}

fn run(cli: &Cli) -> std::io::Result<()> {
    let mut out = std::io::stdout().lock();
    let texture = texture();
    let mut frame = vec![128; LUMA + 2 * CHROMA];
    let interval = Duration::from_secs(1) / cli.fps.max(1);
    let start = Instant::now();
    if let Some(pipe) = cli.audio.clone() {
        // Ends with the process, or with its reader.
        std::thread::spawn(move || play_tone(&pipe, start));
    }
    let frames = cli.seconds.map_or(u32::MAX, |seconds| seconds.saturating_mul(cli.fps));
    for number in 0..frames {
        let due = start + interval * number;
        std::thread::sleep(due.saturating_duration_since(Instant::now()));
        draw_texture(&mut frame, &texture, number as usize * 4);
        // Read last: the clock says when the frame was complete.
        draw_code(&mut frame, code(unix_ms()));
        out.write_all(&frame)?;
    }
    Ok(())
}

/// Every sample since `start`, also those before the reader opened the pipe: picture and tone stay together.
fn play_tone(pipe: &Path, start: Instant) -> std::io::Result<()> {
    let mut out = OpenOptions::new().write(true).open(pipe)?;
    let mut played: u64 = 0;
    let mut block = Vec::new();
    loop {
        let due = u64::try_from(start.elapsed().as_micros()).unwrap_or(0) * SAMPLE_RATE / 1_000_000;
        block.clear();
        for sample in played..due {
            let phase = std::f32::consts::TAU * 440.0 * (sample % SAMPLE_RATE) as f32 / SAMPLE_RATE as f32;
            #[allow(clippy::cast_possible_truncation, reason = "a fifth of full scale")]
            block.extend_from_slice(&((phase.sin() * 6_500.0) as i16).to_le_bytes());
        }
        played = due;
        out.write_all(&block)?;
        std::thread::sleep(AUDIO_PERIOD);
    }
}

fn unix_ms() -> u64 {
    let since = SystemTime::now().duration_since(UNIX_EPOCH).unwrap_or_default();
    u64::try_from(since.as_millis()).unwrap_or(0)
}

fn code(unix_ms: u64) -> u32 {
    let [.., a, b, c] = unix_ms.to_be_bytes();
    u32::from_be_bytes([a, b, c, a ^ b ^ c ^ SALT])
}

/// Soft waves, twice as wide as the picture: something to encode that moves everywhere and needs few bits.
fn texture() -> Vec<u8> {
    let mut texture = Vec::with_capacity(2 * LUMA);
    for y in 0..HEIGHT {
        for x in 0..2 * WIDTH {
            let angle = std::f32::consts::TAU * x as f32 / WIDTH as f32;
            let wave =
                (angle * 3.0).sin() * (y as f32 / 60.0).cos() + (angle * 7.0 + y as f32 / 25.0).sin() * 0.4;
            #[allow(clippy::cast_possible_truncation, clippy::cast_sign_loss, reason = "between 44 and 212")]
            texture.push((128.0 + 60.0 * wave) as u8);
        }
    }
    texture
}

fn draw_texture(frame: &mut [u8], texture: &[u8], offset: usize) {
    let offset = offset % WIDTH;
    let rows = frame.chunks_exact_mut(WIDTH).zip(texture.chunks_exact(2 * WIDTH)).take(HEIGHT);
    for (row, source) in rows {
        if let Some(visible) = source.get(offset..offset + WIDTH) {
            row.copy_from_slice(visible);
        }
    }
}

fn draw_code(frame: &mut [u8], code: u32) {
    for (y, row) in frame.chunks_exact_mut(WIDTH).enumerate().skip(MARGIN).take(2 * BLOCK) {
        let line = (y - MARGIN) / BLOCK;
        for column in 0..COLUMNS {
            let bit = code >> (31 - (line * COLUMNS + column)) & 1;
            let left = MARGIN + column * BLOCK;
            if let Some(block) = row.get_mut(left..left + BLOCK) {
                block.fill(if bit == 1 { WHITE } else { BLACK });
            }
        }
    }
}
