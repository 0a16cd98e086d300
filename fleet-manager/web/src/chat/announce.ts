// What a screen reader says of new messages: all of them while they are few, and when they are many, how many, and those
// that are about the listener.

import type { MessageRow } from './log';
import { cut } from './text';

/** Between two announcements: time to say three short sentences. */
export const EVERY_MS = 4_000;
const MOST = 3;
const LONGEST = 160;

export function isAbout({ message }: MessageRow, me: string | null): boolean {
  if (me === null || message.user.id === me) return false;
  const mentioned = message.marks?.some((mark) => mark.is === 'mention' && mark.user === me) ?? false;
  return mentioned || message.reply?.user.id === me;
}

/** One string for each thing to say. */
export function announcement(rows: readonly MessageRow[], me: string | null): string[] {
  const heard = rows.filter(({ gone, past, message }) => gone === null && !past && message.user.id !== me);
  if (heard.length <= MOST) return heard.map(spoken);
  const about = heard.filter((row) => isAbout(row, me)).slice(-MOST);
  return [...about.map(spoken), `${heard.length - about.length} new messages`];
}

export function spoken({ message }: MessageRow): string {
  const text = cut(message.text, LONGEST);
  if (message.me === true) return `${message.user.name} ${text}`;
  return message.reply === undefined
    ? `${message.user.name}: ${text}`
    : `${message.user.name}, to ${message.reply.user.name}: ${text}`;
}
