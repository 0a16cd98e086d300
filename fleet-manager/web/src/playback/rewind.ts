// Where in the channel's window a viewer is: at live, which moves, or somewhere behind it, where they stay.

import { bufferedAround } from './buffered';
import { hasFallenOut, oldest, positionFor, timelineOf, type DvrWindow, type Timeline } from './dvr';

/** A viewer who paused is behind live from here on, and stays there; less is caught up with. */
const PAUSED_BEHIND_S = 1.5;
/** A viewer who is behind live and gets this near follows the live edge again: it stood still meanwhile. */
const CAUGHT_UP_S = 0.25;
/** A playhead stops this near to the end of what is loaded. */
const AT_THE_END_S = 0.5;

export class Rewind {
  readonly #video: HTMLVideoElement;
  #following = true;
  #window: DvrWindow | null = null;
  #timeline: Timeline | null = null;
  #ownDistance = 0;

  constructor(video: HTMLVideoElement) {
    this.#video = video;
  }

  get isFollowing(): boolean {
    return this.#following;
  }

  get timeline(): Timeline | null {
    return this.#timeline;
  }

  follow(): void {
    this.#following = true;
  }

  /** `window`: `null` while nothing is on the screen. `target`: seconds behind the edge to hold, where we hold it. */
  place(window: DvrWindow | null, target: number | null): void {
    this.#window = window;
    if (window === null) {
      this.#timeline = null;
      return;
    }
    const { buffered, currentTime } = this.#video;
    const { from, to } = bufferedAround(buffered, currentTime);
    this.#timeline = timelineOf({
      window,
      distance: target ?? this.#distanceOfItsOwn(window.end),
      position: currentTime,
      following: this.#following,
      bufferStart: from,
      bufferEnd: to,
      shown: this.#timeline?.length ?? 0,
    });
  }

  /** Whoever paused is behind live after a while, and who was behind may have been caught up with. */
  chooseMode(isPaused: boolean, isPlaying: boolean): void {
    if (this.#timeline === null || this.#video.seeking) return;
    const behind = this.#timeline.live - this.#video.currentTime;
    if (this.#following && isPaused && behind > PAUSED_BEHIND_S) this.#following = false;
    else if (!this.#following && isPlaying && behind < CAUGHT_UP_S) this.#following = true;
  }

  /** Leaves live for what is `behind` seconds behind it. `null`: that is live, or there is nothing to go to. */
  leave(behind: number): number | null {
    if (this.#window === null || this.#timeline === null) return null;
    const position = positionFor(this.#window, this.#timeline.live, behind);
    if (position !== null) this.#following = false;
    return position;
  }

  /** Playback ran dry. Whoever ran into the end that the playlist has so far is at live, which stands still. */
  ranDry(): void {
    if (this.#window === null) return;
    // The window's end is where it would be by now, up to a segment further on than what there is.
    const ahead = this.#window.end - this.#video.currentTime;
    if (ahead < this.#window.segment + AT_THE_END_S) this.#following = true;
  }

  /** Where to go on when what comes next has left the window; `null`: it has not. */
  escape(window: DvrWindow): number | null {
    // A paused picture stands until it is to move again.
    if (this.#following || this.#video.paused) return null;
    const { buffered, currentTime } = this.#video;
    return hasFallenOut(window, bufferedAround(buffered, currentTime).to) ? oldest(window) : null;
  }

  /** A browser that paces itself keeps the distance that it likes. */
  #distanceOfItsOwn(edge: number): number {
    const { currentTime, paused, seeking } = this.#video;
    if (this.#following && !paused && !seeking) this.#ownDistance = Math.max(0, edge - currentTime);
    return this.#ownDistance;
  }
}
