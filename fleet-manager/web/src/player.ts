// Keeps a channel playing for as long as the page is open: opens an engine when there is something to
// play, watches that playback moves, and asks the origin for the channel's state when it does not.

import { addressOf, type ChannelAddress } from './address';
import { ChannelWatch } from './channel-watch';
import { bufferedAround } from './playback/buffered';
import { behindAt, type Timeline } from './playback/dvr';
import type { Engine, EngineEvents } from './playback/engine';
import { HlsEngine, hlsIsSupported } from './playback/hls-engine';
import { NativeEngine, nativeIsSupported } from './playback/native-engine';
import { fetchNames } from './playback/ladder';
import { PaceController } from './playback/pace';
import { Rewind } from './playback/rewind';
import { HICCUP_MS, phaseOf, type Media, type Phase } from './phase';
import type { Choice, Rung } from './quality';
import type { StatusAnswer } from './status';

const TICK_MS = 250;
/** Playback that has not moved for this long is waiting for data. */
const STILL_MS = 400;
/** Waiting for longer than this, the page asks the origin what is wrong. */
const ASK_AFTER_MS = 1_200;
/** Waiting for this long although the channel has been live for a while: the engine is opened anew. */
const REOPEN_AFTER_MS = 6_000;
const LIVE_FOR_MS = 3_000;
/** For this long after an interruption the viewer is taken to be waiting in front of the screen. */
const INTERRUPTED_FOR_MS = 120_000;
/** After a seek or an opening of ours, `waiting` events are no stalls. */
const SETTLE_MS = 1_500;
/** A jump forwards by less than this is not worth it, and on starting none that leaves less than this share of the target buffered. */
const WORTH_SKIPPING_S = 0.25;
const BUFFERED_AFTER_SKIP = 0.5;
/** Diagnostics keep this many events. */
const LOG_LENGTH = 50;

export interface Note {
  readonly atMs: number;
  readonly text: string;
}

export class Player {
  readonly video: HTMLVideoElement;
  readonly channel: string;
  readonly #address: ChannelAddress;
  readonly #changed: () => void;
  readonly #preferNative: boolean;
  readonly #pace = new PaceController();
  readonly #rewind: Rewind;
  readonly #watch: ChannelWatch;
  #engine: Engine | null = null;
  #choice: Choice;
  #waitingSinceMs = performance.now();
  #lastTime = -1;
  #lastMoveMs = Number.NEGATIVE_INFINITY;
  #lastPlayingMs = Number.NEGATIVE_INFINITY;
  #settledAtMs = 0;
  #pausedAtMs: number | null = null;
  #hasPlayed = false;
  #framesShown = false;
  /** Where the viewer was when the source was opened anew. */
  #returnToBehind: number | null = null;
  #seekingSinceMs: number | null = null;
  #stalls = 0;
  #reopened = 0;
  #firstFrameMs: number | null = null;
  readonly #openedPageMs = performance.now();
  readonly #gone = new AbortController();
  readonly #notes: Note[] = [];

  constructor(
    video: HTMLVideoElement,
    channel: string,
    choice: Choice,
    preferNative: boolean,
    changed: () => void,
  ) {
    this.video = video;
    this.channel = channel;
    this.#rewind = new Rewind(video);
    this.#address = addressOf(channel);
    this.#watch = new ChannelWatch(this.#address.status, (answer) => this.#onStatus(answer));
    this.#choice = choice;
    this.#preferNative = preferNative;
    this.#changed = changed;
    const { signal } = this.#gone;
    const on = (type: keyof HTMLMediaElementEventMap, handler: () => void): void =>
      video.addEventListener(type, handler, { signal });
    on('waiting', () => this.#onWaiting());
    on('playing', () => this.#tick());
    on('seeking', () => (this.#seekingSinceMs ??= performance.now()));
    on('seeked', () => (this.#seekingSinceMs = null));
    on('pause', () => this.#onPause());
    on('play', () => this.#onPlay());
    on('volumechange', () => changed());
    on('resize', () => changed());
    window.addEventListener('online', () => this.#askNow(), { signal });
    const seen = (): void => {
      if (!document.hidden) this.#askNow();
    };
    document.addEventListener('visibilitychange', seen, { signal });
    const timer = setInterval(() => this.#tick(), TICK_MS);
    signal.addEventListener('abort', () => clearInterval(timer));
    this.#askNow();
  }

  // What the view shows

  get phase(): Phase {
    const now = performance.now();
    return phaseOf({
      media: this.#media(now),
      waitingMs: now - this.#waitingSinceMs,
      seekingMs: this.#seekingSinceMs === null ? null : now - this.#seekingSinceMs,
      status: this.#watch.status,
      hasPlayed: this.#hasPlayed,
    });
  }

  get status(): StatusAnswer | null {
    return this.#watch.status;
  }

  get choice(): Choice {
    return this.#choice;
  }

  get rungs(): readonly Rung[] {
    return this.#engine?.rungs ?? [];
  }

  get playing(): Rung | null {
    return this.#engine?.playing ?? null;
  }

  get engine(): Engine | null {
    return this.#engine;
  }

  /** Seconds between the frame on the screen and life: by the wall clock in the stream where it is sane. */
  get latency(): number | null {
    if (!this.#framesShown) return null;
    const edge = this.#engine?.latency() ?? null;
    const wall = this.#engine?.wallClockLatency() ?? null;
    // This machine's clock may be wrong by minutes; the distance to the live edge is not.
    if (wall !== null && edge !== null && wall >= edge - 0.5 && wall < edge + 5) return wall;
    return edge;
  }

  get targetLatency(): number | null {
    const holdBack = this.#engine?.holdBack() ?? null;
    return holdBack === null ? null : this.#pace.target(holdBack);
  }

  get buffered(): number {
    const { buffered, currentTime } = this.video;
    return bufferedAround(buffered, currentTime).to - currentTime;
  }

  get dropped(): number {
    return this.video.getVideoPlaybackQuality().droppedVideoFrames;
  }

  get stalls(): number {
    return this.#stalls;
  }

  get reopened(): number {
    return this.#reopened;
  }

  /** Milliseconds from opening the page to the first frame. */
  get firstFrameMs(): number | null {
    return this.#firstFrameMs;
  }

  /** Holds its distance to the live edge; otherwise the viewer went back, or paused, and stays where they are. */
  get isFollowingLive(): boolean {
    return this.#rewind.isFollowing;
  }

  /** How far back the channel can be watched, and where in it the viewer is; `null`: nothing is on the screen. */
  get timeline(): Timeline | null {
    return this.#rewind.timeline;
  }

  get notes(): readonly Note[] {
    return this.#notes;
  }

  // What the viewer does

  choose(choice: Choice): void {
    this.#choice = choice;
    this.#engine?.choose(choice);
    this.#changed();
  }

  togglePlay(): void {
    if (this.video.paused) this.#play();
    else this.video.pause();
  }

  goLive(): void {
    this.#rewind.follow();
    this.#settle();
    this.video.playbackRate = 1;
    this.#seekToLive();
    if (this.video.paused) this.#play();
    this.#placeInWindow();
    this.#changed();
  }

  /** Moves within the channel's window; forwards ends at live. */
  seekBy(seconds: number): void {
    this.#placeInWindow();
    if (this.timeline !== null) this.#seekToBehind(this.timeline.behind - seconds);
  }

  /** To a place on the bar: 0 is its left end, 1 live. */
  seekToShare(share: number): void {
    this.#placeInWindow();
    if (this.timeline !== null) this.#seekToBehind(behindAt(this.timeline, share));
  }

  toggleMute(): void {
    const { video } = this;
    video.muted = !video.muted;
    if (!video.muted && video.volume === 0) video.volume = 0.5;
  }

  setVolume(volume: number): void {
    this.video.volume = Math.min(1, Math.max(0, volume));
    this.video.muted = this.video.volume === 0;
  }

  /** Ends playback for good: the page is left. */
  destroy(): void {
    this.#gone.abort();
    this.#watch.stop();
    this.#close();
  }

  // Playback

  #open(): void {
    this.#close();
    const { video } = this;
    const events: EngineEvents = {
      rungsChanged: () => this.#changed(),
      failed: (reason) => this.#onFailed(reason),
      discontinuity: () => void this.#onDiscontinuity(),
      windowMoved: () => this.#stayInWindow(),
      recovered: (reason) => this.#note(reason),
    };
    if (!this.#hasPlayed) video.poster = `${this.#address.thumbnail}?${Date.now()}`;
    const url = this.#address.multivariant;
    const native = this.#preferNative || !hlsIsSupported();
    if (native && !nativeIsSupported(video)) {
      this.#note('this browser plays neither Media Source Extensions nor HLS');
      return;
    }
    this.#engine = native
      ? new NativeEngine(video, url, events)
      : new HlsEngine(video, url, this.#choice, events);
    this.#waitingSinceMs = performance.now();
    this.#rewind.follow();
    this.#settle();
    if (this.#pausedAtMs === null) this.#play();
  }

  #close(): void {
    this.#engine?.destroy();
    this.#engine = null;
    this.#framesShown = false;
    this.#rewind.place(null, null);
    this.#seekingSinceMs = null;
    this.#lastTime = -1;
    this.#lastMoveMs = Number.NEGATIVE_INFINITY;
    this.video.playbackRate = 1;
  }

  #play(): void {
    void this.video.play().catch((error: unknown) => {
      if (error instanceof DOMException && error.name === 'NotAllowedError' && !this.video.muted) {
        // Sound needs a gesture: start without it, the page offers to turn it on.
        this.video.muted = true;
        this.#play();
      } else if (error instanceof DOMException && error.name === 'NotAllowedError') {
        // Not even so: it is the viewer's to start.
        this.#onPause();
      }
    });
  }

  #media(now: number): Media {
    if (this.#engine === null) return 'none';
    if (this.video.ended) return 'ended';
    if (this.#pausedAtMs !== null) return 'paused';
    if (now - this.#lastMoveMs < STILL_MS + TICK_MS) return 'playing';
    return this.#framesShown ? 'stalled' : 'loading';
  }

  #tick(): void {
    const now = performance.now();
    const time = this.video.currentTime;
    if (
      this.#engine !== null &&
      time > this.#lastTime + 0.01 &&
      !this.video.seeking &&
      this.video.readyState >= 2
    ) {
      if (this.#lastTime >= 0) this.#onMoving(now);
      this.#lastTime = time;
    } else if (time < this.#lastTime) {
      this.#lastTime = time;
    }
    const media = this.#media(now);
    if (media === 'playing' || media === 'paused') {
      this.#waitingSinceMs = now;
    }
    this.#rewind.chooseMode(media === 'paused', media === 'playing');
    this.#placeInWindow();
    if (media === 'playing') this.#keepPace(now);
    this.#supervise(media, now);
    this.#changed();
  }

  #onMoving(now: number): void {
    const first = !this.#framesShown;
    this.#lastMoveMs = now;
    this.#lastPlayingMs = now;
    this.#hasPlayed = true;
    this.#framesShown = true;
    this.#firstFrameMs ??= now - this.#openedPageMs;
    if (!first) return;
    const behind = this.#returnToBehind;
    this.#returnToBehind = null;
    this.#placeInWindow();
    if (behind === null) this.#skipToTarget();
    else this.#seekToBehind(behind);
  }

  /** What loading took is behind the viewer already: with the first frame there is nothing to lose by a jump. */
  #skipToTarget(): void {
    const latency = this.#engine?.latency() ?? null;
    const target = this.targetLatency;
    if (latency === null || target === null) return;
    const late = latency - target;
    if (late > WORTH_SKIPPING_S && this.buffered - late > BUFFERED_AFTER_SKIP * target) {
      this.#settle();
      this.video.currentTime += late;
    }
  }

  // Behind live

  #placeInWindow(): void {
    const window = this.#framesShown ? (this.#engine?.window() ?? null) : null;
    this.#rewind.place(window, this.targetLatency);
  }

  #seekToBehind(seconds: number): void {
    if (this.timeline === null) return;
    const position = this.#rewind.leave(seconds);
    if (position !== null) this.#seek(position);
    // Who is at live already is not thrown about by an arrow key.
    else if (!this.isFollowingLive || this.video.paused) this.goLive();
  }

  /** What leaves the window's back end cannot be loaded any more: on with the oldest that can. */
  #stayInWindow(): void {
    const window = this.#engine?.window() ?? null;
    const position = window === null ? null : this.#rewind.escape(window);
    if (position === null) return;
    this.#note(`${this.video.currentTime.toFixed(2)} left the window: on at ${position.toFixed(2)}`);
    this.#seek(position);
  }

  /** With the room that this viewer needs on top of what the playlist wants. */
  #livePosition(): number | null {
    const position = this.#engine?.livePosition() ?? null;
    return position === null ? null : position - this.#pace.room;
  }

  #seekToLive(): void {
    const position = this.#livePosition();
    if (position !== null) this.video.currentTime = position;
  }

  #seek(position: number): void {
    this.#settle();
    this.video.playbackRate = 1;
    this.video.currentTime = position;
    this.#placeInWindow();
    this.#changed();
  }

  #keepPace(now: number): void {
    const latency = this.#engine?.latency() ?? null;
    const holdBack = this.#engine?.holdBack() ?? null;
    if (latency === null || holdBack === null || !this.isFollowingLive || now < this.#settledAtMs) return;
    const pace = this.#pace.next({ latency, holdBack, buffered: this.buffered }, now);
    if (pace.jump) {
      // While the edge stands still there is nowhere to go.
      if ((this.#livePosition() ?? 0) < this.video.currentTime + WORTH_SKIPPING_S) return;
      this.#note(`${latency.toFixed(1)} s behind: to live`);
      this.goLive();
    } else if (this.video.playbackRate !== pace.rate) {
      this.video.playbackRate = pace.rate;
    }
  }

  // Waiting and asking

  #supervise(media: Media, now: number): void {
    if (media === 'playing' || media === 'paused') {
      this.#watch.stop();
      return;
    }
    const waitingMs = now - this.#waitingSinceMs;
    if (media !== 'stalled' || waitingMs > ASK_AFTER_MS) {
      this.#watch.keepAsking(now - this.#lastPlayingMs < INTERRUPTED_FOR_MS);
    }
    const status = this.#watch.status;
    if (this.#engine === null || status === null || status === 'unreachable') return;
    if ((status.state === 'offline' || status.state === 'ended') && waitingMs > HICCUP_MS) {
      this.#note(`closed: the channel is ${status.state}`);
      this.#close();
    } else if (waitingMs > REOPEN_AFTER_MS && this.#watch.liveForMs(now) > LIVE_FOR_MS) {
      this.#reopen('live, but nothing moves');
    } else if (media === 'ended' && status.state === 'live') {
      this.#reopen('the playlist ended, the channel is live');
    }
  }

  #reopen(reason: string): void {
    this.#reopened += 1;
    this.#watch.restartLiveTime();
    this.#note(`opened anew: ${reason}`);
    const behind = this.isFollowingLive ? null : (this.timeline?.behind ?? null);
    this.#open();
    this.#returnToBehind = behind;
  }

  #onFailed(reason: string): void {
    this.#note(`failed: ${reason}`);
    this.#close();
    // What failed a moment ago would fail again, and what is known may come from a cache.
    this.#watch.doubt();
    this.#changed();
  }

  #askNow(): void {
    if (this.#media(performance.now()) !== 'playing') this.#watch.askNow();
  }

  #onStatus(answer: StatusAnswer): void {
    if (this.#gone.signal.aborted) return;
    const playable = answer !== 'unreachable' && (answer.state === 'live' || answer.state === 'reconnecting');
    if (playable && this.#engine === null) this.#open();
    this.#changed();
  }

  /** Another session may have another ladder, which hls.js never looks for by itself. */
  async #onDiscontinuity(): Promise<void> {
    this.#note('discontinuity');
    const engine = this.#engine;
    if (engine === null || engine.rungs.length === 0) return;
    // No answer: the next discontinuity asks again.
    const names = await fetchNames(this.#address.multivariant);
    if (this.#engine !== engine) return;
    const known = engine.rungs.map((rung) => rung.name);
    if (names.some((name) => !known.includes(name))) this.#reopen('the ladder has new rungs');
  }

  #onWaiting(): void {
    const now = performance.now();
    if (!this.#framesShown || this.video.seeking || this.video.paused || now < this.#settledAtMs) return;
    this.#stalls += 1;
    this.#rewind.ranDry();
    // Behind live there is no distance to hold.
    if (this.isFollowingLive) this.#pace.stalled(now);
    this.#note(`stall at ${this.video.currentTime.toFixed(2)}`);
    this.#changed();
  }

  #onPause(): void {
    // The end of a playlist pauses too.
    if (!this.video.ended && this.#engine !== null) this.#pausedAtMs = performance.now();
    this.#changed();
  }

  #onPlay(): void {
    this.#pausedAtMs = null;
    this.#settle();
    // Before the first frame there is no place to keep: what was loaded while the browser waited for a gesture is old.
    if (!this.#framesShown) this.#seekToLive();
    this.#stayInWindow();
    this.#changed();
  }

  #settle(): void {
    this.#settledAtMs = performance.now() + SETTLE_MS;
  }

  #note(text: string): void {
    this.#notes.push({ atMs: Math.round(performance.now()), text });
    if (this.#notes.length > LOG_LENGTH) this.#notes.shift();
  }
}
