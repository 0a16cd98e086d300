// What is measured of a live stream, in plain words, each with how it stands. The server decides how the stream does as
// a whole; a measurement is marked when something that it says is about it.

import type { Advice, Health, SessionView } from '../api/types';
import { bitrate, resolution } from '../format/units';

export type Level = 'good' | 'hint' | 'warning' | 'bad';

export type Live = Pick<SessionView, 'input' | 'ladder' | 'uplink' | 'advice'>;

/** Below this speed an encoder falls behind a second in every ten. */
const SLOW_SPEED = 0.9;
/** From this lag on viewers come nearer to the end of their buffers: two segments of two seconds. */
const LAG_SEEN_MS = 4_000;

/** Of the stream as a whole. */
export function levelOf(stream: { readonly health: Health; readonly advice: readonly Advice[] }): Level {
  if (stream.health === 'critical') return 'bad';
  if (stream.health === 'warning') return 'warning';
  return stream.advice.length > 0 ? 'hint' : 'good';
}

export interface Fact {
  label: string;
  value: string;
  level: Level;
  /** Only where there is something to add. */
  note?: string;
}

function codeLevel(live: Live, ...codes: string[]): Level {
  const about = live.advice.filter((advice) => codes.includes(advice.code));
  if (about.some((advice) => !advice.hint)) return 'warning';
  return about.length > 0 ? 'hint' : 'good';
}

/** What is measured, each with how it stands. */
export function facts(live: Live): Fact[] {
  const { input, ladder, uplink } = live;
  const list: Fact[] = [
    {
      label: 'Picture',
      value: input.width ? resolution(input.width, input.height) : 'none yet',
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
      value: bitrate(input.bitrate_bps),
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

/** `1920×1080, 60 frames per second, 6.1 Mbit/s`. */
export function picture(input: SessionView['input']): string {
  const parts = [
    input.width ? resolution(input.width, input.height) : null,
    input.fps ? `${number(input.fps)} frames per second` : null,
    bitrate(input.bitrate_bps),
  ];
  return parts.filter((part) => part !== null).join(', ');
}

function sound(input: SessionView['input']): string {
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
