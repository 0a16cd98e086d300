// The watch site's API, `/site/v1` of the fleet server: its types, and one function for each thing that can be asked of it.
// Errors are `ApiError` (problem+json) and `Unreachable`, as in the dashboard.

import { Client, type Options } from '../../dashboard/src/api/client';
import type { GoLive, MintedKey } from '../../dashboard/src/api/steering';
import type { KeyView } from '../../dashboard/src/api/types';

/** From the weakest up. Members opened an account here; streamers have a channel; the others run the platform. */
export type AccountRole = 'member' | 'streamer' | 'viewer' | 'operator' | 'administrator';

export interface Account {
  readonly id: string;
  readonly name: string;
  /** `#rrggbb`; null: the page chooses one. */
  readonly color: string | null;
  readonly role: AccountRole;
  /** Ids of the channels that are theirs. */
  readonly channels: readonly string[];
  readonly created_ms: number;
}

export interface SessionAnswer {
  readonly account: Account | null;
  readonly csrf: string | null;
}

export interface Streamer {
  readonly id: string;
  readonly name: string;
}

/** A channel in a list. */
export interface Card {
  readonly id: string;
  readonly title: string;
  /** Null: nobody's. */
  readonly streamer: Streamer | null;
  readonly live: boolean;
  /** Null while the chat service, which counts them, does not answer. */
  readonly viewers: number | null;
  readonly started_ms?: number;
  readonly last_live_ms?: number;
  readonly thumbnail_url: string | null;
  readonly watch_url: string;
}

export interface Directory {
  readonly channels: readonly Card[];
}

export interface ChannelInfo {
  readonly id: string;
  readonly title: string;
  readonly description: string;
  readonly streamer: Streamer | null;
  readonly live: boolean;
  /** By the operators: nobody can stream on it or talk in it. */
  readonly suspended: boolean;
  readonly started_ms?: number | null;
  readonly last_live_ms?: number | null;
  /** Null while the chat service, which counts them, does not answer. */
  readonly viewers: number | null;
  readonly followers: number;
  readonly thumbnail_url: string | null;
  /** Null: nobody is signed in. */
  readonly following: boolean | null;
}

export interface ChatToken {
  readonly token: string;
  readonly expires_ms: number;
}

/** A channel's own emote. */
export interface Emote {
  /** Without the colons. */
  readonly name: string;
  readonly url: string;
}

export interface Emotes {
  readonly emotes: readonly Emote[];
  /** How many there may be. */
  readonly most: number;
}

export interface AccountChange {
  readonly color?: string | null;
  readonly password?: string;
  readonly current_password?: string;
}

/** Whose channel it is, for people. */
export function nameOf(channel: { readonly id: string; readonly streamer: Streamer | null }): string {
  return channel.streamer?.name ?? channel.id;
}

export const client = new Client('/site/v1');

const channel = (id: string) => `/channels/${encodeURIComponent(id)}`;

/** Everything that the site asks of its server. */
export const site = {
  session: (options?: Options) => client.get<SessionAnswer>('/session', options),
  signUp: (name: string, password: string) => client.post<SessionAnswer>('/accounts', { name, password }),
  signIn: (name: string, password: string) => client.post<SessionAnswer>('/session', { name, password }),
  signOut: () => client.delete('/session'),
  changeAccount: (change: AccountChange) => client.patch<SessionAnswer | undefined>('/account', change),
  deleteAccount: (current_password: string) => client.delete('/account', { body: { current_password } }),
  accountChatToken: () => client.post<ChatToken>('/account/chat-token'),

  channel: (id: string, options?: Options) => client.get<ChannelInfo>(channel(id), options),
  following: (options?: Options) => client.get<Directory>('/following', options),
  follow: (id: string) => client.put(`${channel(id)}/follow`, {}),
  unfollow: (id: string) => client.delete(`${channel(id)}/follow`),
  chatToken: (id: string) => client.post<ChatToken>(`${channel(id)}/chat-token`),

  openChannel: () => client.post<ChannelInfo>('/channels'),
  changeChannel: (id: string, change: { title?: string; description?: string }) =>
    client.patch<ChannelInfo>(channel(id), change),
  /** How the stream does, where to send it and with which settings. */
  health: (id: string, options?: Options) => client.get<GoLive>(`${channel(id)}/health`, options),
  keys: (id: string, options?: Options) => client.get<{ keys: KeyView[] }>(`${channel(id)}/keys`, options),
  /** `rotate`: all older ones are revoked. */
  makeKey: (id: string, rotate: boolean) => client.post<MintedKey>(`${channel(id)}/keys`, { rotate }),
  revokeKey: (id: string, version: number) => client.delete(`${channel(id)}/keys/${version}`),
  emotes: (id: string, options?: Options) => client.get<Emotes>(`${channel(id)}/emotes`, options),
  addEmote: (id: string, name: string, image: Blob) =>
    client.post<Emote>(`${channel(id)}/emotes`, image, { query: { name } }),
  removeEmote: (id: string, name: string) =>
    client.delete(`${channel(id)}/emotes/${encodeURIComponent(name)}`),
};
