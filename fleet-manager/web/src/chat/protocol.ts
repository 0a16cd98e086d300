// What crosses the chat's WebSocket, as `protocol/src/chat` has it. `docs/chat-protocol.md` is the description in words.

/** The WebSocket subprotocol. Another version is another name. */
export const SUBPROTOCOL = 'nodi.chat.v1';

/** Messages on join, and how many are kept for those who come back. */
export const HISTORY = 100;

/** Longest message, in bytes of UTF-8, whatever the service says of grapheme clusters. */
export const MAX_TEXT_BYTES = 4_096;

/** Longest time-out, in seconds: 14 days. */
export const LONGEST_TIMEOUT_S = 14 * 86_400;

/** A ULID. In a channel a later event has the greater id, also when compared as text. */
export type EventId = string;

export type Role = 'viewer' | 'subscriber' | 'moderator' | 'streamer' | 'staff';

const RANK: Readonly<Record<Role, number>> = {
  viewer: 0,
  subscriber: 1,
  moderator: 2,
  streamer: 3,
  staff: 4,
};

/** Whether `role` may do what `least` may. */
export function atLeast(role: Role, least: Role): boolean {
  return RANK[role] >= RANK[least];
}

export interface User {
  readonly id: string;
  readonly name: string;
  readonly role: Role;
  /** `#rrggbb`, as the account chose it. */
  readonly color?: string;
  readonly badges?: readonly string[];
}

/** A stretch of a message's text, in UTF-16 code units. */
export type Mark = { readonly from: number; readonly len: number } & (
  | { readonly is: 'emote'; readonly name: string; readonly url: string }
  | { readonly is: 'mention'; readonly user: string }
  | { readonly is: 'link'; readonly url: string }
);

export interface Reply {
  readonly id: EventId;
  readonly user: User;
  /** The start of it. */
  readonly text: string;
}

export interface Message {
  readonly user: User;
  readonly text: string;
  readonly marks?: readonly Mark[];
  /** `/me`: an action, not speech. */
  readonly me?: boolean;
  readonly reply?: Reply;
  /** The first message of the account in this channel. */
  readonly first?: boolean;
}

export type Links = 'allow' | 'hold' | 'refuse';

export interface Settings {
  readonly slow_s: number;
  readonly followers_s: number | null;
  readonly subscribers_only: boolean;
  readonly emotes_only: boolean;
  readonly unique: boolean;
  readonly off: boolean;
  readonly raid_shield: boolean;
  readonly links: Links;
}

/** As the service has them for a channel that nobody has changed. */
export const DEFAULT_SETTINGS: Settings = {
  slow_s: 0,
  followers_s: null,
  subscribers_only: false,
  emotes_only: false,
  unique: false,
  off: false,
  raid_shield: true,
  links: 'allow',
};

export type What =
  | ({ readonly t: 'message' } & Message)
  | { readonly t: 'deleted'; readonly message: EventId; readonly by?: User }
  | { readonly t: 'purged'; readonly user: User; readonly by?: User }
  | { readonly t: 'cleared'; readonly by: User }
  | {
      readonly t: 'restricted';
      readonly user: User;
      /** Absent: until it is taken back. */
      readonly until_ms?: number;
      readonly reason?: string;
      readonly by: User;
    }
  | { readonly t: 'released'; readonly user: User; readonly by: User }
  | { readonly t: 'role'; readonly user: User; readonly by: User }
  | { readonly t: 'settings'; readonly settings: Settings; readonly by: User };

/** One event of a channel, in the one order that everybody sees. */
export type Event = { readonly id: EventId; readonly at_ms: number } & What;

export type Action =
  | { readonly do: 'delete'; readonly id: EventId }
  | { readonly do: 'purge'; readonly user: string }
  | { readonly do: 'clear' }
  | { readonly do: 'timeout'; readonly user: string; readonly seconds: number; readonly reason?: string }
  | { readonly do: 'ban'; readonly user: string; readonly reason?: string }
  | { readonly do: 'release'; readonly user: string }
  | { readonly do: 'set'; readonly settings: Partial<Settings> }
  | { readonly do: 'appoint' | 'dismiss'; readonly user: string }
  | { readonly do: 'moderators' | 'terms' | 'held' | 'restricted' }
  | { readonly do: 'block_term'; readonly term: string; readonly then: Then }
  | { readonly do: 'unblock_term'; readonly term: string }
  | { readonly do: 'review'; readonly id: EventId; readonly allow: boolean }
  | { readonly do: 'log'; readonly before?: EventId }
  | { readonly do: 'who'; readonly user: string };

/** What happens to a message with a blocked term. */
export type Then = 'hold' | 'refuse';

export type ClientFrame =
  | {
      readonly t: 'join';
      readonly channel: string;
      readonly token?: string;
      /** The last event that the client has. */
      readonly after?: EventId;
      readonly history?: number;
    }
  | { readonly t: 'auth'; readonly token: string | null }
  | { readonly t: 'say'; readonly nonce: string; readonly text: string; readonly reply_to?: EventId }
  | { readonly t: 'do'; readonly nonce: string; readonly action: Action };

export interface Emote {
  /** Without the colons. */
  readonly name: string;
  readonly url: string;
}

export interface Restriction {
  /** Absent: until it is taken back. */
  readonly until_ms?: number;
  readonly reason?: string;
}

/** What the connection is. */
export interface You {
  readonly user: User;
  readonly expires_ms: number;
  readonly restriction?: Restriction;
}

export interface Welcome {
  readonly channel: string;
  readonly settings: Settings;
  readonly you: You | null;
  readonly viewers: number;
  readonly chatters: number;
  /** By the service's clock. */
  readonly now_ms: number;
  readonly max_graphemes: number;
  readonly emotes: readonly Emote[];
}

export type Code =
  | 'invalid'
  | 'text'
  | 'unauthenticated'
  | 'forbidden'
  | 'rate'
  | 'slow'
  | 'timed_out'
  | 'banned'
  | 'followers_only'
  | 'subscribers_only'
  | 'emotes_only'
  | 'duplicate'
  | 'off'
  | 'blocked'
  | 'links'
  | 'held'
  | 'not_found'
  | 'command'
  | 'full'
  | 'unavailable';

export interface Refused {
  readonly nonce: string;
  readonly code: Code;
  readonly text: string;
  /** In milliseconds from when it was said. */
  readonly retry_ms?: number;
}

export interface Term {
  readonly term: string;
  readonly then: Then;
}

export interface Held {
  readonly id: EventId;
  readonly at_ms: number;
  readonly message: Message;
  readonly why: string;
}

export interface LogEntry {
  readonly id: EventId;
  readonly at_ms: number;
  /** Absent: the service itself. */
  readonly by?: User;
  readonly action: string;
  readonly user?: User;
  readonly text: string;
}

export interface RestrictedUser extends Restriction {
  readonly user: User;
  readonly at_ms: number;
  readonly by: User | null;
}

export interface Who {
  readonly user: User;
  readonly restriction: Restriction | null;
  readonly created_s: number | null;
  readonly followed_s: number | null;
  readonly messages: number;
  readonly timeouts: number;
  readonly bans: number;
  /** The last ones, newest first. */
  readonly said: readonly Event[];
}

export type Answer =
  | { readonly is: 'moderators'; readonly users: readonly User[] }
  | { readonly is: 'terms'; readonly terms: readonly Term[] }
  | { readonly is: 'held'; readonly held: readonly Held[] }
  | { readonly is: 'log'; readonly entries: readonly LogEntry[]; readonly more: boolean }
  | { readonly is: 'restricted'; readonly restricted: readonly RestrictedUser[] }
  | { readonly is: 'who'; readonly who: Who };

export interface Done {
  readonly nonce: string;
  readonly text: string;
  readonly answer?: Answer;
}

export type ServerFrame =
  | ({ readonly t: 'welcome' } & Welcome)
  | { readonly t: 'history'; readonly events: readonly Event[]; readonly gap: boolean }
  | { readonly t: 'you'; readonly you: You | null }
  | { readonly t: 'counts'; readonly viewers: number; readonly chatters: number }
  | { readonly t: 'said'; readonly nonce: string; readonly id: EventId }
  | ({ readonly t: 'done' } & Done)
  | ({ readonly t: 'refused' } & Refused)
  | { readonly t: 'held'; readonly held: Held }
  | { readonly t: 'reviewed'; readonly id: EventId; readonly allowed: boolean; readonly by?: User }
  | { readonly t: 'logged'; readonly entry: LogEntry };

const EVENTS: ReadonlySet<string> = new Set([
  'message',
  'deleted',
  'purged',
  'cleared',
  'restricted',
  'released',
  'role',
  'settings',
]);

export function isEvent(frame: ServerFrame | Event): frame is Event {
  return EVENTS.has(frame.t);
}

/** One frame of the service; null when it is none. What a later service may add is for the reader to pass over. */
export function readFrame(text: unknown): ServerFrame | Event | null {
  if (typeof text !== 'string') return null;
  try {
    const value: unknown = JSON.parse(text);
    if (typeof value !== 'object' || value === null || !('t' in value)) return null;
    return typeof value.t === 'string' ? (value as ServerFrame | Event) : null;
  } catch {
    return null;
  }
}
