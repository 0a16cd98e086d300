// The server's time, ticking: whoever reads `now.ms` is drawn anew each second.

import { createSubscriber } from 'svelte/reactivity';

import { serverClock } from '../api/client';

class Now {
  private readonly subscribe = createSubscriber((update) => {
    const timer = setInterval(update, 1000);
    return () => clearInterval(timer);
  });

  get ms(): number {
    this.subscribe();
    return Date.now() + serverClock.offsetMs;
  }
}

export const now = new Now();
