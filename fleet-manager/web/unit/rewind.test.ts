import { beforeEach, describe, expect, it } from 'vitest';

import type { DvrWindow } from '../src/playback/dvr';
import { Rewind } from '../src/playback/rewind';

const WINDOW: DvrWindow = { start: 100, end: 160, segment: 2 };
const TARGET = 1;

/** The part of a media element that is looked at. */
class Video {
  currentTime = 159;
  paused = false;
  seeking = false;
  loaded: [number, number] = [150, 160];

  get buffered(): TimeRanges {
    return { length: 1, start: () => this.loaded[0], end: () => this.loaded[1] };
  }
}

describe('Rewind', () => {
  let video: Video;
  let rewind: Rewind;

  beforeEach(() => {
    video = new Video();
    rewind = new Rewind(video as unknown as HTMLVideoElement);
    rewind.place(WINDOW, TARGET);
  });

  it('follows live until the viewer leaves it, and knows where that goes', () => {
    expect(rewind.isFollowing).toBe(true);
    expect(rewind.leave(20)).toBe(139);
    expect(rewind.isFollowing).toBe(false);
    video.currentTime = 139;
    rewind.place(WINDOW, TARGET);
    expect(rewind.timeline?.behind).toBe(20);
  });

  it('does not leave live for what is live, nor while nothing is on the screen', () => {
    expect(rewind.leave(0.5)).toBeNull();
    rewind.place(null, null);
    expect(rewind.timeline).toBeNull();
    expect(rewind.leave(20)).toBeNull();
    expect(rewind.isFollowing).toBe(true);
  });

  it('keeps the place of a viewer who pauses for longer than a moment', () => {
    video.paused = true;
    rewind.place({ ...WINDOW, end: 161 }, TARGET);
    rewind.chooseMode(true, false);
    expect(rewind.isFollowing).toBe(true);
    rewind.place({ ...WINDOW, end: 163 }, TARGET);
    rewind.chooseMode(true, false);
    expect(rewind.isFollowing).toBe(false);
  });

  it('follows again when live has come back to the viewer', () => {
    rewind.leave(5);
    rewind.place(WINDOW, TARGET);
    video.currentTime = 158.9;
    rewind.chooseMode(false, true);
    expect(rewind.isFollowing).toBe(true);
  });

  it('follows again when the viewer ran into the end, but not when the network was slow', () => {
    rewind.leave(20);
    video.currentTime = 139;
    rewind.ranDry();
    expect(rewind.isFollowing).toBe(false);
    video.currentTime = 158.2;
    rewind.ranDry();
    expect(rewind.isFollowing).toBe(true);
  });

  it('goes on with the oldest when what comes next is gone', () => {
    rewind.leave(50);
    video.currentTime = 109;
    video.loaded = [105, 112];
    expect(rewind.escape(WINDOW)).toBeNull();
    const later = { start: 115, end: 175, segment: 2 };
    expect(rewind.escape(later)).toBe(117);
    // A paused picture stands, and who follows live is none of its business.
    video.paused = true;
    expect(rewind.escape(later)).toBeNull();
    video.paused = false;
    rewind.follow();
    expect(rewind.escape(later)).toBeNull();
  });

  it('takes the distance of a browser that paces itself from what it does', () => {
    video.currentTime = 154;
    rewind.place(WINDOW, null);
    expect(rewind.timeline?.live).toBe(154);
    expect(rewind.leave(10)).toBe(144);
    video.currentTime = 144;
    rewind.place(WINDOW, null);
    expect(rewind.timeline).toMatchObject({ live: 154, behind: 10 });
  });
});
