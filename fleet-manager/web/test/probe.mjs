// Runs inside the watch page: notes every frame that the video element presents, each state that the
// page was in, and, where the picture carries one, the clock that is burnt into it.

/**
 * Where `lab`'s clock picture has its code, in its own 1280 × 720 pixels: two rows of 16 square blocks, the
 * most significant bit first: 24 bits of milliseconds since the Unix epoch, 8 bits of check sum.
 */
export const CLOCK = {
  width: 1280,
  height: 720,
  left: 32,
  top: 32,
  block: 32,
  columns: 16,
  rows: 2,
  salt: 0x5a,
};

/** Given to `page.addInitScript`: must not refer to anything outside itself. */
export function probe({ clock }) {
  const frames = []; // [wall clock ms, media time s, width, height, latency by the clock ms or null]
  const states = []; // [ms since the page opened, state]
  let unreadable = 0;
  let canvas = null;

  function readClock(video) {
    const scale = video.videoWidth / clock.width;
    const width = Math.round(clock.block * clock.columns * scale);
    const height = Math.round(clock.block * clock.rows * scale);
    if (canvas === null || canvas.canvas.width !== width) {
      const surface = new OffscreenCanvas(width, height);
      canvas = surface.getContext('2d', { willReadFrequently: true });
    }
    canvas.drawImage(video, clock.left * scale, clock.top * scale, width, height, 0, 0, width, height);
    const { data } = canvas.getImageData(0, 0, width, height);
    const bytes = [0, 0, 0, 0];
    for (let bit = 0; bit < 32; bit++) {
      const x = Math.floor(((bit % clock.columns) + 0.5) * clock.block * scale);
      const y = Math.floor((Math.floor(bit / clock.columns) + 0.5) * clock.block * scale);
      if (data[(y * width + x) * 4 + 1] > 127) bytes[bit >> 3] |= 0x80 >> (bit & 7);
    }
    return (bytes[0] ^ bytes[1] ^ bytes[2] ^ clock.salt) === bytes[3]
      ? (bytes[0] << 16) | (bytes[1] << 8) | bytes[2]
      : null;
  }

  function watch(video) {
    const onFrame = (_now, metadata) => {
      const wall = performance.timeOrigin + performance.now();
      let latency = null;
      if (clock !== null && video.videoWidth > 0) {
        const stamp = readClock(video);
        if (stamp === null) unreadable += 1;
        else latency = (((Math.round(wall) - stamp) % 0x1000000) + 0x1000000) % 0x1000000;
      }
      frames.push([wall, metadata.mediaTime, metadata.width, metadata.height, latency]);
      video.requestVideoFrameCallback(onFrame);
    };
    video.requestVideoFrameCallback(onFrame);
  }

  let found = false;
  setInterval(() => {
    const video = document.querySelector('video');
    if (video !== null && !found) {
      found = true;
      watch(video);
    }
    const state = window.__nodi?.state;
    if (state !== undefined && states.at(-1)?.[1] !== state)
      states.push([Math.round(performance.now()), state]);
  }, 20);
  window.__probe = { frames, states, unreadable: () => unreadable };
}

/** `values` need not be sorted; `null` when there are none. */
export function quantile(values, q) {
  const sorted = [...values].sort((a, b) => a - b);
  return sorted.length === 0 ? null : sorted[Math.min(sorted.length - 1, Math.floor(q * sorted.length))];
}
