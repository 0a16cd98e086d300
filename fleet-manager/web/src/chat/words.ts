// What the chat tells the viewer about itself.

import type { Connection } from './client';
import { CLOSE } from './retry';

export interface Words {
  readonly title: string;
  readonly detail: string;
  /** Something that the viewer can do: try again now. */
  readonly retry: boolean;
}

/** Null while all is well, or has only just begun. */
export function connectionWords(connection: Connection, nowMs: number): Words | null {
  const say = (title: string, detail = '', retry = false) => ({ title, detail, retry });
  switch (connection.is) {
    case 'idle':
    case 'open':
      return null;
    case 'connecting':
      return connection.again ? say('Reconnecting…') : say('Connecting to the chat…');
    case 'offline':
      return say('You are offline', 'The chat goes on when the network is back.');
    case 'waiting': {
      const seconds = Math.max(1, Math.ceil((connection.untilMs - nowMs) / 1000));
      const detail = seconds > 1 ? `Trying again in ${seconds} s.` : 'Trying again.';
      switch (connection.code) {
        case CLOSE.suspended:
          return say('This channel is suspended', 'Its chat is closed.', true);
        case CLOSE.tooMany:
          return say(
            'Too many connections',
            `The chat is open in too many places of your network. ${detail}`,
            true,
          );
        case CLOSE.tooSlow:
          return say('Your connection is too slow for this chat', detail, true);
        default:
          return say('The chat is not reachable', detail, true);
      }
    }
    case 'ended':
      if (connection.code === CLOSE.noChannel)
        return say('There is no chat here', 'No channel has this name.', true);
      return say('You cannot enter this chat', connection.reason || 'Your network is banned from it.', true);
  }
}

/** `8:12`, `1:04:09`, `3 d 4 h`: how long something still lasts. */
export function left(ms: number): string {
  const total = Math.max(0, Math.ceil(ms / 1000));
  const two = (value: number) => String(value).padStart(2, '0');
  const days = Math.floor(total / 86_400);
  const hours = Math.floor((total % 86_400) / 3600);
  const minutes = Math.floor((total % 3600) / 60);
  if (days > 0) return `${days} d ${hours} h`;
  if (hours > 0) return `${hours}:${two(minutes)}:${two(total % 60)}`;
  return `${minutes}:${two(total % 60)}`;
}

const HALF_A_DAY_MS = 12 * 3_600_000;

/** `14:32`; with the day when it is not clear which one is meant. */
export function clockTime(atMs: number, nowMs: number): string {
  const at = new Date(atMs);
  const time = at.toLocaleTimeString('en-GB', { hour: '2-digit', minute: '2-digit' });
  // Shortly after midnight “23:58” is a minute ago.
  if (Math.abs(atMs - nowMs) < HALF_A_DAY_MS) return time;
  return `${at.toLocaleDateString('en-GB', { day: 'numeric', month: 'short' })}, ${time}`;
}

/** As a sentence: the service's words begin with a small letter, and end without a full stop. */
export function sentence(text: string): string {
  const words = text.trim();
  return words === ''
    ? ''
    : `${words.charAt(0).toUpperCase()}${words.slice(1)}${/[.!?…]$/.test(words) ? '' : '.'}`;
}

/** How long until it may be tried again. */
export function againWords(seconds: number): string {
  if (seconds < 90) return `${seconds} s left.`;
  if (seconds < 5_400) return `${Math.ceil(seconds / 60)} minutes left.`;
  return `${Math.ceil(seconds / 3_600)} hours left.`;
}
