// Whether a stream key can still be used.

import type { KeyView } from '../../api/types';
import type { Status } from '../../ui/tone';

export interface KeyState extends Status {
  readonly valid: boolean;
}

export function keyState(key: Pick<KeyView, 'revoked_ms' | 'expires_at_ms'>, nowMs: number): KeyState {
  if (key.revoked_ms !== null) return { valid: false, tone: 'neutral', text: 'Revoked', icon: 'lock' };
  if (key.expires_at_ms !== null && key.expires_at_ms <= nowMs) {
    return { valid: false, tone: 'neutral', text: 'Expired', icon: 'clock' };
  }
  return { valid: true, tone: 'good', text: 'Valid' };
}
