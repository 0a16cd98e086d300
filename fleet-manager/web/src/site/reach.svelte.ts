// Whether the site's server answers. Video comes from elsewhere and plays on when it does not.

import { client } from './api';

/** A break shorter than this is not worth a word. */
const NOTICE_MS = 3_000;

class Reach {
  /** True when nothing was heard of the server for long enough that a person should know. */
  away = $state(false);
  /** Rises whenever the server answers again after it did not. */
  returns = $state(0);
  private lost = false;
  private notice: ReturnType<typeof setTimeout> | undefined;

  constructor() {
    client.onReach = (reached) => this.heard(reached);
  }

  /** Also for those who ask the server without the client. */
  heard(reached: boolean): void {
    if (reached) {
      clearTimeout(this.notice);
      this.notice = undefined;
      this.away = false;
      if (this.lost) this.returns += 1;
      this.lost = false;
    } else {
      this.lost = true;
      this.notice ??= setTimeout(() => (this.away = true), NOTICE_MS);
    }
  }
}

export const reach = new Reach();
