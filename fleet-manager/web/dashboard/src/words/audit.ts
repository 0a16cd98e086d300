// Entries of the audit log as sentences: `channel.suspend` on `channel/nodi` is “suspended channel nodi”.

const PAST: Readonly<Record<string, string>> = {
  create: 'created',
  make: 'made',
  add: 'added',
  update: 'changed',
  change: 'changed',
  edit: 'changed',
  set: 'set',
  rename: 'renamed',
  delete: 'deleted',
  remove: 'removed',
  suspend: 'suspended',
  resume: 'resumed',
  mint: 'made',
  rotate: 'rotated',
  revoke: 'revoked',
  withdraw: 'withdrew',
  approve: 'approved',
  reject: 'turned away',
  enrol: 'enrolled',
  renew: 'renewed',
  end: 'ended',
  issue: 'sent',
  send: 'sent',
  acknowledge: 'acknowledged',
  test: 'tested',
  disable: 'disabled',
  enable: 'enabled',
  reset: 'reset',
  upload: 'uploaded',
  init: 'set up',
  use: 'used',
  order: 'ordered',
  start: 'started',
  pause: 'paused',
  continue: 'continued',
  abort: 'aborted',
  halt: 'halted',
  done: 'finished',
  restore: 'restored',
};

/** Those that are sentences of their own. */
const WHOLE: Readonly<Record<string, string>> = {
  login: 'logged in',
  'login.ok': 'logged in',
  'login.failed': 'failed to log in',
  login_failed: 'failed to log in',
  'person.login': 'logged in',
  'person.login_failed': 'failed to log in',
  'person.logout': 'logged out',
  logout: 'logged out',
  'login.end': 'logged out another browser',
  'password.change': 'changed their own password',
  'box.settings': 'changed the settings of box',
  'fleet.settings': 'changed the fleet’s settings',
};

/** Of a rollout, where the verb alone would not say it. */
const ROLLOUTS: Readonly<Record<string, string>> = {
  gate: 'waits at the gate of rollout',
  advance: 'began the next stage of rollout',
  acknowledge: 'acknowledged failures of rollout',
};

/** Of a box; how one ended says the box itself, or the server on its behalf. */
const UPDATES: Readonly<Record<string, string>> = {
  order: 'ordered an update of box',
  withdraw: 'withdrew the update of box',
  confirmed: 'confirmed the update of box',
  rolled_back: 'rolled back the update of box',
  failed: 'gave up the update of box',
  expired: 'let the update expire of box',
  withdrawn: 'dropped the withdrawn update of box',
  silent: 'waited in vain for the update of box',
};

const THINGS: Readonly<Record<string, string>> = {
  key: 'stream key',
  stream_key: 'stream key',
  token: 'API token',
  claim_code: 'claim code',
  fleet: 'fleet settings',
  box: 'box',
  desired: 'settings',
};

export interface Deed {
  /** `suspended channel`. */
  verb: string;
  /** `nodi`. */
  target: string;
  /** Where the dashboard shows it, if it does. */
  href: string | null;
}

export function deed(action: string, target: string | null): Deed {
  const [kind, id] = splitTarget(target);
  const whole = WHOLE[action];
  if (whole !== undefined)
    return kind === 'box'
      ? { verb: whole, target: id, href: pageOf(kind, id) }
      : { verb: whole, target: '', href: null };
  const parts = action.split('.');
  if (parts[0] === 'update' && kind === 'box') {
    const how = (parts[1] ?? '').replaceAll('_', ' ');
    return {
      verb: UPDATES[parts[1] ?? ''] ?? `${how}: update of box`,
      target: id.split('/')[0] ?? '',
      href: pageOf(kind, id),
    };
  }
  if (parts[0] === 'command' && parts.length === 2 && parts[1] !== 'withdraw') {
    const what = (parts[1] ?? '').replaceAll('_', ' ');
    // The command's own id says nothing to anybody.
    return { verb: `sent “${what}” to ${kind}`, target: id.split('/')[0] ?? '', href: pageOf(kind, id) };
  }
  const verb = parts.at(-1) ?? '';
  const ofRollout = kind === 'rollout' ? ROLLOUTS[verb] : undefined;
  if (ofRollout !== undefined) return { verb: ofRollout, target: id, href: pageOf(kind, id) };
  const things = parts.slice(0, -1).map((part) => THINGS[part] ?? part.replaceAll('_', ' '));
  const past = PAST[verb] ?? verb.replaceAll('_', ' ');
  // `channel.key.mint`: the key is what was made, the channel is in the target.
  const thing = things.at(-1) ?? '';
  return { verb: `${past} ${thing}`.trim(), target: id, href: pageOf(kind, id) };
}

function splitTarget(target: string | null): [kind: string, id: string] {
  const slash = target?.indexOf('/') ?? -1;
  return target === null || slash < 0
    ? ['', target ?? '']
    : [target.slice(0, slash), target.slice(slash + 1)];
}

function pageOf(kind: string, id: string): string | null {
  const first = id.split('/')[0] ?? '';
  if (first === '') return null;
  if (kind === 'channel') return `/channels/${encodeURIComponent(first)}`;
  if (kind === 'box') return `/boxes/${encodeURIComponent(first)}`;
  if (kind === 'rollout') return `/software/rollouts/${encodeURIComponent(first)}`;
  if (kind === 'bundle') return '/software';
  return null;
}
