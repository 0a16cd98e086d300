// Keys that work anywhere on the page.

const SEEK_S = 5;
const VOLUME_STEP = 0.05;

export interface Actions {
  togglePlay(): void;
  toggleMute(): void;
  toggleFullScreen(): void;
  changeVolume(by: number): void;
  seekBy(seconds: number): void;
  goLive(): void;
  toggleQuality(): void;
  showHelp(): void;
}

/** Returns whether the key means something; `onControl`: a button, slider or field has the focus and its own keys. */
export function runShortcut(key: string, onControl: boolean, actions: Actions): boolean {
  switch (key) {
    case ' ':
      if (onControl) return false;
      actions.togglePlay();
      return true;
    case 'ArrowUp':
    case 'ArrowDown':
      if (onControl) return false;
      actions.changeVolume(key === 'ArrowUp' ? VOLUME_STEP : -VOLUME_STEP);
      return true;
    case 'ArrowLeft':
    case 'ArrowRight':
      if (onControl) return false;
      actions.seekBy(key === 'ArrowRight' ? SEEK_S : -SEEK_S);
      return true;
    case '?':
      actions.showHelp();
      return true;
  }
  switch (key.toLowerCase()) {
    case 'k':
      actions.togglePlay();
      return true;
    case 'm':
      actions.toggleMute();
      return true;
    case 'f':
      actions.toggleFullScreen();
      return true;
    case 'l':
      actions.goLive();
      return true;
    case 'q':
      actions.toggleQuality();
      return true;
    default:
      return false;
  }
}

export function listenForShortcuts(actions: Actions): void {
  document.addEventListener('keydown', (event) => {
    if (event.ctrlKey || event.metaKey || event.altKey || event.defaultPrevented) return;
    const target = event.target;
    if (target instanceof HTMLElement && target.closest('dialog') !== null) return;
    const onControl =
      target instanceof HTMLElement &&
      (target.closest('input, textarea, select, [role=menu]') !== null ||
        (event.key === ' ' && target.closest('button, a') !== null));
    if (runShortcut(event.key, onControl, actions)) event.preventDefault();
  });
}
