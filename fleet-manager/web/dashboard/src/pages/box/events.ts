// A box's events in words.

import type { UpdateState } from '../../api/software';
import type { BoxEvent } from '../../api/types';
import { day, duration } from '../../format/time';
import { bytes } from '../../format/units';
import type { IconName } from '../../ui/icons';
import { TONE_ICON, type Tone } from '../../ui/tone';
import { updateStatus } from '../../words/software';

export interface EventWords {
  readonly icon: IconName;
  readonly tone: Tone;
  readonly title: string;
  readonly detail: string;
}

export function eventWords(what: BoxEvent): EventWords {
  const text = (name: string) => {
    const value = what[name];
    return typeof value === 'string' ? value : typeof value === 'number' ? String(value) : '';
  };
  const number = (name: string) => {
    const value = what[name];
    return typeof value === 'number' ? value : 0;
  };
  switch (what.kind) {
    case 'booted':
      return { icon: 'power', tone: 'neutral', title: 'Started', detail: `Software ${text('version')}` };
    case 'session_started':
      return {
        icon: 'live',
        tone: 'live',
        title: `${text('channel')} went live`,
        detail: text('encoder') === '' ? '' : `With ${text('encoder')}`,
      };
    case 'session_ended':
      return {
        icon: 'stop',
        tone: 'neutral',
        title: `${text('channel')} ended`,
        detail: `${text('reason')} · ${duration(number('seconds') * 1000)} · ${bytes(number('received_bytes'))}`,
      };
    case 'process_restarted':
      return {
        icon: 'restart',
        tone: 'warning',
        title: `${text('process')} was restarted`,
        detail: `${number('count')} times since the box started`,
      };
    case 'clock_stepped': {
      const by = number('by_ms');
      return {
        icon: 'clock',
        tone: 'warning',
        title: `The clock was set ${by < 0 ? 'back' : 'forward'}`,
        detail: `By ${duration(Math.abs(by))}`,
      };
    }
    case 'certificate_renewed':
      return {
        icon: 'certificate',
        tone: 'good',
        title: 'Certificate renewed',
        detail: `Good until ${day(number('not_after_ms'))}`,
      };
    case 'certificate_renewal_failed':
      return {
        icon: 'certificate',
        tone: 'critical',
        title: 'Certificate not renewed',
        detail: text('reason'),
      };
    case 'update_ended': {
      const state = text('state') as UpdateState;
      const status = updateStatus(state);
      return {
        icon: status.icon ?? TONE_ICON[status.tone],
        tone: status.tone,
        title:
          state === 'confirmed'
            ? `Updated to ${text('to')}`
            : `Update to ${text('to')}: ${status.text.toLowerCase()}`,
        detail: [text('from') === '' ? '' : `From ${text('from')}`, text('message')]
          .filter((part) => part !== '')
          .join(' · '),
      };
    }
    case 'dropped':
      return {
        icon: 'warning',
        tone: 'warning',
        title: 'The box gave up what it could not keep',
        detail: `${number('telemetry')} measurements, ${number('events')} events`,
      };
    default:
      // A newer box says something that this page does not know: as it came.
      return {
        icon: 'info',
        tone: 'neutral',
        title: what.kind.replace(/_/g, ' ').replace(/^./, (letter) => letter.toUpperCase()),
        detail: Object.entries(what)
          .filter(([name]) => !['kind', 'at_ms', 'received_ms'].includes(name))
          .map(([name, value]) => `${name.replace(/_/g, ' ')}: ${String(value)}`)
          .join(' · '),
      };
  }
}
