// How long to wait before asking again.

/** First wait: a viewer of a stream that starts or comes back is not kept waiting. */
const FIRST_MS = 800;
/** Longest wait for a stream to start: what an idle page costs the edge, against how soon it notices. */
export const IDLE_MS = 6_000;
/** Longest wait for a stream that was on the screen until a moment ago. */
export const INTERRUPTED_MS = 1_500;
const GROWTH = 1.5;
/** Spread, so that the viewers of one outage do not come back in one instant. */
const JITTER = 0.25;

/** Milliseconds before attempt number `attempt` (0: the first repeat); `random` in [0, 1). */
export function delayMs(attempt: number, longestMs: number, random: number): number {
  const plain = Math.min(longestMs, FIRST_MS * GROWTH ** Math.min(attempt, 16));
  return Math.round(plain * (1 + JITTER * (2 * random - 1)));
}
