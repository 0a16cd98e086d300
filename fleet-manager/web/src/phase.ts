// What the viewer is told, derived from what is known and from nothing else.

import type { StatusAnswer } from './status';

/** What the media element is doing. */
export type Media =
  /** No source is attached. */
  | 'none'
  /** A source is attached, no frame was shown yet. */
  | 'loading'
  | 'playing'
  /** The viewer's own pause. */
  | 'paused'
  /** It wants to play and has nothing to play. */
  | 'stalled'
  /** It came to the end of a playlist that says so. */
  | 'ended';

export interface Facts {
  readonly media: Media;
  /** How long the media has been stalled or loading, in milliseconds. */
  readonly waitingMs: number;
  /** How long it has been on its way to another place, in milliseconds; `null`: it is not. */
  readonly seekingMs: number | null;
  /** The last answer, or `null` before the first. */
  readonly status: StatusAnswer | null;
  /** This page has shown the channel at least once. */
  readonly hasPlayed: boolean;
}

export type Phase =
  'connecting' | 'offline' | 'starting' | 'live' | 'paused' | 'buffering' | 'reconnecting' | 'ended';

export interface Words {
  readonly title: string;
  readonly detail: string;
}

/** A gap shorter than this is a hiccup: a spinner says enough. */
export const HICCUP_MS = 2_000;
/** A place that was not loaded takes a while; longer than this, and the connection is to blame. */
export const SEEK_MS = 5_000;

export function phaseOf({ media, waitingMs, seekingMs, status, hasPlayed }: Facts): Phase {
  if (media === 'playing') return 'live';
  if (media === 'paused') return 'paused';
  if (media === 'stalled' && waitingMs < HICCUP_MS) return 'buffering';
  if (media === 'stalled' && seekingMs !== null && seekingMs < SEEK_MS) return 'buffering';
  if (status === null) return hasPlayed ? 'reconnecting' : 'connecting';
  if (status === 'unreachable') return waitingMs < HICCUP_MS && !hasPlayed ? 'connecting' : 'reconnecting';
  switch (status.state) {
    case 'offline':
      return 'offline';
    case 'ended':
      return media === 'none' || media === 'ended' ? 'ended' : 'buffering';
    case 'starting':
      return hasPlayed ? 'reconnecting' : 'starting';
    case 'reconnecting':
      return 'reconnecting';
    case 'live':
      return hasPlayed ? 'reconnecting' : 'connecting';
  }
}

export function wordsFor(phase: Phase, status: StatusAnswer | null): Words | null {
  switch (phase) {
    case 'live':
    case 'paused':
    case 'buffering':
      return null;
    case 'connecting':
      return { title: 'Connecting', detail: '' };
    case 'offline':
      return { title: 'Offline', detail: 'Playback starts by itself when the stream begins.' };
    case 'starting':
      return { title: 'Starting', detail: 'The stream is about to begin.' };
    case 'reconnecting':
      return { title: 'Reconnecting', detail: reconnectingDetail(status) };
    case 'ended':
      return { title: 'The stream has ended', detail: 'Playback starts by itself when there is a new one.' };
  }
}

function reconnectingDetail(status: StatusAnswer | null): string {
  if (status === 'unreachable') return 'The connection to the stream is down. Playback goes on by itself.';
  if (status?.state === 'reconnecting')
    return 'The streamer’s connection dropped. Playback goes on by itself.';
  return 'Playback goes on by itself.';
}

/** The few letters of the badge beside the channel's name. */
export function badgeFor(phase: Phase): string {
  switch (phase) {
    case 'live':
    case 'buffering':
    case 'paused':
      return 'Live';
    case 'connecting':
      return 'Connecting';
    case 'starting':
      return 'Starting';
    case 'reconnecting':
      return 'Reconnecting';
    case 'ended':
      return 'Ended';
    case 'offline':
      return 'Offline';
  }
}
