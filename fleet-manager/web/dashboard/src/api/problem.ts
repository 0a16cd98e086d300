// What went wrong with a request, in words for the person in front of the page.

/** RFC 9457, as the server sends it. */
export interface Problem {
  readonly type?: string;
  readonly title?: string;
  readonly status?: number;
  readonly detail?: string;
  /** The input that the server did not like. */
  readonly field?: string;
}

export class ApiError extends Error {
  constructor(
    readonly status: number,
    readonly problem: Problem,
    /** Seconds after which it may be tried again, where the server says. */
    readonly retryAfterS: number | null = null,
  ) {
    super(problem.detail ?? problem.title ?? `The server answered ${status}.`);
    this.name = 'ApiError';
  }

  get field(): string | null {
    return this.problem.field ?? null;
  }
}

/** No answer: no network, or the server is down. */
export class Unreachable extends Error {
  constructor(cause: unknown) {
    super(`${wording.server} does not answer.`, { cause });
    this.name = 'Unreachable';
  }
}

export function parseProblem(status: number, body: string): Problem {
  try {
    const value: unknown = JSON.parse(body);
    if (typeof value !== 'object' || value === null) return {};
    const text = (name: string) => {
      const found = (value as Record<string, unknown>)[name];
      return typeof found === 'string' && found !== '' ? { [name]: found } : {};
    };
    return { status, ...text('type'), ...text('title'), ...text('detail'), ...text('field') };
  } catch {
    return { status }; // A proxy's page.
  }
}

/** What the page calls things in its errors; another site that uses these building blocks says it in its own words. */
export const wording = {
  server: 'The fleet server',
  /** What goes on although the server does not answer. */
  meanwhile: 'Streams go on meanwhile.',
  signedOut: 'You are not logged in',
  forbidden: 'Ask an administrator for a role that may.',
  conflict: 'Somebody was quicker',
};

export interface Explanation {
  readonly title: string;
  /** What to do, or what the server said. */
  readonly detail: string;
}

/** A sentence that says what happened, and one that says what next. */
export function explain(error: unknown): Explanation {
  if (error instanceof Unreachable) {
    return {
      title: `${wording.server} does not answer`,
      detail: `Check the connection. ${wording.meanwhile}`,
    };
  }
  if (!(error instanceof ApiError)) {
    return {
      title: 'Something went wrong in this page',
      detail: error instanceof Error ? error.message : String(error),
    };
  }
  const said = error.problem.detail ?? error.problem.title ?? '';
  switch (error.status) {
    case 401:
      return { title: wording.signedOut, detail: said };
    case 403:
      return { title: 'You may not do this', detail: said || wording.forbidden };
    case 404:
      return { title: 'Not found', detail: said || 'It may have been deleted meanwhile.' };
    case 409:
      return { title: wording.conflict, detail: said || 'It was changed meanwhile: look at it again.' };
    case 422:
    case 400:
      return { title: 'The server did not accept this', detail: said };
    case 429:
      return { title: 'Too many tries', detail: waitFor(error.retryAfterS) };
    default:
      return error.status >= 500
        ? {
            title: `${wording.server} has a problem`,
            detail: said || `It answered ${error.status}. Try again.`,
          }
        : { title: 'That did not work', detail: said || `The server answered ${error.status}.` };
  }
}

function waitFor(seconds: number | null): string {
  if (seconds === null) return 'Wait a moment, then try again.';
  if (seconds < 90) return `Try again in ${seconds} ${seconds === 1 ? 'second' : 'seconds'}.`;
  return `Try again in ${Math.ceil(seconds / 60)} minutes.`;
}

/** Both sentences in one, for a toast. */
export function sentence(error: unknown): string {
  const { title, detail } = explain(error);
  return detail === '' ? `${title}.` : `${title}: ${detail}`;
}
