// Commands in words: what they are called, and what will happen.

import type { Action, CommandView } from '../api/types';
import { exact } from '../format/time';
import { bytes } from '../format/units';
import type { IconName } from '../ui/icons';

export type Kind = Action['kind'];

const PROCESSES: Readonly<Record<string, string>> = {
  ingest: 'ingest (takes streams in)',
  uplink: 'uplink (sends streams out)',
  agent: 'agent (talks to this server)',
};

export function commandIcon(kind: Kind): IconName {
  const icons: Readonly<Record<Kind, IconName>> = {
    restart_process: 'restart',
    reboot: 'power',
    identify: 'bulb',
    end_session: 'stop',
    collect_logs: 'logs',
    self_test: 'test',
    measure_uplink: 'gauge',
  };
  return icons[kind];
}

/** `Reboot`, `Restart ingest`, with what it is about. */
export function commandTitle(action: Action): string {
  switch (action.kind) {
    case 'restart_process':
      return `Restart ${action.process}`;
    case 'reboot':
      return 'Reboot';
    case 'identify':
      return `Identify for ${action.seconds} s`;
    case 'end_session':
      return 'End a stream';
    case 'collect_logs':
      return 'Collect logs';
    case 'self_test':
      return 'Self-test';
    case 'measure_uplink':
      return `Measure the uplink with ${bytes(action.bytes)}`;
  }
}

export function commandDetail(action: Action): string | null {
  switch (action.kind) {
    case 'collect_logs':
      return `${exact(action.since_ms)} to ${exact(action.until_ms)}`;
    case 'end_session':
      return action.reason === '' ? action.session : `${action.session}: ${action.reason}`;
    default:
      return null;
  }
}

/** What will happen, for the question before it. `live`: streams on the box now. */
export function consequences(action: Action, live: number): readonly string[] {
  const streams = live === 1 ? 'The live stream' : `All ${live} live streams`;
  const ends = live === 0 ? [] : [`${streams} on this box will be interrupted.`];
  switch (action.kind) {
    case 'restart_process': {
      const name = PROCESSES[action.process] ?? action.process;
      if (action.process === 'ingest') {
        return [
          `The box restarts ${name}.`,
          ...ends,
          'Encoders reconnect by themselves, and viewers go on within seconds.',
        ];
      }
      if (action.process === 'uplink') {
        return [
          `The box restarts ${name}.`,
          'It goes on from its journal: nothing is lost, viewers may wait for a moment.',
        ];
      }
      return [`The box restarts ${name}.`, 'Streams go on. The box is offline here for a few seconds.'];
    }
    case 'reboot':
      return [
        ...ends,
        'The box is offline for a minute or two.',
        ...(live === 0 ? [] : ['Encoders reconnect by themselves, to another box if there is one.']),
      ];
    case 'identify':
      return [`The box makes itself known to whoever stands in front of it, for ${action.seconds} seconds.`];
    case 'end_session':
      return [
        'The stream ends, and its encoder is told why.',
        'The streamer may begin again unless the key is revoked.',
      ];
    case 'collect_logs':
      return [
        'The box sends its log of this time as one compressed file.',
        'It may hold names of channels and addresses of streamers.',
      ];
    case 'self_test':
      return [
        'The box encodes a picture of its own for some seconds and looks at what comes out.',
        ...(live === 0 ? [] : ['It takes encoder time beside the live streams.']),
      ];
    case 'measure_uplink':
      return [
        `The box sends ${bytes(action.bytes)} to this server as fast as its line carries them.`,
        ...(live === 0 ? [] : ['Live streams on this box may stutter meanwhile.']),
      ];
  }
}

export function isFinal(command: Pick<CommandView, 'state'>): boolean {
  return command.state !== 'queued' && command.state !== 'accepted' && command.state !== 'running';
}

/** Measurements as lines: `bits_per_s: 1200` reads as it comes; objects within are one line per member. */
export function resultLines(result: unknown): readonly (readonly [string, string])[] {
  if (result === null || result === undefined) return [];
  if (typeof result !== 'object') return [['Result', String(result)]];
  return Object.entries(result as Record<string, unknown>).flatMap(([name, value]) => {
    const label = name.replace(/_/g, ' ').replace(/^./, (letter) => letter.toUpperCase());
    if (value !== null && typeof value === 'object' && !Array.isArray(value)) {
      return resultLines(value).map(([inner, text]) => [`${label}, ${inner.toLowerCase()}`, text] as const);
    }
    if (typeof value === 'number' && /(_bps|_bit_s|bits_per_s)$/.test(name)) {
      return [[label, `${(value / 1e6).toFixed(1)} Mbit/s`] as const];
    }
    if (typeof value === 'number' && name.endsWith('bytes')) return [[label, bytes(value)] as const];
    return [
      [label, Array.isArray(value) ? value.map((item) => text(item)).join(', ') : text(value)] as const,
    ];
  });
}

function text(value: unknown): string {
  if (value === null || value === undefined) return '–';
  if (typeof value === 'boolean') return value ? 'yes' : 'no';
  if (typeof value === 'number')
    return Number.isInteger(value) ? value.toLocaleString('en-GB') : String(Number(value.toFixed(3)));
  return typeof value === 'object' ? JSON.stringify(value) : String(value as string);
}
