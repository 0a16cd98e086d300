import { afterEach, beforeEach, describe, expect, it } from 'vitest';

import { Client } from '../src/api/client';
import type { BoxSummary } from '../src/api/types';
import { PagedRows } from '../src/ui/rows.svelte';
import { Fixture } from '../test/fixture/server';

describe('rows of a list on the server', () => {
  let fixture: Fixture;
  let rows: PagedRows<BoxSummary>;
  beforeEach(async () => {
    fixture = await Fixture.start({ boxes: 450 });
    rows = new PagedRows<BoxSummary>('/boxes', (box) => box.id, new Client(`${fixture.url}/api/v1`));
  });
  afterEach(async () => {
    rows.stop();
    await fixture.stop();
  });

  it('come page by page, each once', async () => {
    rows.show({ sort: 'name' });
    await expect.poll(() => rows.at(0)?.name).toBe('Berlin 1');
    expect(rows.total).toBe(450);
    expect(rows.at(230)).toBeUndefined();
    rows.want(190, 230);
    rows.want(190, 231);
    await expect.poll(() => rows.at(230)).toBeDefined();
    await expect.poll(() => rows.at(190)).toBeDefined();
    expect(fixture.requests.length).toBe(3);
  });

  it('forget an earlier question', async () => {
    rows.show({ q: 'pisa' });
    rows.show({ q: 'berlin' });
    await expect.poll(() => rows.at(0)?.name).toContain('Berlin');
    expect(rows.total).toBe(30);
  });

  it('change in place', async () => {
    rows.show({ sort: 'name' });
    await expect.poll(() => rows.at(3)).toBeDefined();
    const box = rows.at(3);
    if (box === undefined) throw new Error('not loaded');
    expect(rows.replace({ ...box, name: 'Renamed' })).toBe(true);
    expect(rows.at(3)?.name).toBe('Renamed');
    expect(rows.replace({ ...box, id: 'somebody else' })).toBe(false);
  });

  it('say what went wrong', async () => {
    fixture.failures.set('/boxes', 500);
    rows.show({});
    await expect.poll(() => rows.error).toBeInstanceOf(Error);
    expect(rows.loading).toBe(false);
  });
});
