// Keeps playback at a steady distance from the live edge by playing a little faster or slower.
// hls.js's own catch-up needs a second of buffer ahead, more than a low-latency stream keeps, so
// that with it every late start and every stall would stay in the latency for good.
//
// The distance is the playlist's hold-back and the room that this viewer's network and machine turn out to need on top.
// Three parts of hold-back are 600 ms with parts of 200 ms, of which a part that is being made takes 200 and
// fetching and appending it some more: what is left is eaten by one late answer. How late media comes shows long before
// the first stall, and does not depend on the playhead: it is the part of the latency that is not buffered.

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
/** What stays ahead of the playhead when media comes as late as it did: less, and the decoder runs dry. */
const RESERVE_S = 0.2;
/** One outage says little about the next: lateness that did not make a stall takes no more room than this. */
const MOST_ROOM_FOR_LATENESS_S = 0.4;
/** Room that was not needed for this long is taken back, a little at a time. */
const CALM_MS = 20_000;
const ROOM_TAKEN_BACK_S = 0.1;

/** Room that grows when it is needed, and shrinks slowly when it was not for a while. */
class Room {
  seconds = 0;
  #neededMs = 0;

  need(seconds: number, nowMs: number): void {
    if (seconds < this.seconds) return;
    this.seconds = seconds;
    this.#neededMs = nowMs;
  }

  shrink(nowMs: number): void {
    if (this.seconds === 0 || nowMs - this.#neededMs <= CALM_MS) return;
    this.seconds = Math.max(0, this.seconds - ROOM_TAKEN_BACK_S);
    this.#neededMs = nowMs;
  }
}

export class PaceController {
  readonly #forStalls = new Room();
  readonly #forLateness = new Room();
  #correcting = false;
  #smooth: number | null = null;

  /** Seconds on top of the playlist's hold-back. */
  get room(): number {
    return Math.max(this.#forStalls.seconds, this.#forLateness.seconds);
  }

  /** Seconds behind the live edge to hold, given the playlist's hold-back. */
  target(holdBack: number): number {
    return holdBack + this.room;
  }

  stalled(nowMs: number): void {
    this.#forStalls.need(Math.min(MOST_ROOM_S, this.#forStalls.seconds + ROOM_PER_STALL_S), nowMs);
  }

  /** To be asked a few times a second while playing and following the live edge. */
  next({ latency, holdBack, buffered }: PaceInput, nowMs: number): Pace {
    this.#makeRoom(latency - buffered, holdBack, nowMs);
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

  /** `lateness`: seconds between the live edge and the end of what is buffered. */
  #makeRoom(lateness: number, holdBack: number, nowMs: number): void {
    const needed = Math.min(MOST_ROOM_FOR_LATENESS_S, lateness + RESERVE_S - holdBack);
    if (needed > 0) this.#forLateness.need(needed, nowMs);
    this.#forLateness.shrink(nowMs);
    this.#forStalls.shrink(nowMs);
  }
}
