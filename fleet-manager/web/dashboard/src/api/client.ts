// Talks to the REST API: JSON both ways, the CSRF token on everything that changes something.

import { ApiError, parseProblem, Unreachable } from './problem';

export type Query = Readonly<Record<string, string | number | boolean | null | undefined>>;

export interface Options {
  readonly query?: Query;
  readonly signal?: AbortSignal;
  /** Of a DELETE, which seldom has one. */
  readonly body?: unknown;
}

/** Server's clock less this machine's, so that "3 minutes ago" is right on a machine whose clock is not. */
export const serverClock = { offsetMs: 0 };

/** What a proxy says when the server behind it does not answer. */
const NO_SERVER: readonly number[] = [502, 504];

/** Longer than the slowest answer that anybody waits for; after it the connection is taken for dead. */
const TIMEOUT_MS = 20_000;

export class Client {
  /** Comes with the login; the server wants it on every request that is not a GET. */
  csrf: string | null = null;
  /** Called when the server no longer knows the session. */
  onUnauthorised: () => void = () => {};
  /** Called with each answer's outcome: whether the server could be reached. */
  onReach: (reached: boolean) => void = () => {};

  constructor(
    readonly base: string,
    private readonly fetcher: typeof fetch = (input, init) => fetch(input, init),
  ) {}

  get<T>(path: string, options: Options = {}): Promise<T> {
    return this.json<T>('GET', path, undefined, options);
  }

  post<T>(path: string, body?: unknown, options: Options = {}): Promise<T> {
    return this.json<T>('POST', path, body ?? {}, options);
  }

  put<T>(path: string, body: unknown, options: Options = {}): Promise<T> {
    return this.json<T>('PUT', path, body, options);
  }

  patch<T>(path: string, body: unknown, options: Options = {}): Promise<T> {
    return this.json<T>('PATCH', path, body, options);
  }

  delete<T = void>(path: string, options: Options = {}): Promise<T> {
    return this.json<T>('DELETE', path, options.body, options);
  }

  get clockOffsetMs(): number {
    return serverClock.offsetMs;
  }

  url(path: string, query: Query = {}): string {
    const parameters = new URLSearchParams();
    for (const [name, value] of Object.entries(query)) {
      if (value !== undefined && value !== null && value !== '') parameters.set(name, String(value));
    }
    const text = parameters.toString();
    return `${this.base}${path}${text === '' ? '' : `?${text}`}`;
  }

  private async json<T>(method: string, path: string, body: unknown, options: Options): Promise<T> {
    const headers = new Headers({ Accept: 'application/json, application/problem+json' });
    // A file goes as it is, with its own type.
    const file = body instanceof Blob ? body : null;
    if (body !== undefined) headers.set('Content-Type', file === null ? 'application/json' : file.type);
    if (method !== 'GET' && this.csrf !== null) headers.set('X-CSRF-Token', this.csrf);
    const timeout = AbortSignal.timeout(TIMEOUT_MS);
    let response: Response;
    let text: string;
    try {
      response = await this.fetcher(this.url(path, options.query), {
        method,
        headers,
        credentials: 'same-origin',
        cache: 'no-store',
        signal: options.signal === undefined ? timeout : AbortSignal.any([timeout, options.signal]),
        ...(body === undefined ? {} : { body: file ?? JSON.stringify(body) }),
      });
      text = await response.text();
    } catch (error) {
      if (options.signal?.aborted === true) throw error;
      this.onReach(false);
      throw new Unreachable(error);
    }
    if (NO_SERVER.includes(response.status)) {
      this.onReach(false);
      throw new Unreachable(`status ${response.status}`);
    }
    this.onReach(true);
    this.learnClock(response.headers.get('Date'));
    if (!response.ok) {
      const error = new ApiError(
        response.status,
        parseProblem(response.status, text),
        seconds(response.headers.get('Retry-After')),
      );
      // A wrong password is 401 as well; it is no news about the session.
      if (response.status === 401 && path !== '/login') this.onUnauthorised();
      throw error;
    }
    return (text === '' ? undefined : JSON.parse(text)) as T;
  }

  private learnClock(date: string | null): void {
    const at = date === null ? NaN : Date.parse(date);
    if (Number.isNaN(at)) return;
    // The header has whole seconds: what is below two of them is no difference.
    const offset = at + 500 - Date.now();
    serverClock.offsetMs = Math.abs(offset) < 2_000 ? 0 : offset;
  }
}

function seconds(header: string | null): number | null {
  const value = Number(header ?? NaN);
  return Number.isFinite(value) && value >= 0 ? value : null;
}

export const api = new Client('/api/v1');
