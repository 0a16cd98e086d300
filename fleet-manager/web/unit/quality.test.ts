import { describe, expect, it } from 'vitest';

import { AUTO, labelOf, menuOf, nameOf, summaryOf, type Rung } from '../src/quality';

function rung(name: string, height: number, frameRate = 30): Rung {
  return { name, width: (height * 16) / 9, height, frameRate, bandwidth: height * 3_000 };
}

const LADDER = [rung('360p', 360), rung('1080p', 1080, 60), rung('720p', 720)];

describe('the quality menu', () => {
  it('leads with Auto and lists the best rung first', () => {
    expect(menuOf(LADDER, AUTO, null).map((item) => item.label)).toEqual(['Auto', '1080p60', '720p', '360p']);
  });

  it('checks exactly one item', () => {
    for (const choice of [AUTO, '720p', 'gone']) {
      expect(menuOf(LADDER, choice, null).filter((item) => item.checked)).toHaveLength(1);
    }
    expect(menuOf(LADDER, '720p', null).find((item) => item.checked)?.choice).toBe('720p');
  });

  it('falls back to Auto while the chosen rung is not on offer', () => {
    expect(menuOf(LADDER, '480p', LADDER[0] ?? null)[0]).toMatchObject({ checked: true, note: '360p' });
    expect(summaryOf(LADDER, '480p', LADDER[0] ?? null)).toBe('Auto 360p');
  });

  it('sums up what was chosen and what plays', () => {
    expect(summaryOf(LADDER, '1080p', null)).toBe('1080p60');
    expect(summaryOf([], AUTO, null)).toBe('Auto');
  });
});

describe('names', () => {
  it('come from the playlist’s address', () => {
    expect(nameOf('http://edge/live/a/720p.m3u8?token=1', 720)).toBe('720p');
    expect(nameOf('source.m3u8', 1080)).toBe('source');
    expect(nameOf('http://edge/other', 480)).toBe('480p');
  });

  it('say the frame rate only where it is high and not said yet', () => {
    expect(labelOf(rung('720p', 720, 59.94))).toBe('720p60');
    expect(labelOf(rung('720p60', 720, 60))).toBe('720p60');
    expect(labelOf(rung('720p', 720, 30))).toBe('720p');
    expect(labelOf(rung('source', 1440, 60))).toBe('source');
  });
});
