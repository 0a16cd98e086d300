// The watch page: builds it once, then only writes what changed.

import logo from '../logo.svg';
import { bitrate, frames, resolution, seconds } from '../format';
import { badgeFor, wordsFor } from '../phase';
import { Player } from '../player';
import { loadPreferences, savePreferences } from '../preferences';
import { element, setAttribute, setHidden, setText } from './dom';
import { isFullScreen, toggleFullScreen } from './full-screen';
import { helpDialog } from './help';
import { icon, setIcon, type IconName } from './icons';
import { QualityMenu } from './quality-menu';
import { listenForShortcuts } from './shortcuts';

/** The controls leave when the pointer has rested for this long. */
const IDLE_MS = 2_800;
/** The readout is for people: faster than this it only flickers. */
const READOUT_MS = 1_000;

function header(): HTMLElement {
  return element(
    'header',
    { class: 'top' },
    element(
      'a',
      { class: 'brand', href: '/', 'aria-label': 'Nodi' },
      element('img', { src: logo, alt: '', width: '28', height: '28' }),
      'Nodi',
    ),
  );
}

/** The page of a path that names no channel. */
export function buildEmptyPage(app: HTMLElement): void {
  app.append(
    header(),
    element(
      'main',
      { class: 'empty' },
      element('h1', {}, 'No such channel'),
      element('p', {}, 'A watch page’s address ends with the channel’s name: /watch/name.'),
    ),
  );
}

export class Page {
  readonly #player: Player;
  readonly #video = element('video', { playsinline: '', 'aria-label': 'Live video', tabindex: '-1' });
  readonly #stage: HTMLElement;
  readonly #overlay = element('div', { class: 'overlay', role: 'status' });
  readonly #spinner = element('div', { class: 'spinner', 'aria-hidden': 'true' });
  readonly #title = element('p', { class: 'title' });
  readonly #detail = element('p', { class: 'detail' });
  readonly #unmute = element('button', { type: 'button', class: 'unmute' }, icon('mute'), 'Turn on sound');
  readonly #play = this.#control('Pause', 'pause');
  readonly #mute = this.#control('Mute', 'sound');
  readonly #volume = element('input', {
    type: 'range',
    class: 'volume',
    min: '0',
    max: '1',
    step: '0.01',
    'aria-label': 'Volume',
  });
  readonly #live = element(
    'button',
    { type: 'button', class: 'control live' },
    element('span', { class: 'dot', 'aria-hidden': 'true' }),
    'Live',
  );
  readonly #help = this.#control('Keyboard shortcuts', 'help');
  readonly #full = this.#control('Full screen', 'expand');
  readonly #controls: HTMLElement;
  readonly #menu: QualityMenu;
  readonly #dialog = helpDialog();
  readonly #badge = element('span', { class: 'badge' });
  readonly #readout = {
    latency: element('dd', { 'data-readout': 'latency' }),
    resolution: element('dd', { 'data-readout': 'resolution' }),
    bitrate: element('dd', { 'data-readout': 'bitrate' }),
    dropped: element('dd', { 'data-readout': 'dropped' }),
  };
  #savedChoice: string;
  readonly #numbers = element(
    'dl',
    { class: 'readout', 'aria-label': 'Playback' },
    element('div', {}, element('dt', {}, 'Latency'), this.#readout.latency),
    element('div', {}, element('dt', {}, 'Picture'), this.#readout.resolution),
    element('div', {}, element('dt', {}, 'Bitrate'), this.#readout.bitrate),
    element('div', {}, element('dt', {}, 'Dropped'), this.#readout.dropped),
  );
  #wasLive = false;
  #lastReadoutMs = Number.NEGATIVE_INFINITY;
  #idleTimer: ReturnType<typeof setTimeout> | undefined;

  constructor(app: HTMLElement, channel: string, preferNative: boolean) {
    const preferences = loadPreferences();
    this.#savedChoice = preferences.choice;
    this.#video.muted = preferences.muted;
    this.#video.volume = preferences.volume;
    this.#player = new Player(this.#video, channel, preferences.choice, preferNative, () => this.#render());
    this.#menu = new QualityMenu(this.#player);
    this.#controls = element(
      'div',
      { class: 'controls', role: 'group', 'aria-label': 'Player controls' },
      this.#play,
      element('div', { class: 'sound' }, this.#mute, this.#volume),
      this.#live,
      element('div', { class: 'space' }),
      this.#menu.node,
      this.#help,
      this.#full,
    );
    this.#overlay.append(this.#spinner, this.#title, this.#detail);
    this.#stage = element(
      'section',
      { class: 'stage', 'aria-label': 'Player' },
      this.#video,
      this.#overlay,
      this.#unmute,
      this.#controls,
      this.#dialog,
    );
    document.title = `${channel} – Nodi`;
    app.append(
      header(),
      element(
        'main',
        { class: 'watch' },
        this.#stage,
        element('div', { class: 'about' }, element('h1', {}, channel, this.#badge), this.#numbers),
      ),
    );
    this.#wire();
    this.#render();
  }

  get player(): Player {
    return this.#player;
  }

  #control(label: string, name: IconName): HTMLButtonElement {
    return element(
      'button',
      { type: 'button', class: 'control', 'aria-label': label, title: label },
      icon(name),
    );
  }

  #wire(): void {
    const player = this.#player;
    const full = (): void => toggleFullScreen(this.#stage, this.#video);
    this.#play.addEventListener('click', () => player.togglePlay());
    this.#mute.addEventListener('click', () => player.toggleMute());
    this.#unmute.addEventListener('click', () => player.toggleMute());
    this.#live.addEventListener('click', () => player.goLive());
    this.#help.addEventListener('click', () => this.#dialog.showModal());
    this.#full.addEventListener('click', full);
    this.#volume.addEventListener('input', () => player.setVolume(this.#volume.valueAsNumber));
    this.#video.addEventListener('volumechange', () => this.#save());
    this.#video.addEventListener('click', (event) => {
      // A finger shows the controls first; a mouse has them already.
      if (!(event instanceof PointerEvent) || event.pointerType === 'mouse') player.togglePlay();
    });
    this.#video.addEventListener('dblclick', full);
    for (const kind of ['pointermove', 'pointerdown', 'focusin', 'keydown'] as const) {
      this.#stage.addEventListener(kind, () => this.#wake());
    }
    this.#stage.addEventListener('pointerleave', () => this.#idle());
    document.addEventListener('fullscreenchange', () => this.#render());
    listenForShortcuts({
      togglePlay: () => player.togglePlay(),
      toggleMute: () => player.toggleMute(),
      toggleFullScreen: full,
      changeVolume: (by) => {
        player.setVolume((this.#video.muted ? 0 : this.#video.volume) + by);
        this.#wake();
      },
      seekBy: (by) => player.seekBy(by),
      goLive: () => player.goLive(),
      toggleQuality: () => {
        this.#wake();
        this.#menu.toggle();
      },
      showHelp: () => {
        if (!this.#dialog.open) this.#dialog.showModal();
      },
    });
  }

  #wake(): void {
    this.#stage.classList.remove('idle');
    clearTimeout(this.#idleTimer);
    this.#idleTimer = setTimeout(() => this.#idle(), IDLE_MS);
  }

  #idle(): void {
    const busy =
      this.#player.phase !== 'live' ||
      this.#menu.isOpen ||
      this.#controls.querySelector(':focus-visible') !== null;
    this.#stage.classList.toggle('idle', !busy);
  }

  #save(): void {
    savePreferences({ volume: this.#video.volume, muted: this.#video.muted, choice: this.#player.choice });
  }

  #render(): void {
    const player = this.#player;
    const phase = player.phase;
    const words = wordsFor(phase, player.status);
    const waits =
      phase === 'buffering' || phase === 'connecting' || phase === 'starting' || phase === 'reconnecting';
    setAttribute(this.#stage, 'data-phase', phase);
    setHidden(this.#overlay, words === null && !waits);
    setHidden(this.#spinner, !waits);
    setText(this.#title, words?.title ?? '');
    setText(this.#detail, words?.detail ?? '');
    setText(this.#badge, badgeFor(phase));
    setAttribute(this.#badge, 'data-phase', phase);
    if (phase !== 'live') this.#stage.classList.remove('idle');
    else if (!this.#wasLive) this.#wake();
    this.#wasLive = phase === 'live';

    const paused = this.#video.paused;
    setIcon(this.#play, paused ? 'play' : 'pause');
    label(this.#play, paused ? 'Play' : 'Pause');
    setHidden(this.#play, player.engine === null);
    const silent = this.#video.muted || this.#video.volume === 0;
    setIcon(this.#mute, silent ? 'mute' : this.#video.volume < 0.5 ? 'quiet' : 'sound');
    label(this.#mute, silent ? 'Turn on sound' : 'Mute');
    const volume = silent ? 0 : this.#video.volume;
    if (this.#volume.valueAsNumber !== volume) this.#volume.value = String(volume);
    this.#volume.style.setProperty('--volume', `${Math.round(volume * 100)}%`);
    setHidden(this.#unmute, !(this.#video.muted && phase === 'live'));
    const atLive = player.isFollowingLive && phase !== 'paused';
    setAttribute(this.#live, 'data-at-live', String(atLive && phase === 'live'));
    label(this.#live, atLive ? 'Playing live' : 'Go to live');
    setHidden(this.#live, player.engine === null);
    setIcon(this.#full, isFullScreen() ? 'shrink' : 'expand');
    label(this.#full, isFullScreen() ? 'Leave full screen' : 'Full screen');
    this.#menu.render();
    if (this.#savedChoice !== player.choice) {
      this.#savedChoice = player.choice;
      this.#save();
    }
    this.#renderReadout(player);
  }

  #renderReadout(player: Player): void {
    const now = performance.now();
    if (now - this.#lastReadoutMs < READOUT_MS) return;
    this.#lastReadoutMs = now;
    setHidden(this.#numbers, player.engine === null);
    const { videoWidth, videoHeight } = this.#video;
    setText(this.#readout.latency, seconds(player.latency));
    setText(this.#readout.resolution, resolution(videoWidth, videoHeight));
    setText(this.#readout.bitrate, bitrate(player.playing?.bandwidth ?? null));
    setText(this.#readout.dropped, frames(player.dropped));
  }
}

function label(button: HTMLElement, text: string): void {
  setAttribute(button, 'aria-label', text);
  setAttribute(button, 'title', text);
}
