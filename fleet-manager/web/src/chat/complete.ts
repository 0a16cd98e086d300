// Completion of what is being typed: `:name`, `@name` and, in front, `/command`.

import { commandsFor } from './commands';
import type { Emote, Role, User } from './protocol';

/** What fits on a phone above the keyboard. */
const MOST = 8;

export interface Suggestion {
  readonly key: string;
  readonly kind: 'emote' | 'name' | 'command';
  readonly label: string;
  readonly detail: string;
  /** Of an emote. */
  readonly url: string | null;
  /** Takes the place of what was typed. */
  readonly insert: string;
}

export interface Completion {
  /** What is replaced: code units of the text. */
  readonly from: number;
  readonly to: number;
  readonly suggestions: readonly Suggestion[];
}

export interface Known {
  readonly role: Role;
  readonly emotes: readonly Emote[];
  /** Who spoke here, the last first. */
  readonly people: readonly User[];
}

/** Null: nothing here can be completed. `cursor`: where in the text one types. */
export function complete(text: string, cursor: number, known: Known): Completion | null {
  const typed = text.slice(0, cursor);
  const command = /^\/([a-z]*)$/i.exec(typed);
  if (command !== null) return found(0, cursor, commands(command[1] ?? '', known.role));
  const name = /(?:^|\s)@([A-Za-z0-9_]*)$/.exec(typed);
  if (name !== null) {
    const part = name[1] ?? '';
    return found(cursor - part.length - 1, cursor, people(part, known.people, '@'));
  }
  // The argument of a command about somebody.
  const target = /^\/(?:timeout|untimeout|ban|unban|purge|who|mod|unmod)\s+([A-Za-z0-9_]+)$/i.exec(typed);
  if (target !== null) {
    const part = target[1] ?? '';
    return found(cursor - part.length, cursor, people(part, known.people, ''));
  }
  // Two letters: `:)` and the end of `12:30` are no emotes.
  const emote = /(?:^|[\s:]):([A-Za-z0-9_]{2,})$/.exec(` ${typed}`);
  if (emote !== null) {
    const part = emote[1] ?? '';
    return found(cursor - part.length - 1, cursor, emotes(part, known.emotes));
  }
  return null;
}

/** The text with a suggestion in it, and where one types on. */
export function accept(
  text: string,
  { from, to }: Completion,
  { insert }: Suggestion,
): { text: string; cursor: number } {
  const after = text.slice(to).replace(/^ /, '');
  return { text: `${text.slice(0, from)}${insert} ${after}`, cursor: from + insert.length + 1 };
}

function found(from: number, to: number, suggestions: Suggestion[]): Completion | null {
  return suggestions.length === 0 ? null : { from, to, suggestions: suggestions.slice(0, MOST) };
}

function commands(part: string, role: Role): Suggestion[] {
  const wanted = part.toLowerCase();
  return commandsFor(role)
    .filter(({ name }) => name.startsWith(wanted))
    .map(({ name, usage, help }) => ({
      key: name,
      kind: 'command',
      label: `/${name}${usage === '' ? '' : ` ${usage}`}`,
      detail: help,
      url: null,
      insert: `/${name}`,
    }));
}

function people(part: string, known: readonly User[], sign: '@' | ''): Suggestion[] {
  const wanted = part.toLowerCase();
  return known
    .filter(({ name }) => name.toLowerCase().startsWith(wanted))
    .map(({ id, name }) => ({
      key: id,
      kind: 'name',
      label: `${sign}${name}`,
      detail: '',
      url: null,
      insert: `${sign}${name}`,
    }));
}

/** Those that begin so come before those that only hold it. */
export function emotes(part: string, known: readonly Emote[]): Suggestion[] {
  return search(part, known).map(({ name, url }) => ({
    key: name,
    kind: 'emote',
    label: `:${name}:`,
    detail: '',
    url,
    insert: `:${name}:`,
  }));
}

export function search(part: string, known: readonly Emote[]): Emote[] {
  const wanted = part.toLowerCase();
  const place = ({ name }: Emote) => name.toLowerCase().indexOf(wanted);
  return known
    .filter((emote) => place(emote) >= 0)
    .sort((a, b) => Math.min(1, place(a)) - Math.min(1, place(b)) || a.name.localeCompare(b.name));
}
