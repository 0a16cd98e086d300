// The kinds of alert, as people say them.

const NAMES: Readonly<Record<string, readonly [title: string, when: string]>> = {
  box_offline: ['Box offline', 'A box has gone silent'],
  too_hot: ['Too hot', 'A box is close to the temperature at which it slows down'],
  throttling: ['Slowed down', 'A box holds its clocks down'],
  disk_filling: ['Disk filling', 'A box runs out of disk'],
  encoder_full: ['Encoder full', 'A box cannot take another stream'],
  uplink_lag: ['Uplink behind', 'A box’s line does not keep up'],
  input_unhealthy: ['Unhealthy input', 'A streamer sends something that viewers notice'],
  certificate_expiring: ['Certificate near its end', 'A box has not renewed its certificate'],
  command_silent: ['Command without an answer', 'A box did not report what became of a command'],
  rollout_halted: ['Rollout halted', 'A rollout waits for somebody: too much failed'],
  test: ['Test', 'Sent from the dashboard'],
};

/** Those that a webhook can ask for. */
export const ALERT_KINDS: readonly string[] = Object.keys(NAMES).filter((kind) => kind !== 'test');

export function alertTitle(kind: string): string {
  return NAMES[kind]?.[0] ?? spelled(kind);
}

export function alertMeaning(kind: string): string {
  return NAMES[kind]?.[1] ?? '';
}

export function spelled(code: string): string {
  const words = code.replaceAll(/[_.]+/g, ' ').trim();
  return words === '' ? 'Unknown' : words.charAt(0).toUpperCase() + words.slice(1);
}
