// Live changes from the server. One connection for the whole page; after a break it resumes where it was, and when that
// is too long ago for the server, everybody who listens is told to fetch anew.

import { untrack } from 'svelte';

import { delayMs } from '../../../src/backoff';
import { api } from '../api/client';
import type {
  AlertView,
  BoxSummary,
  ChannelView,
  CommandView,
  EnrolmentView,
  SessionView,
} from '../api/types';
import type { UpdateView } from '../api/software';
import { session } from '../session/session.svelte';
import { Parser } from './sse';

export interface Events {
  box: BoxSummary;
  box_removed: { readonly id: string };
  telemetry: {
    readonly box_id: string;
    readonly at_ms: number;
    readonly values: Readonly<Record<string, number | null>>;
  };
  session: SessionView;
  session_ended: { readonly id: string; readonly channel: string; readonly box_id: string };
  command: CommandView;
  alert: AlertView;
  channel: ChannelView;
  /** A bundle came or went. */
  bundles: object;
  /** A rollout or the state of one of its boxes changed. */
  rollouts: { readonly id: string };
  /** An update of a box changed. */
  updates: UpdateView;
  enrolment: EnrolmentView | { readonly box_id: string; readonly removed: true };
  /** What was missed is unknown: fetch everything anew. */
  reset: null;
}

export type EventType = keyof Events;

/** The server writes at least a comment every 15 s: after three of them it is gone, whatever TCP says. */
const SILENCE_MS = 45_000;
/** Soon enough for somebody who waits, seldom enough for a server that comes up with many dashboards open. */
const LONGEST_WAIT_MS = 15_000;
/** A break shorter than this is not worth a word. */
const NOTICE_MS = 3_000;

export type Connection = 'idle' | 'connecting' | 'live' | 'broken';

class Live {
  connection = $state<Connection>('idle');
  /** True when the connection is broken for long enough that a person should know. */
  offline = $state(false);
  /** When what is shown was last known to be true. */
  lastHeardMs = $state<number | null>(null);

  private readonly handlers = new Map<EventType, Set<(value: never) => void>>();
  private running: AbortController | null = null;
  private box: string | null = null;
  private lastId = '';
  private attempt = 0;
  private retry: ReturnType<typeof setTimeout> | undefined;
  private notice: ReturnType<typeof setTimeout> | undefined;
  private heardAt = 0;

  constructor() {
    // The network is back, or the phone was taken out of the pocket: do not wait for the timer.
    window.addEventListener('online', () => this.hurry());
    document.addEventListener('visibilitychange', () => {
      if (document.visibilityState === 'visible') this.hurry();
    });
  }

  on<T extends EventType>(type: T, handler: (value: Events[T]) => void): () => void {
    const set = this.handlers.get(type) ?? new Set();
    this.handlers.set(type, set);
    set.add(handler as (value: never) => void);
    return () => set.delete(handler as (value: never) => void);
  }

  // Effects call these; none of them shall run again because the connection's state, which they look at, changed.

  start(): void {
    untrack(() => {
      if (this.running === null && this.retry === undefined) this.connect();
    });
  }

  stop(): void {
    clearTimeout(this.retry);
    clearTimeout(this.notice);
    this.retry = undefined;
    this.notice = undefined;
    this.running?.abort();
    this.running = null;
    this.connection = 'idle';
    this.offline = false;
  }

  /** Telemetry of this box comes too, until the returned function is called. */
  watchBox(id: string): () => void {
    untrack(() => this.narrow(id));
    return () => {
      if (this.box === id) untrack(() => this.narrow(null));
    };
  }

  private narrow(box: string | null): void {
    if (this.box === box) return;
    this.box = box;
    if (this.running === null) return;
    this.running.abort();
    this.running = null;
    this.connect();
  }

  private hurry(): void {
    if (this.connection === 'idle') return;
    if (this.retry !== undefined) {
      clearTimeout(this.retry);
      this.retry = undefined;
      this.connect();
    } else if (performance.now() - this.heardAt > SILENCE_MS) {
      this.running?.abort(new Error('silent'));
    }
  }

  private connect(): void {
    const controller = new AbortController();
    this.running = controller;
    this.retry = undefined;
    if (this.connection !== 'broken') this.connection = 'connecting';
    void this.read(controller).then(
      () => this.lost(controller),
      () => this.lost(controller),
    );
  }

  private async read(controller: AbortController): Promise<void> {
    const headers = new Headers({ Accept: 'text/event-stream' });
    if (this.lastId !== '') headers.set('Last-Event-ID', this.lastId);
    const silence = new Watchdog(SILENCE_MS, () => controller.abort(new Error('silent')));
    try {
      const response = await fetch(api.url('/events', { box: this.box }), {
        headers,
        credentials: 'same-origin',
        cache: 'no-store',
        signal: controller.signal,
      });
      if (response.status === 401) {
        api.onUnauthorised();
        return;
      }
      if (!response.ok || response.body === null) throw new Error(`status ${response.status}`);
      this.open();
      const parser = new Parser();
      parser.lastId = this.lastId;
      const decoder = new TextDecoder();
      const reader = response.body.getReader();
      for (;;) {
        const { done, value } = await reader.read();
        if (done || controller.signal.aborted) return;
        silence.feed();
        this.heardAt = performance.now();
        this.lastHeardMs = Date.now();
        for (const event of parser.push(decoder.decode(value, { stream: true })))
          this.dispatch(event.type, event.data);
        this.lastId = parser.lastId;
      }
    } finally {
      silence.stop();
    }
  }

  private open(): void {
    clearTimeout(this.notice);
    this.notice = undefined;
    this.attempt = 0;
    this.heardAt = performance.now();
    this.connection = 'live';
    this.offline = false;
  }

  private lost(controller: AbortController): void {
    if (this.running !== controller) return; // Ended on purpose.
    this.running = null;
    if (session.state !== 'in') {
      this.connection = 'idle';
      return;
    }
    this.connection = 'broken';
    this.notice ??= setTimeout(() => (this.offline = true), NOTICE_MS);
    this.retry = setTimeout(() => this.connect(), delayMs(this.attempt, LONGEST_WAIT_MS, Math.random()));
    this.attempt += 1;
  }

  private dispatch(type: string, data: string): void {
    const handlers = this.handlers.get(type as EventType);
    if (handlers === undefined || handlers.size === 0) return;
    let value: unknown;
    try {
      value = data === '' ? null : JSON.parse(data);
    } catch {
      return; // A newer server may send what this page does not understand.
    }
    for (const handler of [...handlers]) handler(value as never);
  }
}

class Watchdog {
  private timer: ReturnType<typeof setTimeout>;

  constructor(
    private readonly ms: number,
    private readonly bite: () => void,
  ) {
    this.timer = setTimeout(bite, ms);
  }

  feed(): void {
    clearTimeout(this.timer);
    this.timer = setTimeout(this.bite, this.ms);
  }

  stop(): void {
    clearTimeout(this.timer);
  }
}

export const live = new Live();
