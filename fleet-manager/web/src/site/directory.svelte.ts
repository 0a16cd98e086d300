// Who is live now: kept true by the server's events for as long as somebody looks, by asking again where they do not come.

import { ApiError, parseProblem, Unreachable } from '../../dashboard/src/api/problem';
import { Parser } from '../../dashboard/src/live/sse';
import { delayMs } from '../backoff';
import { client, type Directory as Answer, type Card } from './api';
import { reach } from './reach.svelte';

/** The server writes at least a comment every 15 s: after three of them it is gone, whatever TCP says. */
const SILENCE_MS = 45_000;
/** Between two looks while events do not come. */
const POLL_MS = 10_000;
/** Longest wait before events are tried again. */
const LONGEST_WAIT_MS = 30_000;
/** Longer than the slowest answer that anybody waits for. */
const TIMEOUT_MS = 20_000;

class Directory {
  /** Null until the first answer. */
  channels = $state.raw<readonly Card[] | null>(null);
  /** Of the last look; what is shown, if anything, is from before. */
  error = $state.raw<unknown>(null);
  /** When what is shown was last known to be true, by this machine's clock. */
  heardMs = $state<number | null>(null);

  private watchers = 0;
  private events: AbortController | null = null;
  private poll: ReturnType<typeof setTimeout> | undefined;
  private retry: ReturnType<typeof setTimeout> | undefined;
  private attempt = 0;
  /** Events come. */
  private flowing = false;

  /** Keeps the directory true until the returned function is called. */
  watch(): () => void {
    this.watchers += 1;
    if (this.watchers === 1) this.start();
    return () => {
      this.watchers -= 1;
      if (this.watchers === 0) this.stop();
    };
  }

  /** Asks now. */
  async look(): Promise<void> {
    clearTimeout(this.poll);
    this.poll = undefined;
    try {
      this.take(await this.fetch());
    } catch (error) {
      this.error = error;
      if (error instanceof Unreachable) reach.heard(false);
    }
    this.pollLater();
  }

  private start(): void {
    document.addEventListener('visibilitychange', this.woken);
    window.addEventListener('online', this.woken);
    void this.look();
    this.listen();
  }

  private stop(): void {
    document.removeEventListener('visibilitychange', this.woken);
    window.removeEventListener('online', this.woken);
    clearTimeout(this.poll);
    clearTimeout(this.retry);
    this.poll = undefined;
    this.retry = undefined;
    this.events?.abort();
    this.events = null;
    this.flowing = false;
  }

  /** The tab is looked at again, or the network is back: nobody waits for a timer. */
  private readonly woken = (): void => {
    if (document.visibilityState !== 'visible') return;
    if (this.flowing) return;
    void this.look();
    if (this.retry !== undefined) {
      clearTimeout(this.retry);
      this.listen();
    }
  };

  /** With the browser's own cache and the server's ETag: mostly the answer is that nothing changed. */
  private async fetch(): Promise<Answer> {
    let response: Response;
    let text: string;
    try {
      response = await fetch(client.url('/live'), {
        headers: { Accept: 'application/json, application/problem+json' },
        cache: 'no-cache',
        signal: AbortSignal.timeout(TIMEOUT_MS),
      });
      text = await response.text();
    } catch (error) {
      throw new Unreachable(error);
    }
    if (response.status === 502 || response.status === 504)
      throw new Unreachable(`status ${response.status}`);
    if (!response.ok) throw new ApiError(response.status, parseProblem(response.status, text));
    return JSON.parse(text) as Answer;
  }

  private take(answer: Answer): void {
    this.channels = answer.channels;
    this.error = null;
    this.heardMs = Date.now();
    reach.heard(true);
  }

  /** Only while events do not come, and somebody sees it. */
  private pollLater(): void {
    if (this.watchers === 0 || this.poll !== undefined) return;
    this.poll = setTimeout(() => {
      this.poll = undefined;
      if (this.flowing || document.visibilityState !== 'visible') this.pollLater();
      else void this.look();
    }, POLL_MS);
  }

  private listen(): void {
    const controller = new AbortController();
    this.events = controller;
    this.retry = undefined;
    const over = () => {
      if (this.events !== controller) return; // Ended on purpose.
      this.events = null;
      this.flowing = false;
      this.attempt += 1;
      this.retry = setTimeout(() => this.listen(), delayMs(this.attempt, LONGEST_WAIT_MS, Math.random()));
    };
    this.read(controller).then(over, over);
  }

  private async read(controller: AbortController): Promise<void> {
    let silence: ReturnType<typeof setTimeout> | undefined;
    const heard = () => {
      clearTimeout(silence);
      silence = setTimeout(() => controller.abort(new Error('silent')), SILENCE_MS);
    };
    heard();
    try {
      const response = await fetch(client.url('/live/events'), {
        headers: { Accept: 'text/event-stream' },
        cache: 'no-store',
        signal: controller.signal,
      });
      if (!response.ok || response.body === null) throw new Error(`status ${response.status}`);
      // The first event, at once, is the directory as it is.
      this.attempt = 0;
      this.flowing = true;
      const parser = new Parser();
      const decoder = new TextDecoder();
      const reader = response.body.getReader();
      for (;;) {
        const { done, value } = await reader.read();
        if (done || controller.signal.aborted) return;
        heard();
        for (const { type, data } of parser.push(decoder.decode(value, { stream: true }))) {
          if (type === 'live') this.take(JSON.parse(data) as Answer);
        }
      }
    } finally {
      clearTimeout(silence);
    }
  }
}

export const directory = new Directory();
