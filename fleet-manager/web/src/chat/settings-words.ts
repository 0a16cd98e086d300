// The settings of a chat, in words: what is in force, and what has just changed.

import type { Settings } from './protocol';

/** `10 seconds`, `2 minutes`, `1 hour`, `14 days`: one unit, since settings are round. */
export function span(seconds: number): string {
  const units = [
    [86_400, 'day'],
    [3_600, 'hour'],
    [60, 'minute'],
  ] as const;
  for (const [size, name] of units) {
    if (seconds >= size && seconds % size === 0) return count(seconds / size, name);
  }
  return count(seconds, 'second');
}

function count(value: number, name: string): string {
  return `${value} ${name}${value === 1 ? '' : 's'}`;
}

export interface Mode {
  readonly key: keyof Settings;
  /** A word or two, for a chip. */
  readonly name: string;
  /** What it means for who wants to speak. */
  readonly meaning: string;
}

/** What is in force of what a viewer notices. */
export function modes(settings: Settings): readonly Mode[] {
  const list: Mode[] = [];
  const add = (key: keyof Settings, name: string, meaning: string) => list.push({ key, name, meaning });
  if (settings.off) add('off', 'Chat off', 'Only moderators can speak now.');
  if (settings.slow_s > 0)
    add('slow_s', `Slow ${short(settings.slow_s)}`, `One message every ${span(settings.slow_s)}.`);
  if (settings.followers_s !== null) {
    const least = settings.followers_s;
    add(
      'followers_s',
      least === 0 ? 'Followers' : `Followers ${short(least)}`,
      least === 0
        ? 'Only who follows the channel can speak.'
        : `Only who has followed the channel for ${span(least)} can speak.`,
    );
  }
  if (settings.subscribers_only) add('subscribers_only', 'Subscribers', 'Only subscribers can speak.');
  if (settings.emotes_only) add('emotes_only', 'Emotes only', 'Messages can hold nothing but emotes.');
  if (settings.unique) add('unique', 'Unique', 'Nothing can be said twice in a short time.');
  if (settings.links === 'refuse') add('links', 'No links', 'Links are not allowed.');
  if (settings.links === 'hold')
    add('links', 'Links checked', 'A moderator looks at messages with links first.');
  return list;
}

function short(seconds: number): string {
  if (seconds % 86_400 === 0 && seconds > 0) return `${seconds / 86_400} d`;
  if (seconds % 3_600 === 0 && seconds > 0) return `${seconds / 3_600} h`;
  if (seconds % 60 === 0 && seconds > 0) return `${seconds / 60} min`;
  return `${seconds} s`;
}

/** A sentence for each mode that began, changed or ended. */
export function settingsInWords(before: Settings | null, after: Settings): string[] {
  if (before === null) return [];
  const was = new Map(modes(before).map((mode) => [mode.key, mode]));
  const is = new Map(modes(after).map((mode) => [mode.key, mode]));
  const words: string[] = [];
  for (const [key, mode] of is) if (was.get(key)?.meaning !== mode.meaning) words.push(mode.meaning);
  for (const key of was.keys()) if (!is.has(key)) words.push(ENDED[key] ?? '');
  return words.filter((sentence) => sentence !== '');
}

const ENDED: Readonly<Partial<Record<keyof Settings, string>>> = {
  off: 'The chat is open again.',
  slow_s: 'Slow mode is over.',
  followers_s: 'Everybody can speak again, not followers only.',
  subscribers_only: 'Everybody can speak again, not subscribers only.',
  emotes_only: 'Messages can hold words again.',
  unique: 'Messages may repeat again.',
  links: 'Links are allowed again.',
};
