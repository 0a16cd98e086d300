// Where a table's rows come from: an array, or a list on the server of which only what is looked at is fetched.

import { SvelteMap } from 'svelte/reactivity';

import { api, type Client, type Query } from '../api/client';
import type { Page } from '../api/types';

export interface Rows<T> {
  readonly total: number;
  /** Undefined while it is on its way. */
  at(index: number): T | undefined;
  /** These are on the screen now. */
  want(first: number, last: number): void;
}

export function arrayRows<T>(items: () => readonly T[]): Rows<T> {
  return {
    get total() {
      return items().length;
    },
    at: (index) => items()[index],
    want: () => {},
  };
}

/** Rows per request: some screens full, and still an answer of some ten KiB. */
const PER_PAGE = 100;
/** Pages that are kept; the ones looked at longest ago go. */
const MOST_PAGES = 40;
/** Between two quiet refreshes. */
const REFRESH_MS = 3_000;

export class PagedRows<T> implements Rows<T> {
  total = $state(0);
  /** Nothing has come yet. */
  loading = $state(true);
  error = $state.raw<unknown>(null);

  private readonly pages = new SvelteMap<number, readonly T[]>();
  private readonly underway = new Set<number>();
  private query: Query = {};
  /** Answers to an earlier query are of no use. */
  private epoch = 0;
  private wanted: readonly [number, number] = [0, 0];
  private timer: ReturnType<typeof setTimeout> | undefined;
  private refreshedAt = 0;

  constructor(
    private readonly path: string,
    private readonly key: (item: T) => string,
    private readonly client: Client = api,
  ) {}

  at(index: number): T | undefined {
    return this.pages.get(Math.floor(index / PER_PAGE))?.[index % PER_PAGE];
  }

  want(first: number, last: number): void {
    this.wanted = [first, last];
    const end = Math.floor(Math.max(first, last) / PER_PAGE);
    for (let page = Math.floor(first / PER_PAGE); page <= end; page += 1) {
      if (!this.pages.has(page) && !this.underway.has(page)) void this.fetch(page);
    }
  }

  /** Another filter or order: from the top. */
  show(query: Query): void {
    this.query = query;
    this.epoch += 1;
    this.underway.clear();
    this.loading = true;
    this.error = null;
    this.wanted = [0, 0];
    void this.fetch(0, true);
  }

  /** After an error: what was asked for last. */
  again(): void {
    this.show(this.query);
  }

  /** Fetches what is on the screen again, keeping it there meanwhile; seldom enough for a fleet that never rests. */
  refresh(): void {
    if (this.timer !== undefined) return;
    const wait = Math.max(0, this.refreshedAt + REFRESH_MS - performance.now());
    this.timer = setTimeout(() => {
      this.timer = undefined;
      this.refreshedAt = performance.now();
      const [first, last] = this.wanted;
      const from = Math.floor(first / PER_PAGE);
      const to = Math.floor(Math.max(first, last) / PER_PAGE);
      // Positions may have shifted: pages that nobody sees are fetched again when they come into view.
      for (const page of [...this.pages.keys()]) if (page < from || page > to) this.pages.delete(page);
      for (let page = from; page <= to; page += 1) void this.fetch(page);
    }, wait);
  }

  /** Changes a row in place, where it is loaded; says whether it was. */
  replace(item: T): boolean {
    const key = this.key(item);
    for (const [number, items] of this.pages) {
      const index = items.findIndex((other) => this.key(other) === key);
      if (index < 0) continue;
      this.pages.set(number, items.with(index, item));
      return true;
    }
    return false;
  }

  /** The same for a row of which only the key is at hand. */
  change(key: string, changer: (item: T) => T): boolean {
    for (const items of this.pages.values()) {
      const item = items.find((other) => this.key(other) === key);
      if (item !== undefined) return this.replace(changer(item));
    }
    return false;
  }

  stop(): void {
    clearTimeout(this.timer);
    this.timer = undefined;
    this.epoch += 1;
  }

  private async fetch(page: number, anew = false): Promise<void> {
    const epoch = this.epoch;
    this.underway.add(page);
    try {
      const answer = await this.client.get<Page<T>>(this.path, {
        query: { ...this.query, page: page + 1, per_page: PER_PAGE },
      });
      if (epoch !== this.epoch) return;
      if (anew) this.pages.clear();
      this.pages.delete(page); // So that the map's order is that of the last use.
      this.pages.set(page, answer.items);
      for (const oldest of [...this.pages.keys()].slice(0, Math.max(0, this.pages.size - MOST_PAGES))) {
        this.pages.delete(oldest);
      }
      this.total = answer.total;
      this.loading = false;
      this.error = null;
    } catch (error) {
      if (epoch !== this.epoch) return;
      this.loading = false;
      this.error = error;
    } finally {
      if (epoch === this.epoch) this.underway.delete(page);
    }
  }
}
