// The token that lets an account speak: fetched, renewed before it expires, and kept while the server that issues it is down.

import { retryMs } from './retry';
import type { Surroundings } from './surroundings';

export interface Token {
  readonly token: string;
  readonly expires_ms: number;
}

/** Null: nobody is signed in. It throws when that cannot be found out now. */
export type TokenSource = () => Promise<Token | null>;

/** Renewed this long before the end: a hidden page's timers may be minutes late. */
const LEAD_MS = 300_000;
/** Of a token that lives for minutes only, this share is left when it is renewed. */
const LEAD_SHARE = 0.2;
/** With less left than this a token is not worth sending. */
const LEAST_MS = 2_000;
/** Timers of the browser hold at most 2^31 - 1 ms. */
const LONGEST_TIMER_MS = 2_000_000_000;
/** Close code for waits that no close code is about. */
const NO_CODE = 1000;

export class Tokens {
  /** By how much the service's clock is ahead of this machine's. */
  offsetMs = 0;
  #token: Token | null = null;
  #epoch = 0;
  #attempt = 0;
  #underway = false;
  #trouble = false;
  #cancel: () => void = () => {};

  constructor(
    private readonly source: TokenSource,
    private readonly around: Surroundings,
    /** There is another token, or none any more, or it became known whether one can be had. */
    private readonly changed: () => void,
  ) {}

  /** Null: none, or it has expired. */
  get current(): string | null {
    return this.#token !== null && this.#leftMs(this.#token) > LEAST_MS ? this.#token.token : null;
  }

  /** It is being asked for one, or will be: what is to be said can wait for it. */
  get expected(): boolean {
    return this.#underway || this.#trouble;
  }

  /** The server that issues tokens was asked in vain. */
  get trouble(): boolean {
    return this.#trouble;
  }

  /** Somebody else is signed in, or nobody: what was fetched before is forgotten. */
  renew(): void {
    this.stop();
    this.#token = null;
    this.#attempt = 0;
    void this.#ask();
  }

  /** The service did not take the token. */
  spoilt(): void {
    if (this.#underway) return;
    this.#token = null;
    this.#askLater();
    this.changed();
  }

  /** The service took it. */
  accepted(): void {
    this.#attempt = 0;
  }

  stop(): void {
    this.#epoch += 1;
    this.#underway = false;
    this.#trouble = false;
    this.#cancel();
  }

  async #ask(): Promise<void> {
    const epoch = this.#epoch;
    this.#cancel();
    this.#underway = true;
    try {
      const token = await this.source();
      if (epoch !== this.#epoch) return;
      this.#underway = false;
      this.#trouble = false;
      this.#token = token;
      if (token !== null) this.#renewInTime(token);
    } catch {
      if (epoch !== this.#epoch) return;
      this.#underway = false;
      this.#askLater();
    }
    this.changed();
  }

  #askLater(): void {
    this.#trouble = true;
    const wait = retryMs(this.#attempt, NO_CODE, this.around.hidden(), this.around.random());
    this.#attempt += 1;
    this.#cancel();
    this.#cancel = this.around.after(wait, () => void this.#ask());
  }

  #renewInTime(token: Token): void {
    const left = this.#leftMs(token);
    const wait = Math.max(1_000, left - Math.min(LEAD_MS, left * LEAD_SHARE));
    this.#cancel();
    this.#cancel = this.around.after(Math.min(wait, LONGEST_TIMER_MS), () => void this.#ask());
  }

  #leftMs(token: Token): number {
    return token.expires_ms - (this.around.now() + this.offsetMs);
  }
}
