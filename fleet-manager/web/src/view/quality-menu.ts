// The quality menu: a button and a list of radio items.

import type { Player } from '../player';
import { menuOf, summaryOf, type MenuItem } from '../quality';
import { element, setHidden, setText } from './dom';
import { icon } from './icons';

export class QualityMenu {
  readonly node: HTMLElement;
  readonly #player: Player;
  readonly #button: HTMLButtonElement;
  readonly #summary: HTMLElement;
  readonly #list: HTMLElement;
  #shown = '';

  constructor(player: Player, signal: AbortSignal) {
    this.#player = player;
    this.#summary = element('span', { class: 'summary' }, 'Auto');
    this.#button = element(
      'button',
      {
        type: 'button',
        class: 'control quality',
        'aria-haspopup': 'menu',
        'aria-expanded': 'false',
        'aria-label': 'Quality',
      },
      icon('quality'),
      this.#summary,
    );
    this.#list = element('div', { class: 'menu', role: 'menu', 'aria-label': 'Quality' });
    this.#list.hidden = true;
    this.node = element('div', { class: 'menu-host' }, this.#button, this.#list);
    this.#button.addEventListener('click', () => this.toggle());
    this.node.addEventListener('keydown', (event) => this.#onKey(event));
    const onPointer = (event: PointerEvent): void => {
      if (event.target instanceof Node && !this.node.contains(event.target)) this.close();
    };
    document.addEventListener('pointerdown', onPointer, { signal });
  }

  get isOpen(): boolean {
    return !this.#list.hidden;
  }

  toggle(): void {
    if (this.isOpen) {
      this.close();
      return;
    }
    setHidden(this.#list, false);
    this.#button.setAttribute('aria-expanded', 'true');
    this.render();
    this.#items()
      .find((item) => item.getAttribute('aria-checked') === 'true')
      ?.focus();
  }

  close(): void {
    if (!this.isOpen) return;
    const hadFocus = this.#list.contains(document.activeElement);
    setHidden(this.#list, true);
    this.#button.setAttribute('aria-expanded', 'false');
    if (hadFocus) this.#button.focus();
  }

  render(): void {
    const { rungs, choice, playing } = this.#player;
    const summary = summaryOf(rungs, choice, playing);
    setHidden(this.node, rungs.length === 0);
    setText(this.#summary, summary);
    this.#button.setAttribute('aria-label', `Quality: ${summary}`);
    if (!this.isOpen) return;
    const items = menuOf(rungs, choice, playing);
    const shown = JSON.stringify(items);
    if (shown === this.#shown) return;
    this.#shown = shown;
    const focused = this.#items().findIndex((item) => item === document.activeElement);
    this.#list.replaceChildren(...items.map((item) => this.#item(item)));
    if (focused >= 0) this.#items()[focused]?.focus();
  }

  #item(item: MenuItem): HTMLButtonElement {
    const node = element(
      'button',
      {
        type: 'button',
        role: 'menuitemradio',
        'aria-checked': String(item.checked),
        tabindex: '-1',
        'data-choice': item.choice,
      },
      icon('check'),
      element('span', { class: 'label' }, item.label),
      element('span', { class: 'note' }, item.note),
    );
    node.addEventListener('click', () => {
      this.#player.choose(item.choice);
      this.close();
    });
    return node;
  }

  #items(): HTMLButtonElement[] {
    return [...this.#list.querySelectorAll('button')];
  }

  #onKey(event: KeyboardEvent): void {
    if (!this.isOpen) return;
    const items = this.#items();
    const at = items.findIndex((item) => item === document.activeElement);
    const to = {
      ArrowDown: (at + 1) % items.length,
      ArrowUp: (at - 1 + items.length) % items.length,
      Home: 0,
      End: items.length - 1,
    }[event.key];
    if (to !== undefined) {
      items[to]?.focus();
    } else if (event.key === 'Escape' || event.key === 'Tab') {
      this.close();
    } else {
      return;
    }
    if (event.key !== 'Tab') event.preventDefault();
    event.stopPropagation();
  }
}
