// Full screen, with the iPhone's own kind: there only the video element can do it.

interface WithWebkitFullScreen {
  webkitEnterFullscreen?: () => void;
}

export function toggleFullScreen(stage: HTMLElement, video: HTMLVideoElement): void {
  if (document.fullscreenElement !== null) {
    void document.exitFullscreen();
  } else if (document.fullscreenEnabled) {
    void stage.requestFullscreen();
  } else {
    (video as WithWebkitFullScreen).webkitEnterFullscreen?.();
  }
}

export function isFullScreen(): boolean {
  return document.fullscreenElement !== null;
}
