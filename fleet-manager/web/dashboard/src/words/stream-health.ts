// How a live stream does, in plain words: one sentence for all of it, and one line for each thing that was
// measured. The box's warnings decide; measurements without a warning are only shown.

import { named, type Named, type Warning } from './warnings';

export type Level = 'good' | 'hint' | 'warning' | 'bad';

export interface Input {
  bitrate_bps: number;
  video_codec?: string | null;
  width?: number | null;
  height?: number | null;
  fps?: number | null;
  key_frame_interval_s?: number | null;
  b_frames?: boolean;
  audio_codec?: string | null;
  sample_rate?: number | null;
  channels?: number | null;
  av_skew_ms?: number | null;
  timestamp_jumps?: number;
  stalls?: number;
}

export interface Rung {
  name: string;
  width: number;
  height: number;
  state: string;
  fps: number;
  bitrate_bps: number;
  frames: number;
  dropped: number;
}

export interface Ladder {
  backend: string;
  speed: number;
  lag_ms: number;
  overload: string;
  worker: number;
  rungs: readonly Rung[];
}

export interface Uplink {
  connected: boolean;
  lag_ms: number;
  backlog: number;
}

export interface Live {
  input: Input;
  ladder?: Ladder | null;
  uplink?: Uplink | null;
  warnings: readonly Warning[];
}

/** From this lag on viewers come nearer to the end of their buffers: two segments of two seconds. */
const LAG_SEEN_MS = 4_000;
/** The player's reconnect window is a minute; half of it without a way out is an outage. */
const LAG_OUTAGE_MS = 30_000;
/** Below this speed an encoder falls behind a second in every ten. */
const SLOW_SPEED = 0.9;

export interface Health {
  level: Level;
  /** One sentence, for the streamer. */
  headline: string;
  /** What to do or to expect, if anything. */
  detail: string;
  warnings: Named[];
}

const WORST: readonly Level[] = ['good', 'hint', 'warning', 'bad'];

function worse(a: Level, b: Level): Level {
  return WORST.indexOf(a) >= WORST.indexOf(b) ? a : b;
}

/** Also what no box warns about: that the way out is slow or broken. */
function all(live: Live): Named[] {
  const warnings = live.warnings.map(named);
  const uplink = live.uplink;
  if (uplink && !warnings.some((warning) => warning.side === 'line')) {
    if (!uplink.connected) {
      const text = 'The box cannot reach the origin. It keeps the stream and sends it when the line is back.';
      warnings.push({
        code: 'uplink_away',
        title: 'The box’s line is down',
        text,
        side: 'line',
        hint: false,
      });
    } else if (uplink.lag_ms >= LAG_SEEN_MS) {
      const text = `What viewers get is ${seconds(uplink.lag_ms)} behind: the box’s line does not carry the stream.`;
      warnings.push({
        code: 'uplink_lag',
        title: 'The box’s line is too slow',
        text,
        side: 'line',
        hint: false,
      });
    }
  }
  return warnings;
}

export function level(live: Live): Level {
  const from = all(live).reduce<Level>((so, warning) => worse(so, warning.hint ? 'hint' : 'warning'), 'good');
  const broken =
    live.warnings.some((warning) => warning.code === 'no_video' || warning.code === 'worker_missing') ||
    (live.uplink && !live.uplink.connected && live.uplink.lag_ms >= LAG_OUTAGE_MS);
  return broken ? 'bad' : from;
}

/** In the order in which somebody should look at them: what viewers notice, and what the reader can mend, first. */
function sorted(warnings: Named[]): Named[] {
  const rank = (warning: Named): number => (warning.hint ? 2 : 0) + (warning.side === 'encoder' ? 0 : 1);
  return [...warnings].sort((a, b) => rank(a) - rank(b));
}

export function health(live: Live): Health {
  const warnings = sorted(all(live));
  const worst = level(live);
  const first = warnings[0];
  if (first === undefined) {
    return { level: 'good', headline: 'Your stream is healthy.', detail: picture(live.input), warnings };
  }
  if (worst === 'hint') {
    return {
      level: worst,
      headline: 'Your stream is healthy; it could be a little better.',
      detail: picture(live.input),
      warnings,
    };
  }
  const mine = warnings.some((warning) => warning.side === 'encoder' && !warning.hint);
  const headline =
    worst === 'bad' ? 'Viewers cannot see your stream properly.' : 'Viewers may notice a problem.';
  const detail = mine
    ? 'You can mend it in your encoder: see below.'
    : first.side === 'line'
      ? 'Nothing is wrong on your side: the box’s way to the viewers is slow. Keep streaming.'
      : 'Nothing is wrong on your side: the box has a problem. Keep streaming; your operator sees it too.';
  return { level: worst, headline, detail, warnings };
}

export interface Fact {
  label: string;
  value: string;
  level: Level;
  /** Only where there is something to add. */
  note?: string;
}

const codeLevel = (live: Live, ...codes: string[]): Level =>
  live.warnings
    .filter((warning) => codes.includes(warning.code))
    .map(named)
    .reduce<Level>((so, warning) => worse(so, warning.hint ? 'hint' : 'warning'), 'good');

/** What is measured, each with how it stands. */
export function facts(live: Live): Fact[] {
  const { input, ladder, uplink } = live;
  const list: Fact[] = [
    {
      label: 'Picture',
      value: size(input) ?? 'none yet',
      level: codeLevel(live, 'no_video', 'damaged_tags') === 'good' ? 'good' : 'bad',
      ...(input.video_codec ? { note: codec(input.video_codec) } : {}),
    },
    {
      label: 'Frames per second',
      value: input.fps ? number(input.fps) : '–',
      level: codeLevel(live, 'frames_missing', 'timestamp_jumps', 'timestamps_jumped'),
    },
    {
      label: 'Bitrate',
      value: bits(input.bitrate_bps),
      level: codeLevel(live, 'bitrate_near_limit', 'stalls'),
      ...(input.stalls ? { note: `${times(input.stalls)} nothing arrived for a while` } : {}),
    },
    {
      label: 'Key frames',
      value: input.key_frame_interval_s ? `every ${number(input.key_frame_interval_s)} s` : '–',
      level: codeLevel(live, 'key_frames_far_apart', 'gop_not_kept', 'b_frames'),
      ...(input.b_frames ? { note: 'with B-frames' } : {}),
    },
    {
      label: 'Sound',
      value: sound(input),
      level: codeLevel(live, 'no_audio', 'audio_missing', 'audio_late', 'av_skew'),
      ...skew(input.av_skew_ms),
    },
  ];
  if (ladder) {
    const behind = ladder.speed > 0 && ladder.speed < SLOW_SPEED;
    list.push({
      label: 'Encoding on the box',
      value: overload(ladder.overload) ?? (behind ? 'falls behind' : 'keeps up'),
      level: overload(ladder.overload) !== null || behind ? 'warning' : 'good',
      note: `${number(ladder.speed, 2)}× real time, ${ladder.backend === 'jetson' ? 'in hardware' : 'in software'}`,
    });
  }
  if (uplink) {
    list.push({
      label: 'Way to the viewers',
      value: uplink.connected ? lag(uplink.lag_ms) : 'interrupted',
      level: !uplink.connected ? 'bad' : uplink.lag_ms >= LAG_SEEN_MS ? 'warning' : 'good',
      ...(uplink.backlog > 0
        ? { note: `${uplink.backlog} ${uplink.backlog === 1 ? 'segment waits' : 'segments wait'}` }
        : {}),
    });
  }
  return list;
}

export function lag(ms: number): string {
  return ms < 1_000 ? 'up to date' : `${seconds(ms)} behind`;
}

export function rungState(state: string): { text: string; level: Level } {
  switch (state) {
    case 'active':
      return { text: 'on air', level: 'good' };
    case 'half_rate':
      return { text: 'at half its frame rate', level: 'warning' };
    case 'gone':
      return { text: 'given up', level: 'bad' };
    default:
      return { text: state.replaceAll('_', ' '), level: 'good' };
  }
}

function overload(state: string): string | null {
  if (state === 'half_rate') return 'overloaded: half the frame rate';
  if (state === 'rung_dropped') return 'overloaded: a resolution was given up';
  return null;
}

/** `1080p60, 6.1 Mbit/s`. */
export function picture(input: Input): string {
  const parts = [
    size(input),
    input.fps ? `${number(input.fps)} frames per second` : null,
    bits(input.bitrate_bps),
  ];
  return parts.filter((part) => part !== null).join(', ');
}

export function size(input: Input): string | null {
  return input.width && input.height ? `${input.width} × ${input.height}` : null;
}

export function bits(bps: number): string {
  if (bps >= 1e9) return `${number(bps / 1e9)} Gbit/s`;
  if (bps >= 1e6) return `${number(bps / 1e6)} Mbit/s`;
  return `${Math.round(bps / 1e3)} kbit/s`;
}

function sound(input: Input): string {
  if (!input.audio_codec) return 'none';
  const rate = input.sample_rate ? `${number(input.sample_rate / 1_000)} kHz` : null;
  const channels = input.channels === 1 ? 'mono' : input.channels === 2 ? 'stereo' : null;
  const more = input.channels && input.channels > 2 ? `${input.channels} channels` : null;
  return [codec(input.audio_codec), rate, channels ?? more].filter((part) => part !== null).join(', ');
}

/** A twentieth of a second is what television allows; nobody sees less. */
const SKEW_WORTH_A_WORD_MS = 50;

function skew(ms: number | null | undefined): { note?: string } {
  if (ms === null || ms === undefined || Math.abs(ms) < SKEW_WORTH_A_WORD_MS) return {};
  return { note: `${seconds(Math.abs(ms))} ${ms > 0 ? 'ahead of' : 'behind'} the picture` };
}

function codec(name: string): string {
  const known: Record<string, string> = {
    h264: 'H.264',
    avc: 'H.264',
    avc1: 'H.264',
    aac: 'AAC',
    mp4a: 'AAC',
  };
  return known[name.toLowerCase()] ?? name;
}

function times(count: number): string {
  return count === 1 ? 'once' : `${count} times`;
}

function number(value: number, digits = 1): string {
  return String(Number(value.toFixed(digits)));
}

function seconds(ms: number): string {
  return ms < 10_000 ? `${number(ms / 1_000)} s` : `${Math.round(ms / 1_000)} s`;
}
