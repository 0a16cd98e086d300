import { describe, expect, it } from 'vitest';

import { ago, clock, duration } from '../src/format/time';
import { bitrate, bytes, celsius, milliseconds, percent, plural } from '../src/format/units';
import { Parser } from '../src/live/sse';
import { match } from '../src/router/match';
import { direction, turned } from '../src/ui/columns';
import { visibleRows } from '../src/ui/window';

describe('addresses', () => {
  it('name pages', () => {
    expect(match('/boxes/:id', '/boxes/box-a')).toEqual({ id: 'box-a' });
    expect(match('/boxes/:id', '/boxes/a%20b/')).toEqual({ id: 'a b' });
    expect(match('/', '/')).toEqual({});
    for (const path of ['/boxes', '/boxes/a/b', '/other/a', '/boxes/%', '/boxes//']) {
      expect(match('/boxes/:id', path), path).toBeNull();
    }
  });
});

describe('server-sent events', () => {
  it('are read whatever the pieces that they come in', () => {
    const text =
      ': hi\n\nid: r-1\nevent: box\ndata: {"a":1}\n\nid: r-2\r\ndata: x\r\ndata:  y\r\n\r\nevent: lost\n\n';
    for (let size = 1; size <= text.length; size += 1) {
      const parser = new Parser();
      const events = [];
      for (let at = 0; at < text.length; at += size) events.push(...parser.push(text.slice(at, at + size)));
      expect(events, `pieces of ${size}`).toEqual([
        { type: 'box', data: '{"a":1}' },
        { type: 'message', data: 'x\n y' },
      ]);
      expect(parser.lastId).toBe('r-2');
    }
  });
});

describe('numbers', () => {
  it('read as people say them', () => {
    expect([percent(0.314), percent(null), percent(NaN)]).toEqual(['31 %', '–', '–']);
    expect([bitrate(0), bitrate(940_000), bitrate(5_300_000), bitrate(24e6), bitrate(2.5e9)]).toEqual([
      '0 kbit/s',
      '940 kbit/s',
      '5.3 Mbit/s',
      '24 Mbit/s',
      '2.50 Gbit/s',
    ]);
    expect([bytes(12), bytes(2048), bytes(180 * 1024 ** 3)]).toEqual(['12 B', '2.0 KiB', '180 GiB']);
    expect([milliseconds(0.44), milliseconds(130), milliseconds(-4200), milliseconds(61_000)]).toEqual([
      '0.4 ms',
      '130 ms',
      '-4.2 s',
      '61 s',
    ]);
    expect([celsius(46.6), plural(1, 'box', 'boxes'), plural(5000, 'box', 'boxes')]).toEqual([
      '47 °C',
      '1 box',
      '5,000 boxes',
    ]);
  });
});

describe('times', () => {
  it('are told from now', () => {
    const now = Date.UTC(2026, 5, 1, 12);
    const before = (ms: number) => ago(now - ms, now);
    expect([before(0), before(-3000), before(12_000), before(125_000), before(7_300_000)]).toEqual([
      'just now',
      'just now',
      '12 s ago',
      '2 min ago',
      '2 h ago',
    ]);
    expect([before(90_000_000), before(200_000_000), before(-600_000)]).toEqual([
      '1 day ago',
      '2 days ago',
      'in 10 min',
    ]);
    expect(before(90 * 86_400_000)).toBe('3 Mar 2026');
    expect(ago(null, now)).toBe('–');
  });

  it('have lengths', () => {
    expect([
      duration(9_000),
      duration(249_000),
      duration(11_100_000),
      duration(187_200_000),
      duration(null),
    ]).toEqual(['9 s', '4 min 09 s', '3 h 05 min', '2 d 4 h', '–']);
    expect([clock(61_000), clock(3_849_000)]).toEqual(['1:01', '1:04:09']);
  });
});

describe('tables', () => {
  it('turn their order', () => {
    const name = { key: 'name', label: 'Name' };
    const load = { key: 'cpu', label: 'CPU', descendingFirst: true };
    expect([turned('', name), turned('name', name), turned('-name', name)]).toEqual([
      'name',
      '-name',
      'name',
    ]);
    expect([turned('name', load), turned('-cpu', load)]).toEqual(['-cpu', 'cpu']);
    expect([direction('-cpu', 'cpu'), direction('cpu', 'cpu'), direction('cpu', 'name')]).toEqual([
      'descending',
      'ascending',
      'none',
    ]);
  });

  it('draw what is near the window, wherever that is', () => {
    expect(visibleRows(0, 50, 100, 800)).toEqual({ first: 0, last: -1 });
    expect(visibleRows(5000, 50, 100, 800)).toEqual({ first: 0, last: 26 });
    expect(visibleRows(5000, 50, -100_000, 800)).toEqual({ first: 1988, last: 2028 });
    // Scrolled far beyond the end, as while a filter takes rows away.
    expect(visibleRows(10, 50, -100_000, 800)).toEqual({ first: 9, last: 9 });
    expect(visibleRows(10, 50, 5_000, 800)).toEqual({ first: 0, last: 0 });
  });
});
