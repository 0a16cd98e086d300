// Numbers as the site's cards say them.

const COMPACT = new Intl.NumberFormat('en-GB', { notation: 'compact', maximumFractionDigits: 1 });

/** `7`, `1.2k`, `15k`: short enough for a corner of a picture. */
export function short(count: number): string {
  return COMPACT.format(count);
}

/** `1 viewer`, `1.2k viewers`. */
export function viewers(count: number): string {
  return `${short(count)} ${count === 1 ? 'viewer' : 'viewers'}`;
}

export function followers(count: number): string {
  return `${short(count)} ${count === 1 ? 'follower' : 'followers'}`;
}
