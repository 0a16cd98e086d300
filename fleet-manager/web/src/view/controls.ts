// The controls at the lower edge of the picture, as elements; the stage gives them their meaning.

import { element, setAttribute } from './dom';
import { icon, type IconName } from './icons';

export interface Controls {
  readonly node: HTMLElement;
  readonly play: HTMLButtonElement;
  readonly mute: HTMLButtonElement;
  readonly volume: HTMLInputElement;
  readonly live: HTMLButtonElement;
  /** How far behind live the viewer is. */
  readonly behind: HTMLElement;
  readonly help: HTMLButtonElement;
  readonly float: HTMLButtonElement;
  readonly chat: HTMLButtonElement;
  readonly theatre: HTMLButtonElement;
  readonly full: HTMLButtonElement;
}

/** `kind`: for the style sheet; what is `roomy` is left out where there is little room. */
function button(name: IconName, text: string, kind = ''): HTMLButtonElement {
  return element(
    'button',
    { type: 'button', class: `control ${kind}`.trim(), 'aria-label': text, title: text },
    icon(name),
  );
}

export function makeControls(bar: HTMLElement, quality: HTMLElement): Controls {
  const controls = {
    play: button('pause', 'Pause', 'play'),
    mute: button('sound', 'Mute', 'mute'),
    volume: element('input', {
      type: 'range',
      class: 'volume',
      min: '0',
      max: '1',
      step: '0.01',
      'aria-label': 'Volume',
    }),
    live: element(
      'button',
      { type: 'button', class: 'control live' },
      element('span', { class: 'dot', 'aria-hidden': 'true' }),
      element('span', {}, 'Live'),
    ),
    behind: element('span', { class: 'behind', 'aria-hidden': 'true' }),
    help: button('help', 'Keyboard shortcuts', 'roomy keyboard'),
    float: button('float', 'Picture in picture', 'picture'),
    chat: button('chat', 'Hide chat', 'roomy'),
    theatre: button('theatre', 'Theatre mode', 'roomy'),
    full: button('expand', 'Full screen', 'picture'),
  };
  const row = element(
    'div',
    { class: 'buttons' },
    controls.play,
    element('div', { class: 'sound' }, controls.mute, controls.volume),
    controls.live,
    controls.behind,
    element('div', { class: 'space' }),
    quality,
    controls.help,
    controls.float,
    controls.chat,
    controls.theatre,
    controls.full,
  );
  const node = element(
    'div',
    { class: 'controls', role: 'group', 'aria-label': 'Player controls' },
    bar,
    row,
  );
  return { node, ...controls };
}

/** A button's name, for those who listen and those who hover. */
export function label(control: HTMLElement, text: string): void {
  setAttribute(control, 'aria-label', text);
  setAttribute(control, 'title', text);
}
