import { describe, expect, it } from 'vitest';

import { lastLive, offAir, streamerOf, windowTitle } from '../src/channel/words';
import type { ChannelInfo } from '../src/site/api';

const HOUR_MS = 3_600_000;
const INFO: ChannelInfo = {
  id: 'ada',
  title: 'Building a mill',
  description: '',
  streamer: { id: 'p1', name: 'Ada' },
  live: false,
  suspended: false,
  last_live_ms: 7 * HOUR_MS,
  viewers: 0,
  followers: 3,
  thumbnail_url: null,
  following: null,
};

describe('what the channel page says', () => {
  it('names the streamer, and the channel where nobody is known', () => {
    expect(streamerOf(INFO, 'ada')).toBe('Ada');
    expect(streamerOf(null, 'ada')).toBe('ada');
    expect(windowTitle(INFO, 'ada')).toBe('Ada: Building a mill');
    expect(windowTitle({ ...INFO, title: 'Ada' }, 'ada')).toBe('Ada');
    expect(windowTitle({ ...INFO, title: '' }, 'ada')).toBe('Ada');
    expect(windowTitle(null, 'ada')).toBe('ada');
  });

  it('says when a channel was live last, if it ever was', () => {
    expect(lastLive(INFO, 10 * HOUR_MS)).toBe('Was live 3 h ago.');
    expect(lastLive({ ...INFO, last_live_ms: null }, 10 * HOUR_MS)).toBe('');
    expect(lastLive(null, 10 * HOUR_MS)).toBe('');
    expect(offAir(INFO, false, 10 * HOUR_MS)?.detail).toMatch(
      /^Was live 3 h ago\. Playback starts by itself/,
    );
    expect(offAir(null, false, 0)).toBeNull();
    expect(offAir(null, true, 0)?.title).toBe('No such channel');
    expect(offAir({ ...INFO, suspended: true }, false, 0)?.title).toBe('Suspended');
  });
});
