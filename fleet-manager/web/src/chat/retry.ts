// When to connect again, by how the last connection ended.

/** First wait: a blip costs the viewer nothing, and ten thousand viewers of a restarted service do not come in one instant. */
const FIRST_MS = 500;
const GROWTH = 1.8;
const LONGEST_MS = 30_000;
/** Half of the wait, more or less. */
const SPREAD = 0.5;
/** A page that nobody looks at is in no hurry. */
const HIDDEN_MS = 10_000;
/** The service said no, for a reason that may pass: too many connections, or a rule that was broken. */
const REFUSED_MS = 30_000;
/** A suspended channel may be let in again some day. */
const SUSPENDED_MS = 120_000;

/** Close codes of the service, beside those of RFC 6455 section 7.4.1. */
export const CLOSE = {
  protocol: 1002,
  binary: 1003,
  notUtf8: 1007,
  policy: 1008,
  tooBig: 1009,
  noJoin: 4000,
  noChannel: 4001,
  suspended: 4002,
  tooMany: 4003,
  tooSlow: 4004,
  idle: 4005,
  banned: 4006,
} as const;

/** Connecting again by itself would meet with the same answer. */
export function isFinal(code: number): boolean {
  return code === CLOSE.noChannel || code === CLOSE.banned;
}

/** Milliseconds until attempt number `attempt` (0: the first one after a loss); `random` in [0, 1). */
export function retryMs(attempt: number, code: number, hidden: boolean, random: number): number {
  const plain = Math.min(LONGEST_MS, FIRST_MS * GROWTH ** Math.min(attempt, 16));
  return Math.round(Math.max(plain, least(code), hidden ? HIDDEN_MS : 0) * (1 + SPREAD * (2 * random - 1)));
}

function least(code: number): number {
  switch (code) {
    case CLOSE.protocol:
    case CLOSE.binary:
    case CLOSE.notUtf8:
    case CLOSE.policy:
    case CLOSE.tooBig:
    case CLOSE.tooMany:
      return REFUSED_MS;
    case CLOSE.suspended:
      return SUSPENDED_MS;
    default:
      return 0;
  }
}
