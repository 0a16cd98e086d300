// The keyboard, explained.

import { element } from './dom';

const KEYS: readonly (readonly [readonly string[], string])[] = [
  [['Space', 'K'], 'Play or pause'],
  [['M'], 'Sound on or off'],
  [['↑', '↓'], 'Volume'],
  [['F'], 'Full screen'],
  [['T'], 'Theatre mode'],
  [['I'], 'Picture in picture'],
  [['C'], 'Chat beside the picture'],
  [['←', '→'], 'Five seconds back or forward, with Shift ten'],
  [['L'], 'Back to live'],
  [['Q'], 'Quality'],
  [['?'], 'This list'],
];

export function helpDialog(): HTMLDialogElement {
  const rows = KEYS.flatMap(([keys, meaning]) => [
    element('dt', {}, ...keys.map((key) => element('kbd', {}, key))),
    element('dd', {}, meaning),
  ]);
  const close = element('button', { type: 'button', class: 'plain' }, 'Close');
  const dialog = element(
    'dialog',
    { class: 'help', 'aria-labelledby': 'help-title' },
    element('h2', { id: 'help-title' }, 'Keyboard'),
    element('dl', {}, ...rows),
    close,
  );
  close.addEventListener('click', () => dialog.close());
  dialog.addEventListener('click', (event) => {
    // A click beside the dialog lands on the dialog itself.
    if (event.target === dialog) dialog.close();
  });
  return dialog;
}
