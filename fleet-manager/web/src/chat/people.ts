// Who spoke here lately: names to complete, and users to look at by name.

import type { User } from './protocol';

/** More names than this nobody completes. */
const MOST = 500;

export class People {
  readonly #byId = new Map<string, User>();

  saw(user: User): void {
    this.#byId.delete(user.id); // So that the map's order is that of the last word.
    this.#byId.set(user.id, user);
    if (this.#byId.size > MOST) {
      const [oldest] = this.#byId.keys();
      if (oldest !== undefined) this.#byId.delete(oldest);
    }
  }

  get(id: string): User | null {
    return this.#byId.get(id) ?? null;
  }

  /** The last first. */
  get list(): User[] {
    return [...this.#byId.values()].reverse();
  }
}
