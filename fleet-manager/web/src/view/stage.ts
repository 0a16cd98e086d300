// The player as a viewer has it: picture, words over it, controls. Built once, then only what changed is written. It needs
// nothing of the page around it, so that playback starts before anything else of the site has been asked for.

import { bitrate, frames, resolution, seconds } from '../format';
import { wordsFor, type Phase, type Words } from '../phase';
import { behindLabel } from '../playback/dvr';
import { Player } from '../player';
import { loadPreferences, savePreferences } from '../preferences';
import { label, makeControls, type Controls } from './controls';
import { element, setAttribute, setHidden, setStyle, setText } from './dom';
import { DvrBar } from './dvr-bar';
import { isFullScreen, toggleFullScreen } from './full-screen';
import { helpDialog } from './help';
import { icon, setIcon } from './icons';
import { SystemControls, type Subject } from './media-session';
import { canFloat, isFloating, toggleFloating } from './picture-in-picture';
import { QualityMenu } from './quality-menu';
import { listenForShortcuts } from './shortcuts';
import { listenForTaps, type Side } from './taps';
import './stage.css';

/** The controls leave when the pointer has rested for this long. */
const IDLE_MS = 2_800;
/** The readout is for people: faster than this it only flickers. */
const READOUT_MS = 1_000;
/** Two taps on a side of the picture go this far. */
const TAPPED_S = 10;

export interface StageOptions {
  readonly channel: string;
  /** The browser's own HLS instead of hls.js. */
  readonly preferNative: boolean;
  /** What the page around the stage can do: without one there is no button for it. */
  readonly toggleTheatre?: () => void;
  readonly toggleChat?: () => void;
  /** Called a few times a second, and when something changes. */
  readonly changed: (phase: Phase) => void;
}

/** What the page knows about the channel beyond its video. */
export interface About extends Subject {
  /** Shown while there is no video. */
  readonly still: string | null;
  /** What is said of a channel that is off the air. */
  readonly offAir: Words | null;
}

/** What the page around the stage looks like. */
export interface PageLook {
  readonly theatre: boolean;
  readonly chat: boolean;
  /** There is room for a choice between these. */
  readonly roomy: boolean;
}

export class Stage {
  readonly node: HTMLElement;
  /** Figures about playback, for the page to put where it likes. */
  readonly readout: HTMLElement;
  readonly player: Player;
  readonly #options: StageOptions;
  readonly #video = element('video', { playsinline: '', 'aria-label': 'Live video', tabindex: '-1' });
  readonly #still = element('img', { class: 'still', alt: '' });
  readonly #overlay = element('div', { class: 'overlay', role: 'status' });
  readonly #spinner = element('div', { class: 'spinner', 'aria-hidden': 'true' });
  readonly #title = element('p', { class: 'title' });
  readonly #detail = element('p', { class: 'detail' });
  readonly #unmute = element('button', { type: 'button', class: 'unmute' }, icon('mute'), 'Turn on sound');
  readonly #skipped = element('div', { class: 'skipped', 'aria-hidden': 'true' });
  readonly #controls: Controls;
  readonly #bar: DvrBar;
  readonly #menu: QualityMenu;
  readonly #system: SystemControls;
  readonly #dialog = helpDialog();
  readonly #figures = {
    latency: element('dd', { 'data-readout': 'latency' }),
    resolution: element('dd', { 'data-readout': 'resolution' }),
    bitrate: element('dd', { 'data-readout': 'bitrate' }),
    dropped: element('dd', { 'data-readout': 'dropped' }),
  };
  readonly #gone = new AbortController();
  #savedChoice: string;
  #offAir: Words | null = null;
  #stillUrl: string | null = null;
  #roomy = false;
  #wasLive = false;
  #wasIdle = false;
  #lastReadoutMs = Number.NEGATIVE_INFINITY;
  #idleTimer: ReturnType<typeof setTimeout> | undefined;

  constructor(options: StageOptions) {
    this.#options = options;
    const preferences = loadPreferences();
    this.#savedChoice = preferences.choice;
    this.#video.muted = preferences.muted;
    this.#video.volume = preferences.volume;
    this.player = new Player(this.#video, options.channel, preferences.choice, options.preferNative, () =>
      this.#render(),
    );
    this.#bar = new DvrBar(this.player);
    this.#menu = new QualityMenu(this.player, this.#gone.signal);
    this.#system = new SystemControls(this.player);
    this.#controls = makeControls(this.#bar.node, this.#menu.node);
    this.#still.hidden = true;
    this.#overlay.append(this.#spinner, this.#title, this.#detail);
    this.node = element(
      'section',
      { class: 'stage', 'aria-label': 'Player' },
      this.#video,
      this.#still,
      this.#overlay,
      this.#skipped,
      this.#unmute,
      this.#controls.node,
      this.#dialog,
    );
    const figure = (name: string, value: HTMLElement): HTMLElement =>
      element('div', {}, element('dt', {}, name), value);
    this.readout = element(
      'dl',
      { class: 'readout', 'aria-label': 'Playback' },
      figure('Latency', this.#figures.latency),
      figure('Picture', this.#figures.resolution),
      figure('Bitrate', this.#figures.bitrate),
      figure('Dropped', this.#figures.dropped),
    );
    this.#wire();
    this.#render();
  }

  /** What the page around looks like now, for the buttons that change it. */
  showPage({ theatre, chat, roomy }: PageLook): void {
    this.#roomy = roomy;
    setIcon(this.#controls.theatre, theatre ? 'split' : 'theatre');
    label(this.#controls.theatre, theatre ? 'Leave theatre mode' : 'Theatre mode');
    setIcon(this.#controls.chat, chat ? 'chat' : 'silence');
    label(this.#controls.chat, chat ? 'Hide chat' : 'Show chat');
    setAttribute(this.#controls.chat, 'aria-expanded', String(chat));
    this.#render();
  }

  showAbout(about: About): void {
    this.#system.show(about);
    this.#offAir = about.offAir;
    if (about.still !== this.#stillUrl) {
      this.#stillUrl = about.still;
      if (about.still === null) this.#still.removeAttribute('src');
      else this.#still.src = about.still;
    }
    this.#render();
  }

  destroy(): void {
    this.#gone.abort();
    clearTimeout(this.#idleTimer);
    if (isFloating(this.#video)) toggleFloating(this.#video);
    this.#system.destroy();
    this.player.destroy();
    this.node.remove();
    this.readout.remove();
  }

  #wire(): void {
    const { player } = this;
    const { signal } = this.#gone;
    const { play, mute, volume, live, help, float, chat, theatre, full } = this.#controls;
    const { toggleChat, toggleTheatre } = this.#options;
    const fill = (): void => toggleFullScreen(this.node, this.#video);
    const drift = (): void => {
      if (canFloat()) toggleFloating(this.#video);
    };
    play.addEventListener('click', () => player.togglePlay());
    mute.addEventListener('click', () => player.toggleMute());
    this.#unmute.addEventListener('click', () => player.toggleMute());
    live.addEventListener('click', () => player.goLive());
    help.addEventListener('click', () => this.#dialog.showModal());
    float.addEventListener('click', drift);
    full.addEventListener('click', fill);
    setHidden(float, !canFloat());
    if (toggleChat !== undefined) chat.addEventListener('click', toggleChat);
    if (toggleTheatre !== undefined) theatre.addEventListener('click', toggleTheatre);
    volume.addEventListener('input', () => player.setVolume(volume.valueAsNumber));
    this.#still.addEventListener('error', () => this.#still.removeAttribute('src'));
    this.#wireVideo(fill);
    for (const kind of ['pointermove', 'focusin', 'keydown'] as const) {
      this.node.addEventListener(kind, () => this.#wake(), { capture: true });
    }
    this.node.addEventListener(
      'pointerdown',
      () => {
        this.#wasIdle = this.node.classList.contains('idle');
        this.#wake();
      },
      { capture: true },
    );
    this.node.addEventListener('pointerleave', (event) => {
      if (event.pointerType !== 'touch') this.#idle();
    });
    document.addEventListener('fullscreenchange', () => this.#render(), { signal });
    listenForShortcuts(
      {
        togglePlay: () => player.togglePlay(),
        toggleMute: () => player.toggleMute(),
        toggleFullScreen: fill,
        toggleFloating: drift,
        toggleTheatre: () => toggleTheatre?.(),
        toggleChat: () => toggleChat?.(),
        changeVolume: (by) => {
          player.setVolume((this.#video.muted ? 0 : this.#video.volume) + by);
          this.#wake();
        },
        seekBy: (by) => {
          player.seekBy(by);
          this.#wake();
        },
        goLive: () => player.goLive(),
        toggleQuality: () => {
          this.#wake();
          this.#menu.toggle();
        },
        showHelp: () => {
          if (!this.#dialog.open) this.#dialog.showModal();
        },
      },
      signal,
    );
  }

  #wireVideo(fill: () => void): void {
    const { player } = this;
    let touched = false;
    this.#video.addEventListener('volumechange', () => {
      savePreferences({ volume: this.#video.volume, muted: this.#video.muted });
    });
    this.#video.addEventListener('pointerdown', (event) => (touched = event.pointerType === 'touch'));
    this.#video.addEventListener('click', () => {
      if (!touched) player.togglePlay();
    });
    this.#video.addEventListener('dblclick', () => {
      if (!touched) fill();
    });
    for (const kind of ['enterpictureinpicture', 'leavepictureinpicture'] as const) {
      this.#video.addEventListener(kind, () => this.#render());
    }
    const twice = (side: Side): void => {
      if (side === 'middle') {
        fill();
        return;
      }
      player.seekBy(side === 'left' ? -TAPPED_S : TAPPED_S);
      this.#showSkipped(side);
    };
    const once = (): void => {
      if (!this.#wasIdle) this.#idle();
    };
    listenForTaps(this.#video, { once, twice }, this.#gone.signal);
  }

  #showSkipped(side: 'left' | 'right'): void {
    setText(this.#skipped, side === 'left' ? `−${TAPPED_S} s` : `+${TAPPED_S} s`);
    this.#skipped.removeAttribute('data-side');
    // Read once in between, the animation begins anew with each tap.
    void this.#skipped.offsetWidth;
    this.#skipped.setAttribute('data-side', side);
  }

  #wake(): void {
    this.node.classList.remove('idle');
    clearTimeout(this.#idleTimer);
    this.#idleTimer = setTimeout(() => this.#idle(), IDLE_MS);
  }

  #idle(): void {
    const busy =
      this.player.phase !== 'live' ||
      this.#menu.isOpen ||
      this.#bar.isDragged ||
      this.#controls.node.querySelector(':focus-visible') !== null;
    this.node.classList.toggle('idle', !busy);
  }

  #render(): void {
    const { player } = this;
    const phase = player.phase;
    this.#renderWords(phase);
    if (phase !== 'live') this.node.classList.remove('idle');
    else if (!this.#wasLive) this.#wake();
    if ((phase === 'live') !== this.#wasLive) this.#lastReadoutMs = Number.NEGATIVE_INFINITY;
    this.#wasLive = phase === 'live';
    this.#renderControls(phase);
    this.#bar.render();
    this.#menu.render();
    this.#system.render();
    if (this.#savedChoice !== player.choice) {
      this.#savedChoice = player.choice;
      savePreferences({ choice: player.choice });
    }
    this.#renderReadout();
    this.#options.changed(phase);
  }

  #renderWords(phase: Phase): void {
    const said = phase === 'offline' ? this.#offAir : null;
    const words = said ?? wordsFor(phase, this.player.status);
    const waits =
      phase === 'buffering' || phase === 'connecting' || phase === 'starting' || phase === 'reconnecting';
    const off = phase === 'offline' || phase === 'ended';
    setAttribute(this.node, 'data-phase', phase);
    setHidden(this.#still, !off || !this.#still.hasAttribute('src'));
    setHidden(this.#overlay, words === null && !waits);
    setHidden(this.#spinner, !waits);
    setText(this.#title, words?.title ?? '');
    setText(this.#detail, words?.detail ?? '');
    setHidden(this.#unmute, !(this.#video.muted && phase === 'live'));
  }

  #renderControls(phase: Phase): void {
    const { player } = this;
    const { play, mute, volume, live, behind, float, chat, theatre, full, node } = this.#controls;
    const paused = this.#video.paused;
    setIcon(play, paused ? 'play' : 'pause');
    label(play, paused ? 'Play' : 'Pause');
    const silent = this.#video.muted || this.#video.volume === 0;
    setIcon(mute, silent ? 'mute' : this.#video.volume < 0.5 ? 'quiet' : 'sound');
    label(mute, silent ? 'Turn on sound' : 'Mute');
    const loudness = silent ? 0 : this.#video.volume;
    if (volume.valueAsNumber !== loudness) volume.value = String(loudness);
    setStyle(volume, '--volume', `${Math.round(loudness * 100)}%`);
    const following = player.isFollowingLive;
    setAttribute(live, 'data-at-live', String(following && phase === 'live'));
    setText(live.lastElementChild ?? live, following ? 'Live' : 'Back to live');
    label(live, following ? 'Playing live' : 'Back to live');
    setHidden(behind, following);
    setText(behind, behindLabel(player.timeline?.behind ?? 0));
    setAttribute(node, 'data-empty', String(player.engine === null));
    setIcon(float, isFloating(this.#video) ? 'unfloat' : 'float');
    label(float, isFloating(this.#video) ? 'Leave picture in picture' : 'Picture in picture');
    // Of the page nothing is to be seen in full screen.
    const choosable = this.#roomy && !isFullScreen();
    setHidden(theatre, !choosable || this.#options.toggleTheatre === undefined);
    setHidden(chat, !choosable || this.#options.toggleChat === undefined);
    setIcon(full, isFullScreen() ? 'shrink' : 'expand');
    label(full, isFullScreen() ? 'Leave full screen' : 'Full screen');
  }

  #renderReadout(): void {
    const { player } = this;
    const now = performance.now();
    if (now - this.#lastReadoutMs < READOUT_MS) return;
    this.#lastReadoutMs = now;
    setHidden(this.readout, player.engine === null);
    const { videoWidth, videoHeight } = this.#video;
    setText(this.#figures.latency, seconds(player.latency));
    setText(this.#figures.resolution, resolution(videoWidth, videoHeight));
    setText(this.#figures.bitrate, bitrate(player.playing?.bandwidth ?? null));
    setText(this.#figures.dropped, frames(player.dropped));
  }
}
