// What the page needs from whatever plays: hls.js, or the browser itself.

import type { Choice, Rung } from '../quality';
import type { DvrWindow } from './dvr';

export interface EngineEvents {
  /** The rungs on offer, or the one that is on the screen, changed. */
  rungsChanged(): void;
  /** It cannot go on by itself; the page decides when to start it anew. */
  failed(reason: string): void;
  /** Media of another session, or after a break, came on: the ladder may be another one. */
  discontinuity(): void;
  /** A playlist came: what was at its window's back end may be gone. */
  windowMoved(): void;
  /** An error that the engine dealt with: for diagnostics only. */
  recovered(reason: string): void;
}

export interface Engine {
  readonly kind: 'hls.js' | 'native';
  readonly rungs: readonly Rung[];
  /** The rung on the screen, if it is known. */
  readonly playing: Rung | null;
  /** Seconds behind the live edge of the playlist, if it is known. */
  latency(): number | null;
  /** Seconds behind the live edge where the playlist wants players, if it is known. */
  holdBack(): number | null;
  /** What can be gone back to, in the media element's time. */
  window(): DvrWindow | null;
  /** Seconds between the wall clock of the frame on the screen and this machine's clock. */
  wallClockLatency(): number | null;
  /** Estimated network bandwidth in bit/s, if it is known. */
  bandwidth(): number | null;
  /** Takes effect at the next segment that is loaded, without a stall. */
  choose(choice: Choice): void;
  /** Where the playlist wants players, in the media element's time, if it is known. */
  livePosition(): number | null;
  destroy(): void;
}
