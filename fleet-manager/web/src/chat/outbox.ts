// What was said or done and is not answered yet. What is said survives a lost connection: it is sent again with the same
// nonce, and the service sees to it that it is not said twice. What a button does is not repeated: a minute later it may
// be another deed.

import type { Action, ClientFrame, Code, Done, EventId, Refused } from './protocol';
import type { Surroundings } from './surroundings';

export type Outcome =
  | { readonly is: 'said'; readonly id: EventId }
  | { readonly is: 'done'; readonly done: Done }
  | { readonly is: 'refused'; readonly refused: Refused };

/** Something said that is on its way. */
export interface Sending {
  readonly nonce: string;
  readonly text: string;
}

/** Longest that a message waits for a connection. The service remembers nonces for longer than this. */
export const SAY_PATIENCE_MS = 60_000;
export const DO_PATIENCE_MS = 15_000;
/** More messages than this in the air are no conversation. */
const MOST = 5;

interface Item {
  nonce: string;
  readonly saying: { readonly text: string; readonly replyTo: EventId | null } | null;
  readonly action: Action | null;
  sent: boolean;
  /** Was refused because the token had expired, and waits for another one. */
  renewed: boolean;
  readonly settle: (outcome: Outcome) => void;
  readonly cancel: () => void;
}

export class Outbox {
  readonly #items: Item[] = [];
  readonly #prefix: string;
  #count = 0;

  constructor(
    private readonly around: Surroundings,
    private readonly transmit: (frame: ClientFrame) => void,
    private readonly changed: () => void,
  ) {
    const part = () => Math.floor(around.random() * 2 ** 32).toString(36);
    // Of this page: an account may have several open.
    this.#prefix = `${around.now().toString(36)}-${part()}${part()}`;
  }

  get sending(): readonly Sending[] {
    return this.#items.flatMap(({ nonce, saying }) =>
      saying === null ? [] : [{ nonce, text: saying.text }],
    );
  }

  say(text: string, replyTo: EventId | null, now: boolean): Promise<Outcome> {
    if (this.#items.filter(({ saying }) => saying !== null).length >= MOST) {
      return Promise.resolve(refusal('rate', 'Your last messages are still on their way.'));
    }
    return this.#add({ text, replyTo }, null, SAY_PATIENCE_MS, now);
  }

  do(action: Action, now: boolean): Promise<Outcome> {
    return this.#add(null, action, DO_PATIENCE_MS, now);
  }

  /** The connection may speak: sends what has not been sent on it. */
  flush(): void {
    for (const item of this.#items) if (!item.sent) this.#send(item);
  }

  /** The connection is gone. */
  lost(): void {
    for (const item of [...this.#items]) {
      const sent = item.sent;
      item.sent = false;
      if (item.action !== null && sent) {
        this.#finish(
          item,
          refusal('unavailable', 'The connection was lost before the answer came: see whether it was done.'),
        );
      }
    }
  }

  said(nonce: string, id: EventId): void {
    const item = this.#find(nonce);
    if (item !== undefined) this.#finish(item, { is: 'said', id });
  }

  done(done: Done): void {
    const item = this.#find(done.nonce);
    if (item !== undefined) this.#finish(item, { is: 'done', done });
  }

  /** `again`: a new token is on its way, for what was refused without one. */
  refused(refused: Refused, again: boolean): void {
    const item = this.#find(refused.nonce);
    if (item === undefined) return;
    if (again && !item.renewed && item.saying !== null) {
      item.renewed = true;
      item.sent = false;
      item.nonce = this.#nonce(); // The answer to the old one stands.
      this.changed();
      return;
    }
    this.#finish(item, { is: 'refused', refused });
  }

  /** Nothing of this will be sent any more. */
  abandon(code: Code, text: string): void {
    for (const item of [...this.#items]) this.#finish(item, refusal(code, text));
  }

  #add(saying: Item['saying'], action: Action | null, patienceMs: number, now: boolean): Promise<Outcome> {
    return new Promise((settle) => {
      const item: Item = {
        nonce: this.#nonce(),
        saying,
        action,
        sent: false,
        renewed: false,
        settle,
        cancel: this.around.after(patienceMs, () =>
          this.#finish(
            item,
            refusal(
              'unavailable',
              saying === null ? 'The chat did not answer.' : 'This was not sent: the chat does not answer.',
            ),
          ),
        ),
      };
      this.#items.push(item);
      if (now) this.#send(item);
      if (saying !== null) this.changed();
    });
  }

  #send(item: Item): void {
    item.sent = true;
    if (item.saying !== null) {
      const { text, replyTo } = item.saying;
      this.transmit({
        t: 'say',
        nonce: item.nonce,
        text,
        ...(replyTo === null ? {} : { reply_to: replyTo }),
      });
    } else if (item.action !== null) {
      this.transmit({ t: 'do', nonce: item.nonce, action: item.action });
    }
  }

  #find(nonce: string): Item | undefined {
    return this.#items.find((item) => item.nonce === nonce);
  }

  #finish(item: Item, outcome: Outcome): void {
    const index = this.#items.indexOf(item);
    if (index < 0) return;
    this.#items.splice(index, 1);
    item.cancel();
    item.settle(outcome);
    if (item.saying !== null) this.changed();
  }

  #nonce(): string {
    this.#count += 1;
    return `${this.#prefix}-${this.#count}`;
  }
}

export function refusal(code: Code, text: string): Outcome {
  return { is: 'refused', refused: { nonce: '', code, text } };
}
