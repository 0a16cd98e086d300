// Picture in picture, where the browser has it.

export function canFloat(): boolean {
  return document.pictureInPictureEnabled === true;
}

export function isFloating(video: HTMLVideoElement): boolean {
  return document.pictureInPictureElement === video;
}

/** A browser that refuses, because there is no picture yet, leaves everything as it is. */
export function toggleFloating(video: HTMLVideoElement): void {
  const change = isFloating(video) ? document.exitPictureInPicture() : video.requestPictureInPicture();
  void change.catch(() => {});
}
