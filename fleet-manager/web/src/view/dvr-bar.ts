// The bar under the picture: how far back the channel goes, what is loaded, and where the viewer is.

import { behindAt, behindLabel, behindWords, shareAt, SHORTEST_S } from '../playback/dvr';
import type { Player } from '../player';
import { element, setAttribute, setHidden, setStyle, setText } from './dom';

const STEP_S = 5;
const LONG_STEP_S = 10;
/** Somebody who listens is told the place when it changes by their hand, and otherwise not more often than this. */
const SPOKEN_MS = 10_000;

export class DvrBar {
  readonly node: HTMLElement;
  readonly #player: Player;
  readonly #tip = element('output', { class: 'dvr-tip', 'aria-hidden': 'true' });
  /** Where a pointer is on the bar; `null`: there is none. */
  #pointed: number | null = null;
  #dragging = false;
  #spokenMs = Number.NEGATIVE_INFINITY;

  constructor(player: Player) {
    this.#player = player;
    this.node = element(
      'div',
      {
        class: 'dvr',
        role: 'slider',
        tabindex: '0',
        'aria-label': 'Rewind',
        'aria-valuemin': '0',
        'aria-valuemax': '0',
        'aria-valuenow': '0',
        'aria-valuetext': 'Live',
      },
      element('div', { class: 'dvr-track' }),
      element('div', { class: 'dvr-thumb' }),
      this.#tip,
    );
    this.#tip.hidden = true;
    const { node } = this;
    node.addEventListener('pointerdown', (event) => this.#onDown(event));
    node.addEventListener('pointermove', (event) => this.#point(event));
    node.addEventListener('pointerup', () => this.#onUp());
    node.addEventListener('pointercancel', () => this.#forget());
    node.addEventListener('pointerleave', () => {
      if (!this.#dragging) this.#forget();
    });
    node.addEventListener('keydown', (event) => this.#onKey(event));
  }

  get isDragged(): boolean {
    return this.#dragging;
  }

  render(): void {
    const timeline = this.#player.timeline;
    const useful = timeline !== null && timeline.length >= SHORTEST_S;
    setAttribute(this.node, 'aria-disabled', String(!useful));
    if (timeline === null) return;
    const at = this.#dragging && this.#pointed !== null ? this.#pointed : shareAt(timeline, timeline.behind);
    setStyle(this.node, '--at', percent(useful ? at : 1));
    setStyle(this.node, '--from', percent(timeline.loaded.from));
    setStyle(this.node, '--to', percent(timeline.loaded.to));
    setAttribute(this.node, 'data-at-live', String(this.#player.isFollowingLive && !this.#dragging));
    setHidden(this.#tip, this.#pointed === null || !useful);
    if (this.#pointed !== null) {
      setStyle(this.node, '--tip', percent(this.#pointed));
      setText(this.#tip, behindLabel(behindAt(timeline, this.#pointed)));
    }
    this.#speak(timeline.length, timeline.behind);
  }

  /** The place as a slider's value: seconds from the bar's left end. */
  #speak(length: number, behind: number): void {
    const now = performance.now();
    if (now - this.#spokenMs < SPOKEN_MS) return;
    this.#spokenMs = now;
    const most = Math.round(length);
    setAttribute(this.node, 'aria-valuemax', String(most));
    setAttribute(this.node, 'aria-valuenow', String(Math.max(0, most - Math.round(behind))));
    setAttribute(this.node, 'aria-valuetext', behindWords(behind));
  }

  #speakNow(): void {
    this.#spokenMs = Number.NEGATIVE_INFINITY;
    this.render();
  }

  #onDown(event: PointerEvent): void {
    if (event.button !== 0 || (this.#player.timeline?.length ?? 0) < SHORTEST_S) return;
    this.node.setPointerCapture(event.pointerId);
    this.#dragging = true;
    this.#point(event);
  }

  #point(event: PointerEvent): void {
    if (event.pointerType === 'touch' && !this.#dragging) return;
    const { left, width } = this.node.getBoundingClientRect();
    this.#pointed = width > 0 ? Math.min(1, Math.max(0, (event.clientX - left) / width)) : 1;
    this.render();
  }

  #onUp(): void {
    if (!this.#dragging) return;
    const share = this.#pointed ?? 1;
    this.#forget();
    this.#player.seekToShare(share);
    this.#speakNow();
  }

  #forget(): void {
    this.#dragging = false;
    this.#pointed = null;
    this.render();
  }

  #onKey(event: KeyboardEvent): void {
    if (event.ctrlKey || event.metaKey || event.altKey) return;
    const step = event.shiftKey ? LONG_STEP_S : STEP_S;
    const action = {
      ArrowLeft: () => this.#player.seekBy(-step),
      ArrowDown: () => this.#player.seekBy(-step),
      ArrowRight: () => this.#player.seekBy(step),
      ArrowUp: () => this.#player.seekBy(step),
      PageDown: () => this.#player.seekBy(-LONG_STEP_S),
      PageUp: () => this.#player.seekBy(LONG_STEP_S),
      Home: () => this.#player.seekToShare(0),
      End: () => this.#player.goLive(),
    }[event.key];
    if (action === undefined) return;
    event.preventDefault();
    event.stopPropagation();
    action();
    this.#speakNow();
  }
}

function percent(share: number): string {
  return `${(share * 100).toFixed(2)}%`;
}
