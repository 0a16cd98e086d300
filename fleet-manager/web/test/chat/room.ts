// The part of the chat service that the panel needs, for tests of the panel alone: one room, whose events a test makes.
// Journeys and conformance run against the real service.

import type { Page, WebSocketRoute } from 'playwright-core';

import {
  DEFAULT_SETTINGS,
  type Action,
  type Answer,
  type ClientFrame,
  type Event,
  type Held,
  type LogEntry,
  type Mark,
  type Message,
  type Refused,
  type Restriction,
  type Role,
  type ServerFrame,
  type Settings,
  type User,
  type What,
} from '../../src/chat/protocol';

const EMOTES = ['clap', 'cry', 'eyes', 'fire', 'gg', 'heart', 'laugh', 'nodi', 'party', 'think', 'wave'];

interface Connection {
  readonly socket: WebSocketRoute;
  joined: boolean;
  signedIn: boolean;
}

export class ChatRoom {
  readonly events: Event[] = [];
  /** Every frame of every client, in order. */
  readonly frames: ClientFrame[] = [];
  settings: Settings = DEFAULT_SETTINGS;
  me: User = { id: '01JADA00000000000000000000', name: 'Ada', role: 'viewer', color: '#5cc8e6' };
  restriction: Restriction | null = null;
  /** What becomes of what is said next. */
  refusal: Omit<Refused, 'nonce'> | null = null;
  held: Held[] = [];
  terms: { term: string; then: 'hold' | 'refuse' }[] = [{ term: 'buy followers', then: 'refuse' }];
  readonly log: LogEntry[] = [];
  /** New connections are ended with this code. */
  refuses: number | null = null;
  private readonly connections = new Set<Connection>();
  private readonly said = new Map<string, string>();
  private count = 0;
  private entered: () => void = () => {};

  static async on(page: Page, role: Role = 'viewer'): Promise<ChatRoom> {
    const room = new ChatRoom();
    room.me = { ...room.me, role };
    await page.routeWebSocket('**/chat/ws', (socket) => room.accept(socket));
    return room;
  }

  get open(): number {
    return this.connections.size;
  }

  of<T extends ClientFrame['t']>(t: T): Extract<ClientFrame, { t: T }>[] {
    return this.frames.filter((frame): frame is Extract<ClientFrame, { t: T }> => frame.t === t);
  }

  actions(): Action[] {
    return this.of('do').map(({ action }) => action);
  }

  user(name: string, more: Partial<User> = {}): User {
    return { id: `id-${name.toLowerCase()}`, name, role: 'viewer', ...more };
  }

  happen(what: What): Event {
    const event = { id: this.id(), at_ms: Date.now(), ...what };
    this.events.push(event);
    this.send(event);
    return event;
  }

  message(user: User, text: string, more: Partial<Message> = {}): Event {
    return this.happen({ t: 'message', user, text, marks: this.marks(text), ...more });
  }

  hold(user: User, text: string, why: string): void {
    const held = { id: this.id(), at_ms: Date.now(), message: { user, text }, why };
    this.held.push(held);
    this.send({ t: 'held', held });
  }

  set(settings: Partial<Settings>, by: User): void {
    this.settings = { ...this.settings, ...settings };
    this.happen({ t: 'settings', settings: this.settings, by });
  }

  /** Messages at a steady pace, until it is told to stop. */
  flood(perSecond: number): () => number {
    const people = Array.from({ length: 40 }, (_, i) => this.user(`Viewer_${i}`));
    const begun = Date.now();
    let sent = 0;
    const timer = setInterval(() => {
      for (; sent < ((Date.now() - begun) / 1000) * perSecond; sent += 1) {
        const who = people[(sent * 7) % people.length];
        if (who !== undefined) this.message(who, `${FLOOD[sent % FLOOD.length]} ${sent}`);
      }
    }, 10);
    return () => {
      clearInterval(timer);
      return sent;
    };
  }

  send(frame: ServerFrame | Event): void {
    const text = JSON.stringify(frame);
    for (const { socket, joined } of this.connections) if (joined) socket.send(text);
  }

  /** Resolves when somebody is in the room. */
  joined(): Promise<void> {
    if ([...this.connections].some(({ joined }) => joined)) return Promise.resolve();
    return new Promise((resolve) => (this.entered = resolve));
  }

  /** Ends all connections. */
  async hangUp(code = 1001): Promise<void> {
    const ended = [...this.connections];
    this.connections.clear();
    await Promise.all(ended.map(({ socket }) => socket.close({ code, reason: '' })));
  }

  private accept(socket: WebSocketRoute): void {
    if (this.refuses !== null) {
      void socket.close({ code: this.refuses, reason: '' });
      return;
    }
    const connection: Connection = { socket, joined: false, signedIn: false };
    this.connections.add(connection);
    socket.onClose(() => this.connections.delete(connection));
    socket.onMessage((text) => {
      const frame = JSON.parse(String(text)) as ClientFrame;
      this.frames.push(frame);
      this.hear(connection, frame);
    });
  }

  private hear(connection: Connection, frame: ClientFrame): void {
    const answer = (reply: ServerFrame | Event) => connection.socket.send(JSON.stringify(reply));
    switch (frame.t) {
      case 'join': {
        connection.joined = true;
        connection.signedIn = frame.token !== undefined;
        this.entered();
        answer({
          t: 'welcome',
          channel: frame.channel,
          settings: this.settings,
          you: this.you(connection),
          viewers: 1_234,
          chatters: 87,
          now_ms: Date.now(),
          max_graphemes: 500,
          emotes: EMOTES.map((name) => ({ name, url: `/emotes/${name}.svg` })),
        });
        const { after } = frame;
        const events =
          after === undefined ? this.events.slice(-100) : this.events.filter(({ id }) => id > after);
        answer({ t: 'history', events, gap: false });
        break;
      }
      case 'auth':
        connection.signedIn = frame.token !== null;
        answer({ t: 'you', you: this.you(connection) });
        break;
      case 'say':
        this.say(frame, answer);
        break;
      case 'do':
        this.do(frame.nonce, frame.action, answer);
        break;
    }
  }

  private you({ signedIn }: Connection) {
    if (!signedIn) return null;
    const restriction = this.restriction === null ? {} : { restriction: this.restriction };
    return { user: this.me, expires_ms: Date.now() + 3_600_000, ...restriction };
  }

  private say(frame: Extract<ClientFrame, { t: 'say' }>, answer: (frame: ServerFrame) => void): void {
    const { nonce, text } = frame;
    if (this.refusal !== null) {
      answer({ t: 'refused', nonce, ...this.refusal });
      this.refusal = null;
      return;
    }
    const before = this.said.get(nonce);
    if (before !== undefined) return answer({ t: 'said', nonce, id: before });
    if (text === '/terms')
      return answer({ t: 'done', nonce, text: '', answer: { is: 'terms', terms: this.terms } });
    const replied = this.events.find(({ id }) => id === frame.reply_to);
    const reply =
      replied?.t === 'message' ? { reply: { id: replied.id, user: replied.user, text: replied.text } } : {};
    const event = this.message(this.me, text.replace(/^\/me /, ''), {
      ...reply,
      ...(text.startsWith('/me ') ? { me: true } : {}),
    });
    this.said.set(nonce, event.id);
    answer({ t: 'said', nonce, id: event.id });
  }

  private do(nonce: string, action: Action, send: (frame: ServerFrame) => void): void {
    const done = (text: string, answer?: Answer) =>
      send({ t: 'done', nonce, text, ...(answer === undefined ? {} : { answer }) });
    const about = 'user' in action ? this.find(action.user) : this.me;
    const by = this.me;
    switch (action.do) {
      case 'delete':
        this.happen({ t: 'deleted', message: action.id, by });
        return done('The message is deleted.');
      case 'timeout':
        this.happen({ t: 'restricted', user: about, until_ms: Date.now() + action.seconds * 1000, by });
        return done(`${about.name} is timed out for ${action.seconds / 60} minutes.`);
      case 'ban':
        this.happen({ t: 'restricted', user: about, by });
        return done(`${about.name} is banned.`);
      case 'release':
        this.happen({ t: 'released', user: about, by });
        return done(`${about.name} may speak again.`);
      case 'purge':
        this.happen({ t: 'purged', user: about, by });
        return done(`The messages of ${about.name} are deleted.`);
      case 'clear':
        this.happen({ t: 'cleared', by });
        return done('The chat is cleared.');
      case 'set':
        this.set(action.settings, by);
        return done('');
      case 'review': {
        this.held = this.held.filter(({ id }) => id !== action.id);
        this.send({ t: 'reviewed', id: action.id, allowed: action.allow, by });
        return done(action.allow ? 'The message is let through.' : 'The message is dropped.');
      }
      case 'held':
        return done('', { is: 'held', held: this.held });
      case 'terms':
        return done('', { is: 'terms', terms: this.terms });
      case 'block_term':
        this.terms.push({ term: action.term, then: action.then });
        return done(`“${action.term}” is blocked.`);
      case 'unblock_term':
        this.terms = this.terms.filter(({ term }) => term !== action.term);
        return done(`“${action.term}” is blocked no more.`);
      case 'log':
        return done('', { is: 'log', entries: [...this.log].reverse(), more: false });
      case 'moderators':
        return done('', { is: 'moderators', users: [this.user('Mo', { role: 'moderator' })] });
      case 'restricted':
        return done('', {
          is: 'restricted',
          restricted: [
            { user: this.user('Loud'), until_ms: Date.now() + 500_000, reason: 'shouting', at_ms: 0, by },
            { user: this.user('Spammer'), at_ms: 0, by: null },
          ],
        });
      case 'who':
        return done('', {
          is: 'who',
          who: {
            user: about,
            restriction: null,
            created_s: 1_750_000_000,
            followed_s: null,
            messages: 12,
            timeouts: 1,
            bans: 0,
            said: this.events
              .filter((event) => event.t === 'message' && event.user.id === about.id)
              .reverse(),
          },
        });
      default:
        return done('Done.');
    }
  }

  private find(target: string): User {
    for (const event of this.events) {
      if (event.t === 'message' && (event.user.id === target || `@${event.user.name}` === target))
        return event.user;
    }
    return this.user(target.replace(/^@|^id-/, ''));
  }

  private marks(text: string): Mark[] {
    const marks: Mark[] = [];
    for (const match of text.matchAll(/:(\w+):|@(\w+)|https?:\/\/[^\s]+/g)) {
      const at = { from: match.index, len: match[0].length };
      const [whole, emote, name] = match;
      if (emote !== undefined) marks.push({ ...at, is: 'emote', name: emote, url: `/emotes/${emote}.svg` });
      else if (name !== undefined)
        marks.push({
          ...at,
          is: 'mention',
          user: name === this.me.name ? this.me.id : `id-${name.toLowerCase()}`,
        });
      else marks.push({ ...at, is: 'link', url: whole });
    }
    return marks;
  }

  private id(): string {
    this.count += 1;
    return `01K${String(this.count).padStart(23, '0')}`;
  }
}

const FLOOD = [
  'what a shot',
  'hello from the very far end of a rather long sentence that takes more than one line :party:',
  ':fire: :fire:',
  'is the sound a little early for anybody else or is it only me?',
  'gg',
  'https://nodi.example/rules says so',
] as const;
