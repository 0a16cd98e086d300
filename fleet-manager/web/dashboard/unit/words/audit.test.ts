import { describe, expect, it } from 'vitest';

import { deed } from '../../src/words/audit';

describe('deed', () => {
  it('is a sentence about a thing', () => {
    expect(deed('channel.suspend', 'channel/nodi')).toEqual({
      verb: 'suspended channel',
      target: 'nodi',
      href: '/channels/nodi',
    });
    expect(deed('box.approve', 'box/box-abc')).toMatchObject({
      verb: 'approved box',
      href: '/boxes/box-abc',
    });
    expect(deed('channel.key.mint', 'channel/nodi/3')).toEqual({
      verb: 'made stream key',
      target: 'nodi/3',
      href: '/channels/nodi',
    });
  });

  it('names commands by what they do', () => {
    expect(deed('command.end_session', 'box/box-abc/command/01JD')).toEqual({
      verb: 'sent “end session” to box',
      target: 'box-abc',
      href: '/boxes/box-abc',
    });
    expect(deed('fleet.settings', 'fleet/settings').verb).toBe('changed the fleet’s settings');
  });

  it('shows what it does not know as it is', () => {
    expect(deed('moon.move_closer', 'moon/1')).toEqual({ verb: 'move closer moon', target: '1', href: null });
    expect(deed('odd', null)).toEqual({ verb: 'odd', target: '', href: null });
  });

  it('leaves out the person of a log-in, who is the actor', () => {
    expect(deed('login.failed', 'person/mina')).toEqual({ verb: 'failed to log in', target: '', href: null });
  });
});
