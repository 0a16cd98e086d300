import { afterAll, beforeAll, describe, expect, it } from 'vitest';

import { Client } from '../src/api/client';
import { ApiError, explain, parseProblem, sentence, Unreachable } from '../src/api/problem';
import { Fixture } from '../test/fixture/server';

describe('the client', () => {
  let fixture: Fixture;
  let client: Client;
  beforeAll(async () => {
    fixture = await Fixture.start({ boxes: 3 });
    client = new Client(`${fixture.url}/api/v1`);
  });
  afterAll(() => fixture.stop());

  it('sends the CSRF token with what changes something', async () => {
    await expect(client.put('/fleet/settings', { expected_version: 4, settings: {} })).rejects.toMatchObject({
      status: 403,
    });
    client.csrf = 'fixture-token';
    await client.put('/fleet/settings', { expected_version: 4, settings: {} });
    expect(fixture.world.fleet.version).toBe(5);
  });

  it('leaves empty parameters out', () => {
    expect(client.url('/boxes', { q: '', state: null, health: undefined, page: 2, active: false })).toBe(
      `${client.base}/boxes?page=2&active=false`,
    );
  });

  it('tells an error of the server from no server', async () => {
    const error: unknown = await client.get('/boxes/nobody').catch((thrown: unknown) => thrown);
    expect(error).toBeInstanceOf(ApiError);
    expect(sentence(error)).toBe('Not found: there is no box nobody');
    const gone = new Client('http://127.0.0.1:9/api/v1');
    let reached = true;
    gone.onReach = (now) => (reached = now);
    await expect(gone.get('/me')).rejects.toBeInstanceOf(Unreachable);
    expect(reached).toBe(false);
  });

  it('takes a proxy without a server behind it for no server', async () => {
    const seen: [string | null, unknown][] = [];
    const behind = new Client('/api/v1', (_, init) => {
      seen.push([new Headers(init?.headers).get('Content-Type'), init?.body]);
      return Promise.resolve(new Response('<html>Bad Gateway</html>', { status: 502 }));
    });
    await expect(behind.get('/me')).rejects.toBeInstanceOf(Unreachable);
    const file = new Blob(['x'], { type: 'image/png' });
    await expect(behind.post('/pictures', file)).rejects.toBeInstanceOf(Unreachable);
    await expect(behind.delete('/me', { body: { a: 1 } })).rejects.toBeInstanceOf(Unreachable);
    expect(seen).toEqual([
      [null, undefined],
      ['image/png', file],
      ['application/json', '{"a":1}'],
    ]);
  });

  it('hears of the end of the session, but not from a wrong password', async () => {
    let ended = 0;
    client.onUnauthorised = () => (ended += 1);
    await expect(client.post('/login', { name: 'ada', password: 'no' })).rejects.toMatchObject({
      status: 401,
    });
    expect(ended).toBe(0);
    fixture.loggedIn = false;
    await expect(client.get('/me')).rejects.toMatchObject({ status: 401 });
    expect(ended).toBe(1);
  });
});

describe('problems', () => {
  it('are read with what is of use in them', () => {
    expect(parseProblem(422, '{"title":"No","detail":"too long","field":"name","extra":1}')).toEqual({
      status: 422,
      title: 'No',
      detail: 'too long',
      field: 'name',
    });
    expect(parseProblem(502, '<html>Bad Gateway</html>')).toEqual({ status: 502 });
    expect(parseProblem(500, 'null')).toEqual({});
  });

  it('say what to do', () => {
    expect(explain(new ApiError(429, {}, 1)).detail).toBe('Try again in 1 second.');
    expect(explain(new ApiError(429, {}, 300)).detail).toBe('Try again in 5 minutes.');
    expect(explain(new ApiError(503, {})).detail).toBe('It answered 503. Try again.');
    expect(explain(new ApiError(409, {})).title).toBe('Somebody was quicker');
    expect(explain(new TypeError('oops')).detail).toBe('oops');
  });
});
