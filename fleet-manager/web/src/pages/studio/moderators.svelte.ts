// A channel's moderators. The chat service keeps them, so they are asked for and changed over a connection to it, as its
// commands do.

import { ChatClient } from '../../chat/client';
import { session } from '../../site/session.svelte';
import type { User } from '../../chat/protocol';

export class Moderators {
  /** Null until the chat answered. */
  list = $state.raw<readonly User[] | null>(null);
  /** Why there is no answer, in words. */
  trouble = $state<string | null>(null);
  private readonly client: ChatClient;

  constructor(channel: string) {
    this.client = new ChatClient({
      channel,
      token: () => session.chatToken(channel),
      history: 0,
      on: (news) => {
        // The connection is new, or somebody else appointed somebody.
        if (news.is === 'welcome') void this.load();
        if (news.is === 'events' && !news.past && news.events.some((event) => event.t === 'role'))
          void this.load();
        if (news.is === 'connection' && (news.connection.is === 'waiting' || news.connection.is === 'ended'))
          this.trouble = 'The chat does not answer. Trying again.';
      },
    });
  }

  start(): void {
    this.client.start();
  }

  stop(): void {
    this.client.stop();
  }

  async load(): Promise<void> {
    const outcome = await this.client.do({ do: 'moderators' });
    if (outcome.is === 'done' && outcome.done.answer?.is === 'moderators') {
      this.list = outcome.done.answer.users;
      this.trouble = null;
    } else if (outcome.is === 'refused') {
      this.trouble = outcome.refused.text;
    }
  }

  /** Throws what the chat says when it refuses. */
  async appoint(name: string): Promise<void> {
    await this.done('appoint', name);
  }

  async dismiss(user: string): Promise<void> {
    await this.done('dismiss', user);
  }

  private async done(deed: 'appoint' | 'dismiss', user: string): Promise<void> {
    const outcome = await this.client.do({ do: deed, user });
    if (outcome.is === 'refused') throw new Error(outcome.refused.text);
    await this.load();
  }
}
