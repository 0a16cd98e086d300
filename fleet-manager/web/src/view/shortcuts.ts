// Keys that work anywhere on the page.

const SEEK_S = 5;
const LONG_SEEK_S = 10;
const VOLUME_STEP = 0.05;

export interface Actions {
  togglePlay(): void;
  toggleMute(): void;
  toggleFullScreen(): void;
  toggleFloating(): void;
  toggleTheatre(): void;
  toggleChat(): void;
  changeVolume(by: number): void;
  seekBy(seconds: number): void;
  goLive(): void;
  toggleQuality(): void;
  showHelp(): void;
}

export interface Press {
  readonly key: string;
  readonly shift: boolean;
  /** What has the focus means something by this key: a button by the space bar, a slider by the arrows. */
  readonly taken: boolean;
}

/** Returns whether the key means something. */
export function runShortcut({ key, shift, taken }: Press, actions: Actions): boolean {
  switch (key) {
    case ' ':
      if (taken) return false;
      actions.togglePlay();
      return true;
    case 'ArrowUp':
    case 'ArrowDown':
      if (taken) return false;
      actions.changeVolume(key === 'ArrowUp' ? VOLUME_STEP : -VOLUME_STEP);
      return true;
    case 'ArrowLeft':
    case 'ArrowRight': {
      if (taken) return false;
      const step = shift ? LONG_SEEK_S : SEEK_S;
      actions.seekBy(key === 'ArrowRight' ? step : -step);
      return true;
    }
    case '?':
      actions.showHelp();
      return true;
  }
  const action = LETTERS[key.toLowerCase()];
  if (action === undefined) return false;
  action(actions);
  return true;
}

const LETTERS: Readonly<Record<string, (actions: Actions) => void>> = {
  k: (actions) => actions.togglePlay(),
  m: (actions) => actions.toggleMute(),
  f: (actions) => actions.toggleFullScreen(),
  i: (actions) => actions.toggleFloating(),
  t: (actions) => actions.toggleTheatre(),
  c: (actions) => actions.toggleChat(),
  l: (actions) => actions.goLive(),
  q: (actions) => actions.toggleQuality(),
};

/** Where letters are text. */
const WRITING =
  'textarea, select, [contenteditable]:not([contenteditable=false]), input:not([type=range], [type=checkbox], [type=radio])';
/** What is pressed with the space bar, and what is moved in with the arrow keys. */
const PRESSED = 'button, a, summary, input, [role=menu], [role=option]';
const MOVED_IN =
  'input, [role=menu], [role=slider], [role=log], [role=feed], [role=listbox], [role=tablist], [role=grid], [role=toolbar]';

export function listenForShortcuts(actions: Actions, signal: AbortSignal): void {
  const onKey = (event: KeyboardEvent): void => {
    if (event.ctrlKey || event.metaKey || event.altKey || event.defaultPrevented) return;
    const target = event.target instanceof Element ? event.target : document.body;
    if (target.closest(`dialog, [role=dialog], ${WRITING}`) !== null) return;
    const taken = target.closest(event.key === ' ' ? PRESSED : MOVED_IN) !== null;
    if (runShortcut({ key: event.key, shift: event.shiftKey, taken }, actions)) event.preventDefault();
  };
  document.addEventListener('keydown', onKey, { signal });
}
