// Keeps a channel playing for as long as the page is open: opens an engine when there is something to
// play, watches that playback moves, and asks the origin for the channel's state when it does not.

import { addressOf, type ChannelAddress } from './address';
import { ChannelWatch } from './channel-watch';
import type { Engine, EngineEvents } from './playback/engine';
import { HlsEngine, hlsIsSupported } from './playback/hls-engine';
import { NativeEngine, nativeIsSupported } from './playback/native-engine';
import { playlistNames } from './playback/ladder';
import { PaceController } from './playback/pace';
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
/** A pause longer than this ends with a jump to live. */
const SHORT_PAUSE_MS = 1_000;
/** Starting later than this behind the target is worth a jump, if this share of the target is buffered then. */
const WORTH_SKIPPING_S = 0.25;
const BUFFERED_AFTER_SKIP = 0.5;
/** What counts as being back at the live edge after seeking forwards. */
const NEAR_LIVE_S = 1;
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
  #followLive = true;
  #stalls = 0;
  #reopened = 0;
  #firstFrameMs: number | null = null;
  readonly #openedPageMs = performance.now();
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
    this.#address = addressOf(channel);
    this.#watch = new ChannelWatch(this.#address.status, (answer) => this.#onStatus(answer));
    this.#choice = choice;
    this.#preferNative = preferNative;
    this.#changed = changed;
    video.addEventListener('waiting', () => this.#onWaiting());
    video.addEventListener('playing', () => this.#tick());
    video.addEventListener('pause', () => this.#onPause());
    video.addEventListener('play', () => this.#onPlay());
    video.addEventListener('volumechange', () => changed());
    video.addEventListener('resize', () => changed());
    window.addEventListener('online', () => this.#askNow());
    document.addEventListener('visibilitychange', () => {
      if (!document.hidden) this.#askNow();
    });
    setInterval(() => this.#tick(), TICK_MS);
    this.#askNow();
  }

  // What the view shows

  get phase(): Phase {
    const now = performance.now();
    return phaseOf({
      media: this.#media(now),
      waitingMs: now - this.#waitingSinceMs,
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
    for (let i = 0; i < buffered.length; i++) {
      if (buffered.start(i) <= currentTime + 0.1 && currentTime <= buffered.end(i)) {
        return buffered.end(i) - currentTime;
      }
    }
    return 0;
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

  get isFollowingLive(): boolean {
    return this.#followLive;
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
    this.#followLive = true;
    this.#settle();
    this.#engine?.seekToLive();
    if (this.video.paused) this.#play();
    this.#changed();
  }

  /** Moves within what the stream keeps; forwards ends at the live edge. */
  seekBy(seconds: number): void {
    const { seekable } = this.video;
    const latency = this.#engine?.latency() ?? null;
    const target = this.targetLatency;
    if (!this.#framesShown || seekable.length === 0) return;
    if (seconds > 0 && latency !== null && target !== null && latency - seconds < target + NEAR_LIVE_S) {
      this.goLive();
      return;
    }
    const start = Math.max(seekable.start(0), this.#bufferedStart());
    this.#followLive = false;
    this.#settle();
    this.video.playbackRate = 1;
    this.video.currentTime = Math.max(start, this.video.currentTime + seconds);
    this.#changed();
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

  // Playback

  #open(): void {
    this.#close();
    const { video } = this;
    const events: EngineEvents = {
      rungsChanged: () => this.#changed(),
      failed: (reason) => this.#onFailed(reason),
      discontinuity: () => void this.#onDiscontinuity(),
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
    this.#followLive = true;
    this.#settle();
    if (this.#pausedAtMs === null) this.#play();
  }

  #close(): void {
    this.#engine?.destroy();
    this.#engine = null;
    this.#framesShown = false;
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
    if (media === 'playing') this.#keepPace(now);
    this.#supervise(media, now);
    this.#changed();
  }

  #onMoving(now: number): void {
    if (!this.#framesShown) this.#skipToTarget();
    this.#lastMoveMs = now;
    this.#lastPlayingMs = now;
    this.#hasPlayed = true;
    this.#framesShown = true;
    this.#firstFrameMs ??= now - this.#openedPageMs;
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

  #keepPace(now: number): void {
    const latency = this.#engine?.latency() ?? null;
    const holdBack = this.#engine?.holdBack() ?? null;
    if (latency === null || holdBack === null || !this.#followLive || now < this.#settledAtMs) return;
    const pace = this.#pace.next({ latency, holdBack, buffered: this.buffered }, now);
    if (pace.jump) {
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
    this.#open();
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
    const playable = answer !== 'unreachable' && (answer.state === 'live' || answer.state === 'reconnecting');
    if (playable && this.#engine === null) this.#open();
    this.#changed();
  }

  /** Another session may have another ladder, which hls.js never looks for by itself. */
  async #onDiscontinuity(): Promise<void> {
    this.#note('discontinuity');
    const engine = this.#engine;
    if (engine === null || engine.rungs.length === 0) return;
    try {
      const response = await fetch(this.#address.multivariant, {
        signal: AbortSignal.timeout(5_000),
        cache: 'no-cache',
      });
      if (!response.ok || this.#engine !== engine) return;
      const names = playlistNames(await response.text());
      const known = engine.rungs.map((rung) => rung.name);
      if (names.length > 0 && names.some((name) => !known.includes(name))) {
        this.#reopen('the ladder has new rungs');
      }
    } catch {
      // The next discontinuity asks again.
    }
  }

  #onWaiting(): void {
    const now = performance.now();
    if (!this.#framesShown || this.video.seeking || this.video.paused || now < this.#settledAtMs) return;
    this.#stalls += 1;
    this.#pace.stalled(now);
    this.#note(`stall at ${this.video.currentTime.toFixed(2)}`);
    this.#changed();
  }

  #onPause(): void {
    // The end of a playlist pauses too.
    if (!this.video.ended && this.#engine !== null) this.#pausedAtMs = performance.now();
    this.#changed();
  }

  #onPlay(): void {
    const pausedMs = this.#pausedAtMs === null ? 0 : performance.now() - this.#pausedAtMs;
    this.#pausedAtMs = null;
    this.#settle();
    if (pausedMs > SHORT_PAUSE_MS && this.#followLive) this.#engine?.seekToLive();
    this.#changed();
  }

  #settle(): void {
    this.#settledAtMs = performance.now() + SETTLE_MS;
  }

  #bufferedStart(): number {
    const { buffered } = this.video;
    return buffered.length > 0 ? buffered.start(0) : 0;
  }

  #note(text: string): void {
    this.#notes.push({ atMs: Math.round(performance.now()), text });
    if (this.#notes.length > LOG_LENGTH) this.#notes.shift();
  }
}
