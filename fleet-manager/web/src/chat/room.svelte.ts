// One channel's chat as the panel shows it: what the client hears, in a form that is drawn at most once for each frame of
// the screen, and what the viewer does.

import { untrack } from 'svelte';

import { isAbout } from './announce';
import { ChatClient, type Connection, type News } from './client';
import { MessageLog } from './log';
import type { Outcome, Sending } from './outbox';
import { People } from './people';
import {
  atLeast,
  DEFAULT_SETTINGS,
  type Action,
  type Answer,
  type Emote,
  type Event,
  type EventId,
  type Held,
  type LogEntry,
  type Reply,
  type Role,
  type Settings,
  type You,
} from './protocol';
import type { Surroundings } from './surroundings';
import { emoteUrl } from './text';
import { ticking } from './ticking.svelte';
import type { TokenSource } from './tokens';
import { sentence } from './words';

/** Held messages and log entries that are shown; the service has the others. */
const MOST_WAITING = 200;
const MOST_LOGGED = 500;
/** How often it is looked whether the video has come to what is held back. */
const RELEASE_EVERY_MS = 200;
/** A hidden page draws no frames; what came meanwhile is drawn this often. */
const HIDDEN_EVERY_MS = 1_000;
/** Playback further back than this is a recording: chat of its own time is long gone from here. */
const LONGEST_LATENCY_S = 600;

/** Something said to the viewer about what they did. */
export interface Notice {
  readonly tone: 'done' | 'refused' | 'info';
  readonly text: string;
  /** When it may be tried again, by the service's clock. */
  readonly againMs: number | null;
  /** Takes back what was done. */
  readonly undo: Action | null;
}

export interface Replying extends Reply {
  readonly id: EventId;
}

export class Room {
  connection = $state.raw<Connection>({ is: 'idle' });
  you = $state.raw<You | null>(null);
  settings = $state.raw<Settings>(DEFAULT_SETTINGS);
  viewers = $state<number | null>(null);
  chatters = $state<number | null>(null);
  emotes = $state.raw<readonly Emote[]>([]);
  maxGraphemes = $state(500);
  sending = $state.raw<readonly Sending[]>([]);
  /** Signed in, but the server that says so to the chat does not answer. */
  trouble = $state(false);
  notice = $state.raw<Notice | null>(null);
  /** The list that a command asked for. */
  answered = $state.raw<Answer | null>(null);
  /** What the next message answers. */
  replying = $state.raw<Replying | null>(null);
  waiting = $state.raw<readonly Held[]>([]);
  /** Newest first; null: not asked for. */
  logged = $state.raw<readonly LogEntry[] | null>(null);
  /** Rises when the list has changed, once for a frame at most. */
  version = $state(0);
  /** Rises with each message about the viewer. */
  mentions = $state(0);
  /** The next message is refused before this, by the service's clock. */
  quietUntilMs = $state(0);

  readonly log = new MessageLog();
  readonly people = new People();
  readonly #client: ChatClient;
  #offsetMs = $state(0);
  #drawing = false;
  #releasing: ReturnType<typeof setInterval> | undefined;
  /** Held messages were asked for on this connection. */
  #askedHeld = false;

  constructor(
    readonly channel: string,
    token: TokenSource,
    /** Seconds from the streamer to the viewer's screen; null: nothing plays. */
    private readonly latency: () => number | null,
    around?: Surroundings,
  ) {
    this.#client = new ChatClient({
      channel,
      token,
      on: (news) => this.#hear(news),
      ...(around === undefined ? {} : { around }),
    });
  }

  start(): void {
    this.#client.start();
  }

  stop(): void {
    clearInterval(this.#releasing);
    this.#releasing = undefined;
    this.#client.stop();
  }

  /** The service's clock, ticking each second. */
  get nowMs(): number {
    return ticking.ms + this.#offsetMs;
  }

  get role(): Role {
    return this.you?.user.role ?? 'viewer';
  }

  get me(): string | null {
    return this.you?.user.id ?? null;
  }

  may(least: Role): boolean {
    return this.you !== null && atLeast(this.role, least);
  }

  get moderates(): boolean {
    return this.may('moderator');
  }

  /** Whether somebody is out of this viewer's reach: moderators do not silence each other. */
  mayJudge(other: { readonly id: string; readonly role: Role }): boolean {
    return this.moderates && other.id !== this.me && !atLeast(other.role, this.role);
  }

  retry(): void {
    this.#client.retry();
  }

  accountChanged(): void {
    this.#client.accountChanged();
  }

  // What the viewer does

  /** Resolves to whether it was taken: if not, the text is for the viewer to change. */
  async say(text: string): Promise<boolean> {
    const reply = this.replying;
    this.replying = null;
    const command = text.startsWith('/');
    const outcome = await this.#client.say(text, command ? null : (reply?.id ?? null));
    this.#tell(outcome, null);
    if (outcome.is === 'said' && !this.moderates && this.settings.slow_s > 0) {
      this.quietUntilMs = this.#serviceNow() + this.settings.slow_s * 1000;
    }
    if (outcome.is === 'refused' && outcome.refused.code !== 'held') {
      this.replying ??= reply;
      return false;
    }
    return true;
  }

  /** What a button does; how it went is told to the viewer. */
  async act(action: Action, undo: Action | null = null): Promise<boolean> {
    const outcome = await this.#client.do(action);
    this.#tell(outcome, undo);
    return outcome.is === 'done';
  }

  /** Asks for a list. Throws what the service said, in words, when it refuses. */
  async ask(action: Action): Promise<Answer | null> {
    const outcome = await this.#client.do(action);
    if (outcome.is === 'refused') throw new Error(outcome.refused.text);
    return outcome.is === 'done' ? (outcome.done.answer ?? null) : null;
  }

  /** Older entries of the moderation log than `before`, or the newest ones; resolves to whether there are older ones yet. */
  async readLog(before: EventId | null): Promise<boolean> {
    const answer = await this.ask({ do: 'log', ...(before === null ? {} : { before }) });
    if (answer?.is !== 'log') return false;
    const known = before === null ? [] : (this.logged ?? []);
    this.logged = [...known, ...answer.entries].slice(0, MOST_LOGGED);
    return answer.more && this.logged.length < MOST_LOGGED;
  }

  dismissNotice(): void {
    this.notice = null;
  }

  inform(text: string): void {
    this.notice = { tone: 'info', text, againMs: null, undo: null };
  }

  /** Messages appear when the video comes to them. */
  keepTime(inTime: boolean): void {
    this.log.holding = inTime;
    clearInterval(this.#releasing);
    this.#releasing = inTime ? setInterval(() => this.#release(), RELEASE_EVERY_MS) : undefined;
    this.#release();
  }

  /** Somebody reads further up. */
  read(reading: boolean): void {
    this.log.reading = reading;
  }

  #release(): void {
    const latency = this.log.holding ? this.latency() : null;
    const delayMs = latency === null ? 0 : Math.min(Math.max(latency, 0), LONGEST_LATENCY_S) * 1000;
    if (this.log.release(this.log.holding ? this.#serviceNow() - delayMs : Number.POSITIVE_INFINITY)) {
      this.#draw();
    }
  }

  #serviceNow(): number {
    return Date.now() + untrack(() => this.#offsetMs);
  }

  #tell(outcome: Outcome, undo: Action | null): void {
    if (outcome.is === 'said') {
      if (this.notice?.tone === 'refused') this.notice = null;
    } else if (outcome.is === 'done') {
      const { text, answer } = outcome.done;
      if (answer !== undefined) this.answered = answer;
      if (text !== '') {
        this.notice = { tone: 'done', text, againMs: null, undo };
      }
    } else {
      const { refused } = outcome;
      const againMs = refused.retry_ms === undefined ? null : this.#serviceNow() + refused.retry_ms;
      if (againMs !== null && (refused.code === 'slow' || refused.code === 'rate'))
        this.quietUntilMs = againMs;
      const tone = refused.code === 'held' ? 'info' : 'refused';
      this.notice = { tone, text: sentence(refused.text), againMs, undo: null };
    }
  }

  // What the client hears

  #hear(news: News): void {
    switch (news.is) {
      case 'connection':
        this.connection = news.connection;
        // Who the viewer is, and may do, is shown on while the connection comes back.
        if (news.connection.is !== 'open') this.#askedHeld = false;
        break;
      case 'welcome': {
        const { welcome } = news;
        this.#offsetMs = news.offsetMs;
        this.settings = { ...DEFAULT_SETTINGS, ...welcome.settings };
        this.log.settings(this.settings);
        this.viewers = welcome.viewers;
        this.chatters = welcome.chatters;
        this.maxGraphemes = welcome.max_graphemes;
        this.emotes = welcome.emotes.flatMap(({ name, url }) => {
          const safe = emoteUrl(url, location.origin);
          return safe === null ? [] : [{ name, url: safe }];
        });
        break;
      }
      case 'events':
        if (news.gap) this.log.gap(news.events[0]?.at_ms ?? this.#serviceNow());
        for (const event of news.events) this.#happened(event, news.past);
        if (this.log.holding) this.#release();
        this.#draw();
        break;
      case 'you':
        this.#become(news.you);
        break;
      case 'counts':
        this.viewers = news.viewers;
        this.chatters = news.chatters;
        break;
      case 'held':
        this.waiting = [...this.waiting.filter(({ id }) => id !== news.held.id), news.held].slice(
          -MOST_WAITING,
        );
        break;
      case 'reviewed':
        this.waiting = this.waiting.filter(({ id }) => id !== news.id);
        break;
      case 'logged':
        if (this.logged !== null) this.logged = [news.entry, ...this.logged].slice(0, MOST_LOGGED);
        break;
      case 'sending':
        this.sending = news.sending;
        break;
      case 'trouble':
        this.trouble = news.trouble;
        break;
    }
  }

  #happened(event: Event, past: boolean): void {
    this.log.apply(event, past);
    if (event.t === 'message') {
      this.people.saw(event.user);
      const row = {
        kind: 'message',
        key: event.id,
        atMs: event.at_ms,
        message: event,
        gone: null,
        past,
      } as const;
      if (!past && isAbout(row, this.me)) this.mentions += 1;
      return;
    }
    if (event.t === 'settings') {
      this.settings = event.settings;
      if (event.settings.slow_s === 0) this.quietUntilMs = 0;
      // What was refused may be allowed now.
      if (this.notice?.tone === 'refused') this.notice = null;
    }
    // The service says so to this connection as well; whichever comes first.
    const { you } = this;
    if (past || you === null || !('user' in event) || event.user.id !== you.user.id) return;
    if (event.t === 'restricted') {
      const { until_ms, reason } = event;
      this.you = {
        ...you,
        restriction: {
          ...(until_ms === undefined ? {} : { until_ms }),
          ...(reason === undefined ? {} : { reason }),
        },
      };
    } else if (event.t === 'released') {
      const { restriction: _, ...free } = you;
      this.you = free;
    }
  }

  #become(you: You | null): void {
    this.you = you;
    if (!this.moderates) {
      this.waiting = [];
      this.logged = null;
      this.#askedHeld = false;
    } else if (!this.#askedHeld) {
      this.#askedHeld = true;
      void this.ask({ do: 'held' })
        .then((answer) => {
          if (answer?.is === 'held') this.waiting = answer.held.slice(-MOST_WAITING);
        })
        .catch(() => (this.#askedHeld = false));
    }
  }

  /** Soon, once for however much comes until then. */
  #draw(): void {
    if (this.#drawing) return;
    this.#drawing = true;
    const done = () => {
      if (!this.#drawing) return;
      this.#drawing = false;
      cancelAnimationFrame(frame);
      clearTimeout(timer);
      this.version += 1;
    };
    const frame = requestAnimationFrame(done);
    // Of a page that is hidden, or hidden before the frame comes.
    const timer = setTimeout(done, HIDDEN_EVERY_MS);
  }
}
