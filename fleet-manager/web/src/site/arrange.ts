// The directory as it is shown: what of it, and in which order.

import { nameOf, type Card } from './api';

export type Order = 'viewers' | 'newest';

/** Letters without accents and case, so that “Ángel” is found as “angel”. */
export function plain(text: string): string {
  return text.normalize('NFKD').replaceAll(/\p{M}/gu, '').toLowerCase();
}

/** Whether every word that was typed is somewhere in the channel's title, streamer or id. */
export function matches(channel: Card, q: string): boolean {
  const words = plain(q).split(/\s+/).filter(Boolean);
  if (words.length === 0) return true;
  const text = plain([channel.title, nameOf(channel), channel.id].join('\n'));
  return words.every((word) => text.includes(word));
}

const byId = (a: Card, b: Card) => (a.id < b.id ? -1 : a.id > b.id ? 1 : 0);

const BY: Readonly<Record<Order, (a: Card, b: Card) => number>> = {
  viewers: (a, b) => (b.viewers ?? 0) - (a.viewers ?? 0) || byId(a, b),
  newest: (a, b) => (b.started_ms ?? 0) - (a.started_ms ?? 0) || byId(a, b),
};

export function sorted(channels: readonly Card[], order: Order): Card[] {
  return [...channels].sort(BY[order]);
}

/**
 * The order to show `wanted` in while somebody points at a card: what is there stays where it is, what is new comes
 * last. `shown` are the ids in the order of before.
 */
export function held(wanted: readonly Card[], shown: readonly string[]): Card[] {
  const place = new Map(shown.map((id, index) => [id, index]));
  const last = shown.length;
  return wanted
    .map((channel, index) => ({ channel, at: place.get(channel.id) ?? last + index }))
    .sort((a, b) => a.at - b.at)
    .map(({ channel }) => channel);
}
