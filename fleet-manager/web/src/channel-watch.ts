// Asks the origin for the channel's state while there is a reason to, less and less often.

import { delayMs, IDLE_MS, INTERRUPTED_MS } from './backoff';
import { fetchStatus, type StatusAnswer } from './status';

export class ChannelWatch {
  readonly #url: string;
  readonly #answered: (answer: StatusAnswer) => void;
  #status: StatusAnswer | null = null;
  #timer: ReturnType<typeof setTimeout> | null = null;
  #attempt = 0;
  #inFlight = false;
  #liveSinceMs: number | null = null;

  constructor(url: string, answered: (answer: StatusAnswer) => void) {
    this.#url = url;
    this.#answered = answered;
  }

  /** The last answer, or `null` before the first. */
  get status(): StatusAnswer | null {
    return this.#status;
  }

  /** For how long every answer has been "live"; 0 when the last one was not. */
  liveForMs(nowMs: number): number {
    return this.#liveSinceMs === null ? 0 : nowMs - this.#liveSinceMs;
  }

  /** Goes on asking until `stop`; `interrupted`: a viewer of a moment ago is waiting. */
  keepAsking(interrupted: boolean): void {
    if (this.#timer !== null || this.#inFlight) return;
    const delay = delayMs(this.#attempt, interrupted ? INTERRUPTED_MS : IDLE_MS, Math.random());
    this.#timer = setTimeout(() => void this.#ask(), delay);
    this.#attempt += 1;
  }

  askNow(): void {
    if (this.#inFlight) return;
    this.stop();
    void this.#ask();
  }

  stop(): void {
    if (this.#timer !== null) clearTimeout(this.#timer);
    this.#timer = null;
    this.#attempt = 0;
    this.#liveSinceMs = null;
  }

  /** What was answered so far does not hold any more. */
  doubt(): void {
    this.#liveSinceMs = null;
    if (this.#status !== null) this.#status = 'unreachable';
  }

  /** Starts counting the time of being live anew. */
  restartLiveTime(): void {
    this.#liveSinceMs = null;
  }

  async #ask(): Promise<void> {
    this.#timer = null;
    this.#inFlight = true;
    const answer = await fetchStatus(this.#url);
    this.#inFlight = false;
    const before = this.#status;
    this.#status = answer;
    const state = stateOf(answer);
    // Something happens: the next change may be near.
    if (state !== null && state !== stateOf(before)) this.#attempt = 0;
    this.#liveSinceMs = state === 'live' ? (this.#liveSinceMs ?? performance.now()) : null;
    this.#answered(answer);
  }
}

function stateOf(answer: StatusAnswer | null): string | null {
  return answer === null || answer === 'unreachable' ? null : answer.state;
}
