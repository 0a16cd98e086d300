// What the channel page says about a channel.

import { ago } from '../../dashboard/src/format/time';
import type { Words } from '../phase';
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

/** In place of the picture; null: what the player says by itself is all that is known. */
export function offAir(info: ChannelInfo | null, isUnknown: boolean, nowMs: number): Words | null {
  if (isUnknown) return { title: 'No such channel', detail: 'Nobody has opened a channel of this name.' };
  if (info?.suspended === true)
    return { title: 'Suspended', detail: 'Those who run this site have suspended the channel.' };
  const last = lastLive(info, nowMs);
  if (last === '') return null;
  return { title: 'Offline', detail: `${last} Playback starts by itself when the stream begins.` };
}

/** Of the window: who, and what they show. */
export function windowTitle(info: ChannelInfo | null, channel: string): string {
  const name = streamerOf(info, channel);
  const title = info?.title ?? '';
  return title === '' || title === name ? name : `${name}: ${title}`;
}
