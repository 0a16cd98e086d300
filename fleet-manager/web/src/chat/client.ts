// A viewer's connection to one channel's chat, for as long as the page wants it: it joins, comes back after a loss and gets
// what it missed, keeps the token fresh, and sends what is said once. It knows nothing of how the chat looks.

import { Outbox, refusal, type Outcome, type Sending } from './outbox';
import {
  isEvent,
  readFrame,
  SUBPROTOCOL,
  type Action,
  type ClientFrame,
  type Event,
  type EventId,
  type Held,
  type LogEntry,
  type ServerFrame,
  type User,
  type Welcome,
  type You,
} from './protocol';
import { isFinal, retryMs } from './retry';
import { browser, chatUrl, type Socket, type Surroundings } from './surroundings';
import { Tokens, type TokenSource } from './tokens';

/** The service says something every 20 s: silence for longer than two of these means a dead connection. */
export const SILENCE_MS = 45_000;
/** Longest from opening a connection to the welcome. */
export const OPENING_MS = 15_000;
/** A connection that lasted for this long was a good one: the next wait is short again. */
const STEADY_MS = 10_000;

export type Connection =
  | { readonly is: 'idle' }
  /** `again`: there was one before. */
  | { readonly is: 'connecting'; readonly again: boolean }
  | { readonly is: 'open' }
  /** Until it is tried again, by this machine's clock. */
  | { readonly is: 'waiting'; readonly untilMs: number; readonly code: number }
  /** The machine has no network. */
  | { readonly is: 'offline' }
  /** The service will not have us; only `retry` tries again. */
  | { readonly is: 'ended'; readonly code: number; readonly reason: string };

export type News =
  | { readonly is: 'connection'; readonly connection: Connection }
  | { readonly is: 'welcome'; readonly welcome: Welcome; readonly offsetMs: number }
  /** In order, none twice. `gap`: something is missing before these. `past`: what was missed, or came before joining. */
  | {
      readonly is: 'events';
      readonly events: readonly Event[];
      readonly gap: boolean;
      readonly past: boolean;
    }
  | { readonly is: 'you'; readonly you: You | null }
  | { readonly is: 'counts'; readonly viewers: number; readonly chatters: number }
  | { readonly is: 'held'; readonly held: Held }
  | { readonly is: 'reviewed'; readonly id: EventId; readonly allowed: boolean; readonly by: User | null }
  | { readonly is: 'logged'; readonly entry: LogEntry }
  | { readonly is: 'sending'; readonly sending: readonly Sending[] }
  /** Whether a token cannot be had although somebody is signed in. */
  | { readonly is: 'trouble'; readonly trouble: boolean };

export interface ClientOptions {
  readonly channel: string;
  readonly token: TokenSource;
  readonly on: (news: News) => void;
  readonly url?: string;
  /** How many of the last messages, without a last event. Default: all that the service keeps for this. */
  readonly history?: number;
  readonly around?: Surroundings;
}

export class ChatClient {
  readonly #options: ClientOptions;
  readonly #around: Surroundings;
  readonly #tokens: Tokens;
  readonly #outbox: Outbox;
  #connection: Connection = { is: 'idle' };
  #socket: Socket | null = null;
  #joined = false;
  #you: You | null = null;
  /** What the connection was told last. */
  #told: string | null = null;
  #last: EventId | null = null;
  #attempt = 0;
  #everOpen = false;
  #heardAtMs = 0;
  #openedAtMs = 0;
  #trouble = false;
  #cancelTimer: () => void = () => {};
  #unwatch: () => void = () => {};

  constructor(options: ClientOptions) {
    this.#options = options;
    this.#around = options.around ?? browser;
    this.#tokens = new Tokens(options.token, this.#around, () => this.#authenticate());
    this.#outbox = new Outbox(
      this.#around,
      (frame) => this.#transmit(frame),
      () => options.on({ is: 'sending', sending: this.#outbox.sending }),
    );
  }

  get connection(): Connection {
    return this.#connection;
  }

  get you(): You | null {
    return this.#you;
  }

  start(): void {
    if (this.#connection.is !== 'idle') return;
    this.#unwatch = this.#around.watch(() => this.#pageChanged());
    this.#tokens.renew();
    this.#connect();
  }

  stop(): void {
    this.#unwatch();
    this.#tokens.stop();
    this.#cancelTimer();
    this.#leave(1000);
    this.#outbox.abandon('unavailable', 'The chat was closed.');
    this.#set({ is: 'idle' });
  }

  /** Now, not when the wait is over. */
  retry(): void {
    if (this.#connection.is !== 'waiting' && this.#connection.is !== 'ended') return;
    this.#connect();
  }

  /** Somebody signed in or out. */
  accountChanged(): void {
    if (this.#connection.is === 'idle') return;
    this.#outbox.abandon('unauthenticated', 'Somebody else is signed in now.');
    this.#tokens.renew();
  }

  /** Says something; a text with `/` in front is a command. Resolves when it is known what became of it. */
  say(text: string, replyTo: EventId | null = null): Promise<Outcome> {
    if (this.#you === null && !this.#tokens.expected && this.#tokens.current === null) {
      return Promise.resolve(refusal('unauthenticated', 'Sign in to chat.'));
    }
    if (this.#connection.is === 'idle' || this.#connection.is === 'ended') {
      return Promise.resolve(refusal('unavailable', 'The chat is not connected.'));
    }
    return this.#outbox.say(text, replyTo, this.#canSpeak);
  }

  do(action: Action): Promise<Outcome> {
    // The token may be on its way yet.
    const soon = this.#connection.is === 'open' && (this.#tokens.expected || this.#tokens.current !== null);
    if (!this.#canSpeak && !soon) {
      return Promise.resolve(refusal('unavailable', 'The chat is not connected.'));
    }
    return this.#outbox.do(action, this.#canSpeak);
  }

  get #canSpeak(): boolean {
    return this.#joined && this.#you !== null;
  }

  // The connection

  #connect(): void {
    this.#cancelTimer();
    this.#leave(1000);
    this.#set({ is: 'connecting', again: this.#everOpen });
    let socket: Socket;
    try {
      socket = this.#around.open(this.#options.url ?? chatUrl(), SUBPROTOCOL);
    } catch {
      this.#lost(1006, ''); // The page's policy forbids it, or the address is none.
      return;
    }
    this.#socket = socket;
    socket.onopen = () => this.#join();
    socket.onmessage = ({ data }) => this.#heard(data);
    socket.onclose = ({ code, reason }) => this.#lost(code, reason);
    this.#cancelTimer = this.#around.after(OPENING_MS, () => this.#drop());
  }

  #join(): void {
    const token = this.#tokens.current;
    this.#told = token;
    this.#transmit({
      t: 'join',
      channel: this.#options.channel,
      ...(token === null ? {} : { token }),
      ...(this.#last === null ? {} : { after: this.#last }),
      ...(this.#last === null && this.#options.history !== undefined
        ? { history: this.#options.history }
        : {}),
    });
  }

  /** Gives the connection up as if it had ended: the browser itself may take minutes to notice. */
  #drop(): void {
    this.#lost(1006, '');
  }

  #lost(code: number, reason: string): void {
    this.#cancelTimer();
    const steady = this.#joined && this.#around.now() - this.#openedAtMs >= STEADY_MS;
    this.#leave(1000);
    if (steady) this.#attempt = 0;
    if (isFinal(code)) {
      this.#outbox.abandon('unavailable', 'The chat is not connected.');
      this.#set({ is: 'ended', code, reason });
      return;
    }
    const wait = retryMs(this.#attempt, code, this.#around.hidden(), this.#around.random());
    this.#attempt += 1;
    this.#cancelTimer = this.#around.after(wait, () => this.#connect());
    // It is tried all the same: a browser without a network still reaches a service on its own machine.
    if (!this.#around.online()) this.#set({ is: 'offline' });
    else this.#set({ is: 'waiting', untilMs: this.#around.now() + wait, code });
  }

  /** Lets go of the socket, whatever state it is in. */
  #leave(code: number): void {
    const socket = this.#socket;
    this.#socket = null;
    this.#joined = false;
    this.#you = null;
    this.#told = null;
    if (socket === null) return;
    socket.onopen = null;
    socket.onmessage = null;
    socket.onclose = null;
    socket.close(code);
    this.#outbox.lost();
  }

  #pageChanged(): void {
    const { is } = this.#connection;
    if (is === 'idle' || is === 'ended') return;
    if (!this.#around.online()) {
      // Some systems say so when they only change networks: what is open may well go on.
      if (is === 'waiting') this.#set({ is: 'offline' });
      return;
    }
    if (is === 'offline') {
      this.#connect();
    } else if (!this.#around.hidden()) {
      if (is === 'waiting') this.#connect();
      else if (is === 'open') this.#checkSilence();
    }
  }

  #checkSilence(): void {
    const left = this.#heardAtMs + SILENCE_MS - this.#around.now();
    if (left <= 0) {
      this.#drop();
      return;
    }
    this.#cancelTimer();
    this.#cancelTimer = this.#around.after(left, () => this.#checkSilence());
  }

  #set(connection: Connection): void {
    if (this.#connection.is === 'idle' && connection.is === 'idle') return;
    this.#connection = connection;
    this.#options.on({ is: 'connection', connection });
  }

  #transmit(frame: ClientFrame): void {
    this.#socket?.send(JSON.stringify(frame));
  }

  // Who speaks

  /** There is another token, or none. */
  #authenticate(): void {
    const { trouble } = this.#tokens;
    if (trouble !== this.#trouble) {
      this.#trouble = trouble;
      this.#options.on({ is: 'trouble', trouble });
    }
    const token = this.#tokens.current;
    if (this.#joined && token !== this.#told && (token !== null || !this.#tokens.expected)) {
      this.#told = token;
      this.#transmit({ t: 'auth', token });
    }
    if (token === null && !this.#tokens.expected) {
      this.#outbox.abandon('unauthenticated', 'Sign in to chat.');
    }
  }

  #take(you: You | null): void {
    this.#you = you;
    this.#options.on({ is: 'you', you });
    if (you === null) return;
    this.#tokens.accepted();
    this.#outbox.flush();
  }

  /** A token was sent, and the connection is nobody's: it was not good, whatever its date says. */
  #doubt(): void {
    if (this.#you === null && this.#told !== null && this.#told === this.#tokens.current)
      this.#tokens.spoilt();
  }

  // What the service says

  #heard(data: unknown): void {
    this.#heardAtMs = this.#around.now();
    const frame = readFrame(data);
    if (frame === null) return;
    if (isEvent(frame)) this.#takeEvents([frame], false, false);
    else this.#hear(frame);
  }

  #hear(frame: ServerFrame): void {
    const { on } = this.#options;
    switch (frame.t) {
      case 'welcome':
        this.#welcome(frame);
        break;
      case 'history':
        this.#takeEvents(frame.events, frame.gap, true);
        break;
      case 'you':
        this.#take(frame.you);
        this.#doubt();
        break;
      case 'counts':
        on({ is: 'counts', viewers: frame.viewers, chatters: frame.chatters });
        break;
      case 'said':
        this.#outbox.said(frame.nonce, frame.id);
        break;
      case 'done':
        this.#outbox.done(frame);
        break;
      case 'refused':
        if (frame.code === 'unauthenticated' && this.#tokens.current !== null) this.#tokens.spoilt();
        this.#outbox.refused(frame, frame.code === 'unauthenticated' && this.#tokens.expected);
        break;
      case 'held':
        on({ is: 'held', held: frame.held });
        break;
      case 'reviewed':
        on({ is: 'reviewed', id: frame.id, allowed: frame.allowed, by: frame.by ?? null });
        break;
      case 'logged':
        on({ is: 'logged', entry: frame.entry });
        break;
    }
  }

  #welcome(welcome: Welcome): void {
    const now = this.#around.now();
    this.#joined = true;
    this.#everOpen = true;
    this.#openedAtMs = now;
    this.#tokens.offsetMs = welcome.now_ms - now;
    this.#checkSilence();
    // Whoever hears of the welcome may act at once.
    this.#you = welcome.you;
    this.#set({ is: 'open' });
    this.#options.on({ is: 'welcome', welcome, offsetMs: welcome.now_ms - now });
    this.#take(welcome.you);
    this.#doubt();
    // It may have come, or changed, between joining and the welcome.
    this.#authenticate();
  }

  #takeEvents(events: readonly Event[], gap: boolean, past: boolean): void {
    const fresh: Event[] = [];
    for (const event of events) {
      if (this.#last !== null && event.id <= this.#last) continue;
      this.#last = event.id;
      fresh.push(event);
    }
    if (fresh.length > 0 || gap) this.#options.on({ is: 'events', events: fresh, gap, past });
  }
}
