import { describe, expect, it } from 'vitest';

import type { Advice } from '../../src/api/types';
import { facts, levelOf, picture, type Live, rungState } from '../../src/words/stream-health';
import { sentence, warningTitle } from '../../src/words/warnings';

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
  advice: [],
};

const said = (code: string, hint = false): Advice => ({
  code,
  side: 'encoder',
  hint,
  text: 'What is wrong.',
});

describe('levelOf', () => {
  it('follows the server, and tells a hint from nothing', () => {
    expect(levelOf({ health: 'ok', advice: [] })).toBe('good');
    expect(levelOf({ health: 'ok', advice: [said('b_frames', true)] })).toBe('hint');
    expect(levelOf({ health: 'warning', advice: [said('stalls')] })).toBe('warning');
    expect(levelOf({ health: 'critical', advice: [said('no_video')] })).toBe('bad');
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
    const marked = facts({ ...good, advice: [said('key_frames_far_apart')] }).filter(
      (fact) => fact.level !== 'good',
    );
    expect(marked.map((fact) => [fact.label, fact.level])).toEqual([['Key frames', 'warning']]);
    const hinted = facts({ ...good, advice: [said('b_frames', true)] }).find((fact) => fact.level !== 'good');
    expect(hinted).toMatchObject({ label: 'Key frames', level: 'hint' });
  });

  it('says how far sound and picture are apart when it can be seen', () => {
    const apart = facts({ ...good, input: { ...good.input, av_skew_ms: -240 } });
    expect(apart.find((fact) => fact.label === 'Sound')?.note).toBe('0.2 s behind the picture');
  });

  it('marks a way out that is slow or broken', () => {
    const way = (connected: boolean, lag_ms: number) =>
      facts({ ...good, uplink: { connected, lag_ms, backlog: 0 } }).find(
        (fact) => fact.label === 'Way to the viewers',
      );
    expect(way(true, 6_500)).toMatchObject({ value: '6.5 s behind', level: 'warning' });
    expect(way(false, 100)).toMatchObject({ value: 'interrupted', level: 'bad' });
  });

  it('stands a stream that nothing is known of yet', () => {
    const input = {
      ...good.input,
      bitrate_bps: 0,
      video_codec: null,
      width: null,
      height: null,
      fps: null,
      key_frame_interval_s: null,
      audio_codec: null,
      av_skew_ms: null,
    };
    const young: Live = { input, ladder: null, uplink: null, advice: [] };
    expect(picture(young.input)).toBe('0 kbit/s');
    expect(facts(young).map((fact) => fact.value)).toEqual(['none yet', '–', '0 kbit/s', '–', 'none']);
  });
});

describe('words', () => {
  it('has titles, and spells a code that it does not know', () => {
    expect(warningTitle('b_frames')).toBe('B-frames add delay');
    expect(warningTitle('moon_too_close')).toBe('Moon too close');
    expect(warningTitle('')).toBe('Something is not right');
  });

  it('makes a sentence of a log line', () => {
    expect(sentence('lower the bitrate')).toBe('Lower the bitrate.');
    expect(sentence('Why?')).toBe('Why?');
    expect(sentence('tj-thermal is at 92 °C')).toBe('tj-thermal is at 92 °C.');
    expect(sentence('  ')).toBe('');
  });

  it('knows the states of a rung, and shows others as they are', () => {
    expect(rungState('half_rate').level).toBe('warning');
    expect(rungState('on_hold').text).toBe('on hold');
  });
});
