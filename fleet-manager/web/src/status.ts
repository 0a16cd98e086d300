// What the origin says about the channel when the player itself has nothing to show.

export type ChannelState = 'offline' | 'starting' | 'live' | 'reconnecting' | 'ended';

export interface ChannelStatus {
  readonly state: ChannelState;
  /** When the newest session started, in milliseconds since the Unix epoch. */
  readonly startedUnixMs: number | null;
}

/** `unreachable`: no answer, or none that makes sense, which says nothing about the channel. */
export type StatusAnswer = ChannelStatus | 'unreachable';

const STATES: readonly string[] = ['offline', 'starting', 'live', 'reconnecting', 'ended'];
/** A status is a few dozen bytes: an origin that needs longer than this is as good as gone. */
const TIMEOUT_MS = 5_000;

export function parseStatus(body: unknown): StatusAnswer {
  if (typeof body !== 'object' || body === null || !('state' in body)) {
    return 'unreachable';
  }
  const { state } = body;
  if (typeof state !== 'string' || !STATES.includes(state)) {
    return 'unreachable';
  }
  const started = 'started_unix_ms' in body ? body.started_unix_ms : null;
  return {
    state: state as ChannelState,
    startedUnixMs: typeof started === 'number' ? started : null,
  };
}

/** One answer that was asked for before anybody needed it. */
let foreseen: { readonly url: string; readonly answer: Promise<StatusAnswer> } | null = null;

/** Asks now for what `fetchStatus` is called for in a moment: the next call for this address gets the answer. */
export function foresee(url: string): void {
  foreseen = { url, answer: ask(url) };
}

export function fetchStatus(url: string): Promise<StatusAnswer> {
  const early = foreseen;
  foreseen = null;
  return early?.url === url ? early.answer : ask(url);
}

async function ask(url: string): Promise<StatusAnswer> {
  try {
    const response = await fetch(url, { signal: AbortSignal.timeout(TIMEOUT_MS), cache: 'no-cache' });
    // A channel that never was on the air is offline to a viewer.
    if (response.status === 404) {
      return { state: 'offline', startedUnixMs: null };
    }
    return response.ok ? parseStatus(await response.json()) : 'unreachable';
  } catch {
    return 'unreachable';
  }
}
