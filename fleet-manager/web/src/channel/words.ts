// What the channel page says about a channel.

import { ago } from '../../dashboard/src/format/time';
import { nameOf, type ChannelInfo } from '../site/api';

/** Whose channel it is: its id where nobody is named. */
export function streamerOf(info: ChannelInfo | null, channel: string): string {
  return info === null ? channel : nameOf(info);
}

/** For a channel that is off the air; empty when nothing is known. */
export function lastLive(info: ChannelInfo | null, nowMs: number): string {
  const at = info?.last_live_ms;
  return at === null || at === undefined ? '' : `Was live ${ago(at, nowMs)}.`;
}

/** Of the window: who, and what they show. */
export function windowTitle(info: ChannelInfo | null, channel: string): string {
  const name = streamerOf(info, channel);
  const title = info?.title ?? '';
  return title === '' || title === name ? name : `${name}: ${title}`;
}
