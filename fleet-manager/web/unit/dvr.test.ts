import { describe, expect, it } from 'vitest';

import { bufferedAround } from '../src/playback/buffered';
import {
  behindAt,
  behindLabel,
  behindWords,
  hasFallenOut,
  oldest,
  positionFor,
  shareAt,
  steadyLength,
  timelineOf,
  type Place,
} from '../src/playback/dvr';

const WINDOW = { start: 100, end: 162, segment: 2 };
const PLACE: Place = {
  window: WINDOW,
  distance: 1,
  position: 161,
  following: true,
  bufferStart: 140,
  bufferEnd: 161.8,
  shown: 0,
};

describe('the bar', () => {
  it('ends where a viewer who follows the live edge is', () => {
    const timeline = timelineOf(PLACE);
    expect(timeline.live).toBe(161);
    expect(timeline.behind).toBe(0);
    expect(shareAt(timeline, timeline.behind)).toBe(1);
    // However far that viewer has fallen back meanwhile: the pace controller is at it.
    expect(timelineOf({ ...PLACE, position: 159.5 }).behind).toBe(0);
  });

  it('says how far behind live the viewer is', () => {
    const timeline = timelineOf({ ...PLACE, following: false, position: 131 });
    expect(timeline.behind).toBe(30);
    expect(shareAt(timeline, 30)).toBeCloseTo(1 - 30 / timeline.length);
    expect(behindAt(timeline, shareAt(timeline, 30))).toBeCloseTo(30);
  });

  it('shows what is loaded around the playhead, within itself', () => {
    const timeline = timelineOf({ ...PLACE, following: false, position: 145 });
    expect(behindAt(timeline, timeline.loaded.from)).toBeCloseTo(161 - 140);
    expect(timeline.loaded.to).toBe(1);
    expect(timelineOf({ ...PLACE, bufferStart: 20, bufferEnd: 90 }).loaded).toEqual({ from: 0, to: 0 });
  });

  it('stands still while the window goes up by parts and down by segments', () => {
    let [window, shown] = [{ ...WINDOW }, 0];
    const lengths = new Set<number>();
    for (let tick = 0; tick < 400; tick++) {
      window = { ...window, end: window.end + 0.25 };
      if (window.end - window.start > 64) window = { ...window, start: window.start + 2 };
      const position = window.end - 30;
      shown = timelineOf({ ...PLACE, window, position, following: false, shown }).length;
      if (tick > 20) lengths.add(Math.round(shown * 100));
    }
    expect(lengths.size).toBe(1);
  });

  it('grows with a window that grows, and is never longer than it', () => {
    expect(steadyLength(0, 10, 2.5)).toBe(7.5);
    expect(steadyLength(7.5, 20, 2.5)).toBe(17.5);
    expect(steadyLength(17.5, 19, 2.5)).toBe(17.5);
    expect(steadyLength(17.5, 12, 2.5)).toBe(12);
  });

  it('makes sense of a window that has only begun', () => {
    const timeline = timelineOf({ ...PLACE, window: { start: 0, end: 0.5, segment: 2 }, position: 0.1 });
    expect(timeline).toMatchObject({ live: 0, length: 0, behind: 0 });
    expect(shareAt(timeline, 0)).toBe(1);
    expect(behindAt(timeline, 0)).toBe(0);
  });
});

describe('going to another place', () => {
  it('ends at live when it comes near', () => {
    expect(positionFor(WINDOW, 161, 0.9)).toBeNull();
    expect(positionFor(WINDOW, 161, -5)).toBeNull();
    expect(positionFor(WINDOW, 161, 5)).toBe(156);
  });

  it('stays a segment away from what is about to be gone', () => {
    expect(positionFor(WINDOW, 161, 1_000)).toBe(102);
    expect(oldest(WINDOW)).toBe(102);
    // A quarter of a window that is short.
    expect(oldest({ start: 10, end: 14, segment: 2 })).toBe(11);
  });

  it('counts as fallen out only when there is nothing to play on with', () => {
    expect(hasFallenOut(WINDOW, 99.9)).toBe(true);
    // The place itself is gone, but what is loaded reaches into the window.
    expect(hasFallenOut(WINDOW, 110)).toBe(false);
  });
});

describe('how far behind', () => {
  it('is written as a clock', () => {
    expect(behindLabel(0.4)).toBe('Live');
    expect(behindLabel(9.6)).toBe('-0:10');
    expect(behindLabel(84)).toBe('-1:24');
    expect(behindLabel(3_723)).toBe('-1:02:03');
  });

  it('is said in words', () => {
    expect(behindWords(0)).toBe('Live');
    expect(behindWords(61)).toBe('1 minute 1 second behind live');
    expect(behindWords(7_200)).toBe('2 hours behind live');
  });
});

describe('what is loaded', () => {
  const ranges = (...pairs: (readonly [number, number])[]): TimeRanges => ({
    length: pairs.length,
    start: (index) => pairs[index]?.[0] ?? Number.NaN,
    end: (index) => pairs[index]?.[1] ?? Number.NaN,
  });

  it('is the range that the playhead is in', () => {
    expect(bufferedAround(ranges([0, 5], [10, 20]), 12)).toEqual({ from: 10, to: 20 });
    expect(bufferedAround(ranges([0, 5], [10, 20]), 9.95)).toEqual({ from: 10, to: 20 });
    expect(bufferedAround(ranges([0, 5], [10, 20]), 7)).toEqual({ from: 7, to: 7 });
    expect(bufferedAround(ranges(), 3)).toEqual({ from: 3, to: 3 });
  });
});
