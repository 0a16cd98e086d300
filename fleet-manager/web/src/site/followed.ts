// Followed channels with what the directory knows since.

import type { Card } from './api';

export interface Followed {
  readonly live: readonly Card[];
  readonly offline: readonly Card[];
}

/** `directory`: null while it is not known; what the followed channels said of themselves holds then. */
export function followed(
  channels: readonly Card[],
  directory: readonly Card[] | null,
  nowMs: number,
): Followed {
  const known = directory === null ? null : new Map(directory.map((channel) => [channel.id, channel]));
  const now = channels.map((channel): Card => {
    if (known === null) return channel;
    const live = known.get(channel.id);
    if (live !== undefined) return live;
    if (!channel.live) return channel;
    // It was live when the list was made.
    return { ...channel, live: false, last_live_ms: nowMs };
  });
  return {
    live: now.filter(({ live }) => live).sort((a, b) => (b.viewers ?? 0) - (a.viewers ?? 0)),
    offline: now.filter(({ live }) => !live).sort((a, b) => (b.last_live_ms ?? 0) - (a.last_live_ms ?? 0)),
  };
}
