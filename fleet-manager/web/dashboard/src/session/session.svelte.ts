// Who is logged in. The cookie is the browser's alone; the CSRF token lives in this page's memory.

import { api } from '../api/client';
import { ApiError } from '../api/problem';
import type { Me, Person, Role } from '../api/types';

const RANK: Readonly<Record<Role, number>> = {
  member: -1,
  streamer: 0,
  viewer: 1,
  operator: 2,
  administrator: 3,
};

/** Timers of the browser hold at most 2^31 - 1 ms. */
const LONGEST_TIMER_MS = 2_000_000_000;

/** `unknown` until the server was asked; `expired`: was logged in while this page was open. */
export type State = 'unknown' | 'out' | 'in' | 'expired';

class Session {
  state = $state<State>('unknown');
  person = $state.raw<Person | null>(null);
  /** Rises with each login: what was loaded before belongs to an earlier one. */
  generation = $state(0);
  private expiry: ReturnType<typeof setTimeout> | undefined;

  constructor() {
    api.onUnauthorised = () => this.expire();
  }

  /** Whether the person has at least this role. A streamer is below every other. */
  can(role: Exclude<Role, 'streamer' | 'member'>): boolean {
    return this.person !== null && RANK[this.person.role] >= RANK[role];
  }

  get isStreamer(): boolean {
    return this.person?.role === 'streamer';
  }

  /** Asks the server whether the browser's cookie is still good. */
  async resume(): Promise<void> {
    try {
      this.take(await api.get<Me>('/me'));
    } catch (error) {
      if (error instanceof ApiError && error.status === 401) {
        if (this.state !== 'expired') this.state = 'out';
        return;
      }
      throw error;
    }
  }

  async login(name: string, password: string): Promise<void> {
    const before = this.person?.id;
    const me = await api.post<Me>('/login', { name, password });
    if (before !== undefined && before !== me.person.id) {
      // What another person left on the page is none of this one's business.
      location.reload();
      return;
    }
    this.take(me);
  }

  async logout(): Promise<void> {
    try {
      await api.post('/logout');
    } catch (error) {
      if (!(error instanceof ApiError && error.status === 401)) throw error;
    }
    location.assign('/');
  }

  private take(me: Me): void {
    api.csrf = me.csrf_token;
    this.person = me.person;
    this.state = 'in';
    this.generation += 1;
    clearTimeout(this.expiry);
    const left = me.expires_at_ms - (Date.now() + api.clockOffsetMs);
    // The server may have prolonged the session meanwhile: ask, do not assume.
    this.expiry = setTimeout(
      () => void this.resume().catch(() => {}),
      Math.min(Math.max(left, 0) + 1_000, LONGEST_TIMER_MS),
    );
  }

  private expire(): void {
    clearTimeout(this.expiry);
    api.csrf = null;
    if (this.state === 'in') this.state = 'expired';
    else if (this.state === 'unknown') this.state = 'out';
  }
}

export const session = new Session();
