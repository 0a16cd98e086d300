import { describe, expect, it } from 'vitest';

import { aligned, appended, historyOf, summary } from '../src/charts/history';

const history = historyOf({
  resolution_s: 10,
  at_ms: [10_000, 20_000, 30_000, 90_000],
  series: { cpu: [0.1, 0.2, null, 0.4], gpu: [null, null, null, null] },
});

describe('telemetry over time', () => {
  it('shows a silence as a gap, and not as a line', () => {
    expect(aligned(history, ['cpu'])).toEqual([
      [10, 20, 30, 40, 90],
      [0.1, 0.2, null, null, 0.4],
    ]);
  });

  it('has a column for what was never measured', () => {
    expect(aligned(history, ['encoder'])[1]).toEqual([null, null, null, null, null]);
  });

  it('grows at its end and is cut at its beginning', () => {
    const longer = appended(history, 100_000, { cpu: 0.5, encoder: 0.7 }, 20_000);
    expect(longer.at).toEqual([20_000, 30_000, 90_000, 100_000]);
    expect(longer.values.cpu).toEqual([0.2, null, 0.4, 0.5]);
    expect(longer.values.encoder).toEqual([null, null, null, 0.7]);
    expect(longer.values.gpu).toEqual([null, null, null, null]);
  });

  it('takes nothing twice, and nothing late', () => {
    expect(appended(history, 90_000, { cpu: 1 }, 0)).toBe(history);
    expect(appended(history, 15_000, { cpu: 1 }, 0)).toBe(history);
  });

  it('begins with nothing', () => {
    const empty = historyOf({ resolution_s: 10, at_ms: [], series: {} });
    expect(aligned(empty, ['cpu'])).toEqual([[], []]);
    expect(appended(empty, 5, { cpu: 1 }, 0).values.cpu).toEqual([1]);
  });

  it('is summed up for those who do not see it', () => {
    expect(summary([null, 3, 1, 2, null])).toEqual({ last: 2, least: 1, most: 3 });
    expect(summary(undefined)).toEqual({ last: null, least: null, most: null });
  });
});
