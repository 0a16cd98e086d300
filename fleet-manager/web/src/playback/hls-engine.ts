// Playback with hls.js over Media Source Extensions.

import Hls, {
  type ErrorData,
  type FragBufferedData,
  type HlsConfig,
  type Level,
  type RetryConfig,
} from 'hls.js';

import { AUTO, nameOf, type Choice, type Rung } from '../quality';
import { bufferedAround } from './buffered';
import type { DvrWindow } from './dvr';
import type { Engine, EngineEvents } from './engine';

/** A second media error within this time is not a glitch: the source is opened anew. */
const MEDIA_ERROR_GRACE_MS = 10_000;
/** A new quality that waits for the end of a segment takes effect after this long at the latest. */
const SWITCH_AT_LATEST_MS = 4_000;
/** With more than this ahead, a new quality replaces what is loaded instead of waiting for its end. */
const FAR_AHEAD_S = 6;
/** 404 of a playlist: the rendition is gone, another one plays on. */
const GONE: readonly number[] = [404, 410];

export function hlsIsSupported(): boolean {
  return Hls.isSupported();
}

/** Anything but a clear "not there" is worth asking again; hls.js by itself gives up when a connection is refused. */
function retryUnlessGone(attemptsIfGone: number): NonNullable<RetryConfig['shouldRetry']> {
  return (config, attempt, _isTimeout, response) => {
    const gone = response?.code !== undefined && GONE.includes(response.code);
    return attempt < (gone ? attemptsIfGone : (config?.maxNumRetry ?? 0));
  };
}

function config(): Partial<HlsConfig> {
  // One spread per viewer, so that the viewers of one outage do not come back in step.
  const spread = 0.75 + Math.random() / 2;
  const soon = { retryDelayMs: 400 * spread, maxRetryDelayMs: 2_000, backoff: 'exponential' as const };
  return {
    lowLatencyMode: true,
    // PaceController does the catching up.
    maxLiveSyncPlaybackRate: 1,
    liveSyncMode: 'edge',
    liveSyncOnStallIncrease: 0,
    // Reaches back a few presses of the arrow keys; phones are short of memory.
    backBufferLength: 30,
    // Behind live, where more could be loaded, hls.js by itself goes on up to 60 MB.
    maxBufferLength: 20,
    maxMaxBufferLength: 20,
    maxBufferHole: 0.2,
    liveDurationInfinity: true,
    // Start in the middle of the usual ladder and correct within a segment.
    abrEwmaDefaultEstimate: 6_000_000,
    abrEwmaDefaultEstimateMax: 6_000_000,
    testBandwidth: false,
    capLevelToPlayerSize: true,
    // A viewer's choice stands; a level that failed is tried again after a while.
    preserveManualLevelOnError: true,
    errorPenaltyExpireMs: 10_000,
    manifestLoadPolicy: {
      default: {
        maxTimeToFirstByteMs: 6_000,
        maxLoadTimeMs: 8_000,
        timeoutRetry: { maxNumRetry: 1, ...soon },
        errorRetry: { maxNumRetry: 2, ...soon, shouldRetry: retryUnlessGone(0) },
      },
    },
    playlistLoadPolicy: {
      default: {
        // A blocking reload may rightly take up to three target durations.
        maxTimeToFirstByteMs: 8_000,
        maxLoadTimeMs: 10_000,
        timeoutRetry: { maxNumRetry: 4, ...soon },
        errorRetry: { maxNumRetry: 8, ...soon, shouldRetry: retryUnlessGone(0) },
      },
    },
    fragLoadPolicy: {
      default: {
        maxTimeToFirstByteMs: 5_000,
        maxLoadTimeMs: 12_000,
        timeoutRetry: { maxNumRetry: 3, ...soon },
        errorRetry: { maxNumRetry: 6, ...soon, shouldRetry: retryUnlessGone(1) },
      },
    },
    // Nothing of these is in the streams.
    enableWebVTT: false,
    enableIMSC1: false,
    enableCEA708Captions: false,
    enableInterstitialPlayback: false,
    enableID3MetadataCues: false,
    enableEmsgMetadataCues: false,
    enableDateRangeMetadataCues: false,
  };
}

export class HlsEngine implements Engine {
  readonly kind = 'hls.js';
  readonly #hls: Hls;
  readonly #video: HTMLVideoElement;
  readonly #events: EngineEvents;
  #rungs: readonly Rung[] = [];
  #lastMediaErrorMs = Number.NEGATIVE_INFINITY;
  #continuity: number | null = null;
  #choice: Choice = AUTO;
  #pendingLevel: number | null = null;
  #switchTimer: ReturnType<typeof setTimeout> | undefined;

  constructor(video: HTMLVideoElement, url: string, choice: Choice, events: EngineEvents) {
    this.#video = video;
    this.#events = events;
    this.#choice = choice;
    const hls = new Hls(config());
    this.#hls = hls;
    hls.on(Hls.Events.MANIFEST_PARSED, () => {
      this.#readLevels();
      this.choose(this.#choice);
    });
    hls.on(Hls.Events.LEVELS_UPDATED, () => this.#readLevels());
    hls.on(Hls.Events.LEVEL_SWITCHED, () => events.rungsChanged());
    hls.on(Hls.Events.LEVEL_UPDATED, (_event, { details, level }) => {
      // Before hls.js looks: it would take who fell out of the window to the live edge.
      events.windowMoved();
      // One rendition was given up while the others go on.
      if (
        !details.live &&
        hls.levels.length > 1 &&
        hls.levels.some((other) => other.details?.live === true)
      ) {
        events.recovered(`rendition ${this.#rungs[level]?.name ?? level} ended`);
        hls.removeLevel(level);
      }
    });
    hls.on(Hls.Events.FRAG_CHANGED, (_event, { frag }) => {
      if (this.#continuity !== null && frag.cc !== this.#continuity) events.discontinuity();
      this.#continuity = frag.cc;
    });
    hls.on(Hls.Events.FRAG_BUFFERED, (_event, data) => this.#onBuffered(data));
    hls.on(Hls.Events.ERROR, (_event, error) => this.#onError(error));
    hls.loadSource(url);
    hls.attachMedia(video);
  }

  get rungs(): readonly Rung[] {
    return this.#rungs;
  }

  get playing(): Rung | null {
    return this.#rungs[this.#hls.currentLevel] ?? null;
  }

  latency(): number | null {
    const details = this.#hls.latestLevelDetails;
    return details === null || !details.live ? null : details.edge + details.age - this.#video.currentTime;
  }

  holdBack(): number | null {
    return this.#hls.targetLatency;
  }

  window(): DvrWindow | null {
    const details = this.#hls.latestLevelDetails;
    if (details === null || details.fragments.length === 0) return null;
    const { fragmentStart, edge, targetduration } = details;
    // While nothing new comes the edge stands still.
    const since = details.live ? Math.min(details.age, targetduration) : 0;
    return { start: fragmentStart, end: edge + since, segment: targetduration };
  }

  wallClockLatency(): number | null {
    const date = this.#hls.playingDate;
    return date === null ? null : (Date.now() - date.getTime()) / 1_000;
  }

  bandwidth(): number | null {
    const estimate = this.#hls.bandwidthEstimate;
    return Number.isFinite(estimate) ? estimate : null;
  }

  choose(choice: Choice): void {
    this.#choice = choice;
    const index = this.#rungs.findIndex((rung) => rung.name === choice);
    clearTimeout(this.#switchTimer);
    if (this.#hls.currentLevel === -1 || index === -1) {
      this.#hls.loadLevel = index;
      this.#pendingLevel = null;
    } else {
      this.#pendingLevel = index;
      if (this.#ahead() > FAR_AHEAD_S) this.#switchLevel();
      else this.#switchTimer = setTimeout(() => this.#switchLevel(), SWITCH_AT_LATEST_MS);
    }
    this.#events.rungsChanged();
  }

  livePosition(): number | null {
    return this.#hls.liveSyncPosition;
  }

  destroy(): void {
    clearTimeout(this.#switchTimer);
    this.#hls.destroy();
  }

  /**
   * In the middle of a segment hls.js would load the new rung from the segment's start, over media that is
   * being played: the picture stands still for a moment. At its end the new rung simply continues.
   */
  #onBuffered({ frag, part }: FragBufferedData): void {
    if (this.#pendingLevel === null || frag.type !== 'main' || typeof frag.sn !== 'number') return;
    const details = this.#hls.levels[frag.level]?.details;
    const isLast =
      part === null ||
      (details !== undefined &&
        details.endSN >= frag.sn &&
        !(details.partList ?? []).some((other) => other.fragment.sn === frag.sn && other.index > part.index));
    if (isLast) this.#switchLevel();
  }

  #switchLevel(): void {
    clearTimeout(this.#switchTimer);
    const level = this.#pendingLevel;
    this.#pendingLevel = null;
    if (level === null) return;
    // Behind live a lot is loaded: hls.js drops it from a segment on that it can replace in time.
    const isOther = level !== this.#hls.currentLevel;
    if (isOther && this.#ahead() > FAR_AHEAD_S) this.#hls.nextLevel = level;
    else this.#hls.loadLevel = level;
  }

  #ahead(): number {
    const { buffered, currentTime } = this.#video;
    return bufferedAround(buffered, currentTime).to - currentTime;
  }

  #readLevels(): void {
    this.#rungs = this.#hls.levels.map(rungOf);
    this.#events.rungsChanged();
  }

  #onError(error: ErrorData): void {
    const reason = `${error.details}${error.response === undefined ? '' : ` (HTTP ${error.response.code})`}`;
    if (!error.fatal) {
      this.#events.recovered(reason);
      return;
    }
    const now = performance.now();
    if (error.type === Hls.ErrorTypes.MEDIA_ERROR && now - this.#lastMediaErrorMs > MEDIA_ERROR_GRACE_MS) {
      this.#lastMediaErrorMs = now;
      this.#events.recovered(reason);
      this.#hls.recoverMediaError();
      return;
    }
    this.#events.failed(reason);
  }
}

function rungOf(level: Level): Rung {
  return {
    name: nameOf(level.uri, level.height),
    width: level.width,
    height: level.height,
    frameRate: level.frameRate,
    bandwidth: level.averageBitrate > 0 ? level.averageBitrate : level.bitrate,
  };
}
