// A browser and a chat service for tests of the client: time passes when a test says so, and the service says what it says.

import type { ClientFrame, Event, Settings, User, Welcome, You } from '../../src/chat/protocol';
import { DEFAULT_SETTINGS } from '../../src/chat/protocol';
import type { Socket, Surroundings } from '../../src/chat/surroundings';

export class FakeSocket implements Socket {
  onopen: (() => void) | null = null;
  onmessage: ((event: { readonly data: unknown }) => void) | null = null;
  onclose: ((event: { readonly code: number; readonly reason: string }) => void) | null = null;
  readonly sent: ClientFrame[] = [];
  closed = false;

  constructor(
    readonly url: string,
    readonly subprotocol: string,
  ) {}

  send(text: string): void {
    this.sent.push(JSON.parse(text) as ClientFrame);
  }

  close(): void {
    this.closed = true;
  }

  hear(frame: unknown): void {
    this.onmessage?.({ data: JSON.stringify(frame) });
  }

  end(code = 1006, reason = ''): void {
    this.onclose?.({ code, reason });
  }

  /** The connection is made, and the service answers the join. */
  welcome(you: You | null = null, more: Partial<Welcome> = {}): void {
    this.onopen?.();
    this.hear({ t: 'welcome', ...welcome(you), ...more });
  }

  of<T extends ClientFrame['t']>(t: T): Extract<ClientFrame, { t: T }>[] {
    return this.sent.filter((frame): frame is Extract<ClientFrame, { t: T }> => frame.t === t);
  }
}

interface Timer {
  readonly atMs: number;
  readonly then: () => void;
}

export class FakeBrowser implements Surroundings {
  readonly sockets: FakeSocket[] = [];
  timeMs = 1_700_000_000_000;
  isOnline = true;
  isHidden = false;
  private timers: Timer[] = [];
  private readonly watchers = new Set<() => void>();

  get socket(): FakeSocket {
    const socket = this.sockets.at(-1);
    if (socket === undefined) throw new Error('no connection was opened');
    return socket;
  }

  /** Timers that are set. */
  get pending(): number {
    return this.timers.length;
  }

  open(url: string, subprotocol: string): FakeSocket {
    const socket = new FakeSocket(url, subprotocol);
    this.sockets.push(socket);
    return socket;
  }

  now(): number {
    return this.timeMs;
  }

  random(): number {
    return 0.5;
  }

  after(ms: number, then: () => void): () => void {
    const timer = { atMs: this.timeMs + ms, then };
    this.timers.push(timer);
    return () => (this.timers = this.timers.filter((other) => other !== timer));
  }

  online(): boolean {
    return this.isOnline;
  }

  hidden(): boolean {
    return this.isHidden;
  }

  watch(changed: () => void): () => void {
    this.watchers.add(changed);
    return () => this.watchers.delete(changed);
  }

  change(what: { online?: boolean; hidden?: boolean }): void {
    this.isOnline = what.online ?? this.isOnline;
    this.isHidden = what.hidden ?? this.isHidden;
    for (const watcher of this.watchers) watcher();
  }

  async pass(ms: number): Promise<void> {
    const end = this.timeMs + ms;
    for (;;) {
      await settled();
      const next = this.timers.filter(({ atMs }) => atMs <= end).sort((a, b) => a.atMs - b.atMs)[0];
      if (next === undefined) break;
      this.timers = this.timers.filter((timer) => timer !== next);
      this.timeMs = Math.max(this.timeMs, next.atMs);
      next.then();
    }
    this.timeMs = end;
    await settled();
  }
}

/** What was promised has been kept. */
export async function settled(): Promise<void> {
  for (let i = 0; i < 10; i += 1) await Promise.resolve();
}

export function user(name: string, more: Partial<User> = {}): User {
  return { id: `id-${name}`, name, role: 'viewer', ...more };
}

export function you(name: string, expiresMs: number, more: Partial<You> = {}): You {
  return { user: user(name), expires_ms: expiresMs, ...more };
}

export function settings(more: Partial<Settings> = {}): Settings {
  return { ...DEFAULT_SETTINGS, ...more };
}

/** Ids in the order of their numbers. */
export function id(number: number): string {
  return `01J${String(number).padStart(23, '0')}`;
}

export function message(number: number, name = 'Ada', text = `message ${number}`): Event {
  return { id: id(number), at_ms: number * 1_000, t: 'message', user: user(name), text };
}

function welcome(of: You | null): Welcome {
  return {
    channel: 'demo',
    settings: settings(),
    you: of,
    viewers: 3,
    chatters: 1,
    now_ms: 1_700_000_000_000,
    max_graphemes: 500,
    emotes: [],
  };
}
