import { describe, expect, it } from 'vitest';

import { badgeFor, HICCUP_MS, phaseOf, SEEK_MS, wordsFor, type Facts } from '../src/phase';
import type { ChannelState, StatusAnswer } from '../src/status';

function status(state: ChannelState): StatusAnswer {
  return { state, startedUnixMs: null };
}

function facts(changes: Partial<Facts>): Facts {
  return { media: 'none', waitingMs: 0, seekingMs: null, status: null, hasPlayed: false, ...changes };
}

describe('phaseOf', () => {
  it('believes moving pictures more than any status', () => {
    for (const answer of [null, 'unreachable', status('offline'), status('ended')] as const) {
      expect(phaseOf(facts({ media: 'playing', status: answer }))).toBe('live');
    }
  });

  it('says what the channel does before anything was played', () => {
    expect(phaseOf(facts({}))).toBe('connecting');
    expect(phaseOf(facts({ status: status('offline') }))).toBe('offline');
    expect(phaseOf(facts({ status: status('starting') }))).toBe('starting');
    expect(phaseOf(facts({ status: status('live') }))).toBe('connecting');
    expect(phaseOf(facts({ status: status('reconnecting') }))).toBe('reconnecting');
    expect(phaseOf(facts({ status: status('ended') }))).toBe('ended');
  });

  it('calls a short gap buffering and a long one reconnecting', () => {
    const stalled = { media: 'stalled', hasPlayed: true, status: status('live') } as const;
    expect(phaseOf(facts({ ...stalled, waitingMs: HICCUP_MS - 1 }))).toBe('buffering');
    expect(phaseOf(facts({ ...stalled, waitingMs: HICCUP_MS }))).toBe('reconnecting');
  });

  it('calls going to another place buffering, for as long as that may take', () => {
    const seeking = { media: 'stalled', hasPlayed: true, status: null, waitingMs: HICCUP_MS } as const;
    expect(phaseOf(facts({ ...seeking, seekingMs: HICCUP_MS }))).toBe('buffering');
    expect(phaseOf(facts({ ...seeking, seekingMs: SEEK_MS }))).toBe('reconnecting');
    // The first frame of all is not a place that somebody went to.
    expect(phaseOf(facts({ ...seeking, media: 'loading', hasPlayed: false, seekingMs: 1 }))).toBe(
      'connecting',
    );
  });

  it('never calls an interrupted stream "starting"', () => {
    expect(phaseOf(facts({ hasPlayed: true, status: status('starting') }))).toBe('reconnecting');
  });

  it('takes no answer for a lost connection, not for an offline channel', () => {
    expect(phaseOf(facts({ hasPlayed: true, status: 'unreachable' }))).toBe('reconnecting');
    expect(phaseOf(facts({ status: 'unreachable', waitingMs: 100 }))).toBe('connecting');
    expect(phaseOf(facts({ status: 'unreachable', waitingMs: HICCUP_MS }))).toBe('reconnecting');
  });

  it('leaves a viewer who paused alone', () => {
    expect(phaseOf(facts({ media: 'paused', status: status('offline') }))).toBe('paused');
  });
});

describe('words', () => {
  it('are there whenever there is no picture', () => {
    expect(wordsFor('offline', status('offline'))?.title).toBe('Offline');
    expect(wordsFor('starting', status('starting'))?.title).toBe('Starting');
    expect(wordsFor('reconnecting', status('reconnecting'))).toMatchObject({
      title: 'Reconnecting',
      detail: expect.stringContaining('streamer'),
    });
    expect(wordsFor('reconnecting', 'unreachable')?.detail).toContain('connection to the stream');
    expect(wordsFor('live', null)).toBeNull();
  });

  it('fit on the badge', () => {
    expect(badgeFor('buffering')).toBe('Live');
    expect(badgeFor('ended')).toBe('Ended');
  });
});
