// Keeps playback at a steady distance from the live edge by playing a little faster or slower.
// hls.js's own catch-up needs a second of buffer ahead, more than a low-latency stream keeps, so
// that with it every late start and every stall would stay in the latency for good.

export interface PaceInput {
  /** Seconds behind the live edge. */
  readonly latency: number;
  /** Seconds behind the live edge where the playlist wants players (PART-HOLD-BACK). */
  readonly holdBack: number;
  /** Seconds of media ahead of the playhead. */
  readonly buffered: number;
}

export interface Pace {
  readonly rate: number;
  /** Too far behind for catching up to be worth it: go to the live edge at once. */
  readonly jump: boolean;
}

/** Errors below this are left alone once reached, and acted upon above the second: no hunting. */
const SETTLED_S = 0.02;
const ACT_S = 0.08;
/** Share of a new measurement in the smoothed latency: playlists arrive with a jitter of tens of milliseconds. */
const SMOOTHING = 0.3;
/** A change as large as this is a seek, not jitter. */
const SEEK_S = 0.4;
/** Rate per second of error: half a second behind is gone in about ten seconds. */
const GAIN = 0.25;
/** Beyond these it is audible in music; between them and 1 it would take for ever. */
const FASTEST = 1.12;
const SLIGHTLY_FASTER = 1.02;
const SLIGHTLY_SLOWER = 0.98;
const SLOWEST = 0.94;
/** With less than this ahead, playing faster would be the cause of the next stall. */
const THIN_BUFFER_S = 0.25;
/** Catching up from further than this takes longer than a viewer wants to be late. */
const JUMP_S = 4;
/** Each stall shows that the network needs more room than the playlist thinks. */
const ROOM_PER_STALL_S = 0.25;
const MOST_ROOM_S = 3;
/** Room that was not needed for this long is taken back, a little at a time. */
const CALM_MS = 20_000;
const ROOM_TAKEN_BACK_S = 0.1;

export class PaceController {
  #room = 0;
  #lastChangeMs = 0;
  #correcting = false;
  #smooth: number | null = null;

  /** Seconds behind the live edge to hold, given the playlist's hold-back. */
  target(holdBack: number): number {
    return holdBack + this.#room;
  }

  stalled(nowMs: number): void {
    this.#room = Math.min(MOST_ROOM_S, this.#room + ROOM_PER_STALL_S);
    this.#lastChangeMs = nowMs;
  }

  /** To be asked a few times a second while playing and following the live edge. */
  next({ latency, holdBack, buffered }: PaceInput, nowMs: number): Pace {
    if (this.#room > 0 && nowMs - this.#lastChangeMs > CALM_MS) {
      this.#room = Math.max(0, this.#room - ROOM_TAKEN_BACK_S);
      this.#lastChangeMs = nowMs;
    }
    const before = this.#smooth;
    this.#smooth =
      before === null || Math.abs(latency - before) > SEEK_S
        ? latency
        : before + SMOOTHING * (latency - before);
    const error = this.#smooth - this.target(holdBack);
    if (error > JUMP_S) {
      this.#correcting = false;
      return { rate: 1, jump: true };
    }
    this.#correcting = Math.abs(error) > (this.#correcting ? SETTLED_S : ACT_S);
    if (!this.#correcting || (error > 0 && buffered < THIN_BUFFER_S)) {
      return { rate: 1, jump: false };
    }
    // Steps of a hundredth: each change of rate costs the browser's audio path a little.
    const rate = Math.round((1 + GAIN * error) * 100) / 100;
    const least = error > 0 ? SLIGHTLY_FASTER : SLOWEST;
    const most = error > 0 ? FASTEST : SLIGHTLY_SLOWER;
    return { rate: Math.min(most, Math.max(least, rate)), jump: false };
  }
}
