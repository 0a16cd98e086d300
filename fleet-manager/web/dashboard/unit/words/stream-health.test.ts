import { describe, expect, it } from 'vitest';

import { bits, facts, health, level, type Live, rungState } from '../../src/words/stream-health';
import { named, sentence } from '../../src/words/warnings';

const good: Live = {
  input: {
    bitrate_bps: 6_120_000,
    video_codec: 'h264',
    width: 1920,
    height: 1080,
    fps: 60,
    key_frame_interval_s: 2,
    b_frames: false,
    audio_codec: 'aac',
    sample_rate: 48_000,
    channels: 2,
    av_skew_ms: 12,
    timestamp_jumps: 0,
    stalls: 0,
  },
  ladder: { backend: 'jetson', speed: 1.004, lag_ms: 40, overload: 'none', worker: 0, rungs: [] },
  uplink: { connected: true, lag_ms: 210, backlog: 0 },
  warnings: [],
};

const warned = (...codes: string[]): Live => ({
  ...good,
  warnings: codes.map((code) => ({ code, text: 'what the box says' })),
});

describe('health', () => {
  it('says of a stream without warnings that it is healthy, and what it is', () => {
    expect(health(good)).toEqual({
      level: 'good',
      headline: 'Your stream is healthy.',
      detail: '1920 × 1080, 60 frames per second, 6.1 Mbit/s',
      warnings: [],
    });
  });

  it('tells a hint from a problem', () => {
    expect(health(warned('b_frames')).headline).toContain('could be a little better');
    expect(level(warned('b_frames'))).toBe('hint');
    expect(level(warned('b_frames', 'stalls'))).toBe('warning');
    expect(level(warned('no_video'))).toBe('bad');
  });

  it('says whose problem it is', () => {
    expect(health(warned('stalls')).detail).toContain('in your encoder');
    expect(health(warned('overload')).detail).toContain('Nothing is wrong on your side');
    // A hint for the encoder does not make the box's problem the streamer's.
    expect(health(warned('b_frames', 'overload')).detail).toContain('Nothing is wrong on your side');
  });

  it('puts first what viewers notice and the streamer can mend', () => {
    const codes = health(warned('b_frames', 'overload', 'stalls')).warnings.map((warning) => warning.code);
    expect(codes).toEqual(['stalls', 'overload', 'b_frames']);
  });

  it('warns of the way out, which no process on the box warns of', () => {
    const slow = health({ ...good, uplink: { connected: true, lag_ms: 6_500, backlog: 3 } });
    expect(slow.level).toBe('warning');
    expect(slow.warnings[0]?.text).toContain('6.5 s behind');
    const away: Live = { ...good, uplink: { connected: false, lag_ms: 2_000, backlog: 1 } };
    expect(level(away)).toBe('warning');
    expect(level({ ...away, uplink: { connected: false, lag_ms: 31_000, backlog: 9 } })).toBe('bad');
  });

  it('stands a stream that nothing is known of yet', () => {
    const young: Live = { input: { bitrate_bps: 0 }, ladder: null, uplink: null, warnings: [] };
    expect(health(young).detail).toBe('0 kbit/s');
    expect(facts(young).map((fact) => fact.value)).toEqual(['none yet', '–', '0 kbit/s', '–', 'none']);
  });
});

describe('facts', () => {
  it('names each measurement with how it stands', () => {
    const byLabel = new Map(facts(good).map((fact) => [fact.label, fact]));
    expect(byLabel.get('Sound')?.value).toBe('AAC, 48 kHz, stereo');
    expect(byLabel.get('Key frames')?.value).toBe('every 2 s');
    expect(byLabel.get('Encoding on the box')).toMatchObject({
      value: 'keeps up',
      note: '1× real time, in hardware',
    });
    expect(byLabel.get('Way to the viewers')?.value).toBe('up to date');
    expect([...byLabel.values()].every((fact) => fact.level === 'good')).toBe(true);
  });

  it('marks the one that a warning is about', () => {
    const levels = facts(warned('key_frames_far_apart')).filter((fact) => fact.level !== 'good');
    expect(levels.map((fact) => fact.label)).toEqual(['Key frames']);
  });

  it('says how far sound and picture are apart when it can be seen', () => {
    const apart = facts({ ...good, input: { ...good.input, av_skew_ms: -240 } });
    expect(apart.find((fact) => fact.label === 'Sound')?.note).toBe('0.2 s behind the picture');
  });
});

describe('words', () => {
  it('spells a code that it does not know', () => {
    expect(named({ code: 'moon_too_close', text: 'look up' })).toMatchObject({
      title: 'Moon too close',
      text: 'Look up.',
      hint: false,
    });
    expect(named({ code: '', text: '' }).title).toBe('Something is not right');
  });

  it('makes a sentence of a log line', () => {
    expect(sentence('lower the bitrate')).toBe('Lower the bitrate.');
    expect(sentence('Why?')).toBe('Why?');
    expect(sentence('tj-thermal is at 92 °C')).toBe('tj-thermal is at 92 °C.');
    expect(sentence('  ')).toBe('');
  });

  it('scales bitrates', () => {
    expect([bits(950), bits(128_000), bits(6e6), bits(2.5e9)]).toEqual([
      '1 kbit/s',
      '128 kbit/s',
      '6 Mbit/s',
      '2.5 Gbit/s',
    ]);
  });

  it('knows the states of a rung, and shows others as they are', () => {
    expect(rungState('half_rate').level).toBe('warning');
    expect(rungState('on_hold').text).toBe('on hold');
  });
});
