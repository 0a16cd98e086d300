// Where the page is, and where its channel's files are.

/** The origin's rule for channel ids: they are path segments without escaping. */
const CHANNEL = /^[a-z0-9][a-z0-9_-]{0,31}$/;

/** The channel of a watch page's path, `/watch/<channel>`, or `null` when the path names none. */
export function channelOf(pathname: string): string | null {
  const name = /\/watch\/([^/]+)\/?$/.exec(pathname)?.[1];
  return name !== undefined && CHANNEL.test(name) ? name : null;
}

export interface ChannelAddress {
  readonly multivariant: string;
  readonly status: string;
  readonly thumbnail: string;
}

/** Absolute paths on the page's own origin (`docs/interfaces.md`, section 6). */
export function addressOf(channel: string): ChannelAddress {
  const root = `/live/${channel}`;
  return {
    multivariant: `${root}/index.m3u8`,
    status: `${root}/status.json`,
    thumbnail: `${root}/thumbnail.jpg`,
  };
}
