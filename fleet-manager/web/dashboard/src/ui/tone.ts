// What states look like, everywhere the same.

import type { AlertView, BoxState, ChannelView, CommandState, Health } from '../api/types';
import type { IconName } from './icons';

export type Tone = 'good' | 'warning' | 'critical' | 'live' | 'neutral' | 'busy';

export const TONE_ICON: Readonly<Record<Tone, IconName>> = {
  good: 'ok',
  warning: 'warning',
  critical: 'critical',
  live: 'live',
  neutral: 'info',
  busy: 'waiting',
};

export interface Status {
  readonly tone: Tone;
  readonly text: string;
  readonly icon?: IconName;
}

export function boxStatus(box: {
  readonly state: BoxState;
  readonly health: Health;
  readonly drain?: boolean;
}): Status {
  switch (box.state) {
    case 'revoked':
      return { tone: 'neutral', text: 'Revoked', icon: 'lock' };
    case 'never_seen':
      return { tone: 'neutral', text: 'Not seen yet', icon: 'waiting' };
    case 'offline':
      return { tone: 'critical', text: 'Offline', icon: 'offline' };
    case 'online':
      if (box.health === 'critical') return { tone: 'critical', text: 'Critical' };
      if (box.health === 'warning') return { tone: 'warning', text: 'Warning' };
      if (box.drain === true) return { tone: 'busy', text: 'Draining', icon: 'down' };
      return { tone: 'good', text: 'Online' };
  }
}

export function healthStatus(health: Health): Status {
  switch (health) {
    case 'ok':
      return { tone: 'good', text: 'Healthy' };
    case 'warning':
      return { tone: 'warning', text: 'Warning' };
    case 'critical':
      return { tone: 'critical', text: 'Critical' };
  }
}

export function channelStatus(state: ChannelView['state']): Status {
  switch (state) {
    case 'live':
      return { tone: 'live', text: 'Live' };
    case 'offline':
      return { tone: 'neutral', text: 'Offline', icon: 'offline' };
    case 'suspended':
      return { tone: 'warning', text: 'Suspended', icon: 'lock' };
  }
}

export function commandStatus(state: CommandState): Status {
  switch (state) {
    case 'queued':
      return { tone: 'neutral', text: 'Queued', icon: 'waiting' };
    case 'accepted':
      return { tone: 'busy', text: 'Accepted' };
    case 'running':
      return { tone: 'busy', text: 'Running', icon: 'restart' };
    case 'succeeded':
      return { tone: 'good', text: 'Succeeded' };
    case 'failed':
      return { tone: 'critical', text: 'Failed' };
    case 'expired':
      return { tone: 'warning', text: 'Expired', icon: 'clock' };
    case 'withdrawn':
      return { tone: 'neutral', text: 'Withdrawn', icon: 'close' };
  }
}

export function alertStatus(alert: Pick<AlertView, 'severity' | 'ended_ms'>): Status {
  if (alert.ended_ms !== null) return { tone: 'neutral', text: 'Over', icon: 'check' };
  return alert.severity === 'critical'
    ? { tone: 'critical', text: 'Critical' }
    : { tone: 'warning', text: 'Warning' };
}
