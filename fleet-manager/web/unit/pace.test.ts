import { describe, expect, it } from 'vitest';

import { PaceController } from '../src/playback/pace';

const AT_TARGET = { latency: 1, holdBack: 1, buffered: 0.8 };

/** Plays for `seconds` at the rates asked for, and returns the latency at the end. */
function play(pace: PaceController, latency: number, seconds: number): number {
  const step = 0.25;
  for (let at = 0; at < seconds; at += step) {
    const { rate, jump } = pace.next({ latency, holdBack: 1, buffered: latency - 0.2 }, at * 1_000);
    latency = jump ? 1 : latency - (rate - 1) * step;
  }
  return latency;
}

describe('PaceController', () => {
  it('leaves playback alone at the target', () => {
    expect(new PaceController().next(AT_TARGET, 0)).toEqual({ rate: 1, jump: false });
  });

  it('comes back to the target from behind and from ahead', () => {
    expect(play(new PaceController(), 2, 40)).toBeCloseTo(1, 1);
    expect(play(new PaceController(), 0.6, 40)).toBeCloseTo(1, 1);
  });

  it('does not hunt around the target', () => {
    const pace = new PaceController();
    for (const latency of [1.05, 0.95, 1.1, 0.9]) {
      expect(pace.next({ ...AT_TARGET, latency }, 0).rate).toBe(1);
    }
  });

  it('does not play faster on a thin buffer', () => {
    expect(new PaceController().next({ latency: 2, holdBack: 1, buffered: 0.1 }, 0).rate).toBe(1);
  });

  it('stays within rates that nobody hears', () => {
    const pace = new PaceController();
    expect(pace.next({ latency: 4.9, holdBack: 1, buffered: 3 }, 0).rate).toBeLessThanOrEqual(1.12);
    expect(pace.next({ latency: 0, holdBack: 1, buffered: 0 }, 0).rate).toBeGreaterThanOrEqual(0.94);
  });

  it('jumps to live from far behind', () => {
    expect(new PaceController().next({ latency: 20, holdBack: 1, buffered: 10 }, 0)).toEqual({
      rate: 1,
      jump: true,
    });
  });

  it('takes more room after a stall and gives it back after a while of calm', () => {
    const pace = new PaceController();
    pace.stalled(0);
    expect(pace.target(1)).toBe(1.25);
    for (let i = 0; i < 100; i++) pace.stalled(0);
    expect(pace.target(1)).toBe(4);
    for (let at = 0; at < 3_600_000; at += 1_000) pace.next(AT_TARGET, at);
    expect(pace.target(1)).toBe(1);
  });
});
