// What stands in the chat's list: messages and notes in their order, what became of them, and what is held back until the
// video has come to it. Bounded whatever the chat does.

import { settingsInWords } from './settings-words';
import type { Event, EventId, Message, Settings, User } from './protocol';

/** Rows kept while the newest are on the screen: some screens to scroll back. */
export const MOST_ROWS = 600;
/** Rows kept while somebody reads further up: a minute of the fastest chat. */
export const MOST_ROWS_READING = 3_000;
/** Rows that wait for the video; with more the oldest are shown before their time. */
export const MOST_HELD = 5_000;
/** Rows go in lots, since each lot moves the array. */
const LOT = 50;

/** How a message was taken away. */
export interface Gone {
  readonly why: 'deleted' | 'purged' | 'restricted';
  readonly by: User | null;
}

export interface MessageRow {
  readonly kind: 'message';
  readonly key: EventId;
  readonly atMs: number;
  readonly message: Message;
  readonly gone: Gone | null;
  /** Was said before the viewer came, or while the connection was down. */
  readonly past: boolean;
}

/** Something that happened, in words. */
export interface NoteRow {
  readonly kind: 'note';
  readonly key: string;
  readonly atMs: number;
  readonly text: string;
  /** Only those who keep order need to know. */
  readonly forModerators: boolean;
}

/** What was said here meanwhile is not known. */
export interface GapRow {
  readonly kind: 'gap';
  readonly key: string;
  readonly atMs: number;
}

export type Row = MessageRow | NoteRow | GapRow;

export class MessageLog {
  #rows: Row[] = [];
  #held: Row[] = [];
  #appended = 0;
  #gaps = 0;
  #settings: Settings | null = null;
  /** What comes waits for `release`. */
  holding = false;
  /** Somebody reads further up: older rows are kept for longer. */
  reading = false;

  /** Oldest first. The array changes with each call of what follows. */
  get rows(): readonly Row[] {
    return this.#rows;
  }

  /** How many wait for the video. */
  get held(): number {
    return this.#held.length;
  }

  /** Messages that were ever shown: the difference of two is what came in between. */
  get appended(): number {
    return this.#appended;
  }

  find(id: EventId): MessageRow | null {
    const row = this.#rows.findLast(({ key }) => key === id);
    return row?.kind === 'message' ? row : null;
  }

  indexOf(key: string): number {
    return this.#rows.findIndex((row) => row.key === key);
  }

  /** The messages of somebody that are still here, newest first. */
  of(user: string): MessageRow[] {
    const theirs = (row: Row): row is MessageRow => row.kind === 'message' && row.message.user.id === user;
    return this.#rows.filter(theirs).reverse();
  }

  /** The settings before the next event about them. */
  settings(settings: Settings): void {
    this.#settings = settings;
  }

  /** Something is missing between what is here and what comes. */
  gap(atMs: number): void {
    if (this.#rows.length + this.#held.length === 0) return;
    this.#gaps += 1;
    this.#append({ kind: 'gap', key: `gap-${this.#gaps}`, atMs });
  }

  apply(event: Event, past = false): void {
    const { id, at_ms: atMs } = event;
    switch (event.t) {
      case 'message':
        this.#append({ kind: 'message', key: id, atMs, message: event, gone: null, past });
        break;
      case 'deleted':
        this.#take(({ key }) => key === event.message, { why: 'deleted', by: event.by ?? null });
        break;
      case 'purged':
        this.#takeOf(event.user, { why: 'purged', by: event.by ?? null });
        break;
      case 'cleared':
        this.#rows = this.#rows.filter(({ kind }) => kind === 'note');
        this.#held = this.#held.filter(({ kind }) => kind === 'note');
        this.#note(id, atMs, `${event.by.name} cleared the chat.`);
        break;
      case 'restricted': {
        this.#takeOf(event.user, { why: 'restricted', by: event.by });
        const what = event.until_ms === undefined ? 'banned' : 'timed out';
        this.#note(id, atMs, `${event.user.name} was ${what} by ${event.by.name}.`, true);
        break;
      }
      case 'released':
        this.#note(id, atMs, `${event.by.name} lets ${event.user.name} speak again.`, true);
        break;
      case 'role': {
        const moderates = event.user.role !== 'viewer' && event.user.role !== 'subscriber';
        this.#note(
          id,
          atMs,
          `${event.user.name} is ${moderates ? 'a moderator now' : 'no moderator any more'}.`,
        );
        break;
      }
      case 'settings': {
        const words = settingsInWords(this.#settings, event.settings);
        this.#settings = event.settings;
        if (words.length > 0) this.#note(id, atMs, words.join(' '));
        break;
      }
    }
  }

  /** Shows what was held and is at most as new as `untilMs`; true if there was any. */
  release(untilMs: number): boolean {
    // In order: what came later does not overtake, whatever its time says.
    let count = this.#held.findIndex(({ atMs }) => atMs > untilMs);
    if (count < 0) count = this.#held.length;
    count = Math.max(count, this.#held.length - MOST_HELD);
    for (const row of this.#held.splice(0, count)) this.#show(row);
    return count > 0;
  }

  #append(row: Row): void {
    if (this.holding || this.#held.length > 0) this.#held.push(row);
    else this.#show(row);
  }

  #show(row: Row): void {
    this.#rows.push(row);
    if (row.kind === 'message') this.#appended += 1;
    const most = this.reading ? MOST_ROWS_READING : MOST_ROWS;
    if (this.#rows.length >= most + LOT) this.#rows.splice(0, this.#rows.length - most);
  }

  #note(id: EventId, atMs: number, text: string, forModerators = false): void {
    this.#append({ kind: 'note', key: id, atMs, text, forModerators });
  }

  #takeOf(user: User, gone: Gone): void {
    this.#take((row) => row.message.user.id === user.id, gone);
  }

  #take(which: (row: MessageRow) => boolean, gone: Gone): void {
    const taken = (row: Row): Row =>
      row.kind === 'message' && row.gone === null && which(row) ? { ...row, gone } : row;
    this.#rows = this.#rows.map(taken);
    this.#held = this.#held.map(taken);
  }
}
