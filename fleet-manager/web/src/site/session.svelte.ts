// Who is signed in on the site, if anybody. Everything but what is somebody's own works without. The cookie is the
// browser's alone; the CSRF token lives in this page's memory.

import { ApiError } from '../../dashboard/src/api/problem';
import { client, site, type Account, type ChatToken, type SessionAnswer } from './api';

/** `unknown`: the server was not heard yet, which may last: pages load and play when it is down. */
export type State = 'unknown' | 'out' | 'in';

/** What the sign-in dialog is open for. */
export interface Invitation {
  /** One sentence: what one signs in for. */
  readonly reason: string | null;
  readonly form: 'in' | 'up';
  readonly settle: (signedIn: boolean) => void;
}

class Session {
  state = $state<State>('unknown');
  account = $state.raw<Account | null>(null);
  /** The dialog is open while this is not null. */
  invitation = $state.raw<Invitation | null>(null);
  /** Rises when another account, or none, is signed in: what was loaded before was loaded for somebody else. */
  generation = $state(0);
  private asking: Promise<void> | null = null;

  constructor() {
    client.onUnauthorised = () => {
      // The session ended meanwhile, or a password was wrong: the server knows which.
      if (this.account !== null) void this.refresh().catch(() => {});
    };
  }

  get csrf(): string | null {
    return client.csrf;
  }

  /** Asks the server who is signed in; calls that come together are one request. Throws when it cannot be asked. */
  refresh(): Promise<void> {
    this.asking ??= site
      .session()
      .then((answer) => this.take(answer))
      .finally(() => (this.asking = null));
    return this.asking;
  }

  /**
   * Opens the sign-in dialog over whatever page is open, and resolves to whether somebody is signed in then. `reason`
   * says what for: “Sign in to follow Ada.”
   */
  signIn(reason: string | null = null, form: 'in' | 'up' = 'in'): Promise<boolean> {
    if (this.state === 'in') return Promise.resolve(true);
    this.invitation?.settle(false);
    return new Promise((resolve) => {
      this.invitation = {
        reason,
        form,
        settle: (signedIn) => {
          this.invitation = null;
          resolve(signedIn);
        },
      };
    });
  }

  /** What the dialog's form does. */
  async enter(form: 'in' | 'up', name: string, password: string): Promise<void> {
    this.take(form === 'in' ? await site.signIn(name, password) : await site.signUp(name, password));
    this.invitation?.settle(true);
  }

  async signOut(): Promise<void> {
    try {
      await site.signOut();
    } catch (error) {
      if (!(error instanceof ApiError && error.status === 401)) throw error;
    }
    this.take({ account: null, csrf: null });
  }

  /** A token to speak with in a channel's chat; null: nobody is signed in. */
  async chatToken(channel: string): Promise<ChatToken | null> {
    if (this.account === null) return null;
    try {
      return await site.chatToken(channel);
    } catch (error) {
      if (error instanceof ApiError && error.status === 401) return null;
      throw error;
    }
  }

  /** What changed about the account, for who changed it. */
  change(change: Partial<Account>): void {
    if (this.account !== null) this.account = { ...this.account, ...change };
  }

  private take(answer: SessionAnswer): void {
    client.csrf = answer.csrf;
    const before = this.account?.id ?? null;
    const first = this.state === 'unknown';
    this.account = answer.account;
    this.state = answer.account === null ? 'out' : 'in';
    if (first || before !== (answer.account?.id ?? null)) this.generation += 1;
  }
}

export const session = new Session();
