// Why a bundle was not taken, and what to do.

import { ApiError, explain, type Explanation } from '../../api/problem';

const TITLES: Readonly<Record<number, readonly [title: string, what: string]>> = {
  409: ['This bundle is there already', 'Nothing has to be uploaded.'],
  413: ['This file is too large', 'The server’s configuration says how large a bundle may be.'],
  422: ['This is not a bundle that the server can read', 'Is it the .raucb file that the build made?'],
  507: ['The server has no room for it', 'Delete a bundle that nobody needs any more, then try again.'],
};

export function uploadProblem(error: unknown): Explanation {
  if (error instanceof ApiError && (error.field === 'version' || error.field === 'compatible')) {
    return {
      title: 'The bundle does not say what it is',
      detail: 'Its manifest cannot be read here: fill in what it would say, then try again.',
    };
  }
  const known = error instanceof ApiError ? TITLES[error.status] : undefined;
  if (known === undefined || !(error instanceof ApiError)) return explain(error);
  const said = error.problem.detail ?? '';
  return { title: known[0], detail: said === '' ? known[1] : `${capital(said)} ${known[1]}` };
}

function capital(text: string): string {
  const trimmed = text.trim().replace(/^./, (letter) => letter.toUpperCase());
  return /[.!?…]$/.test(trimmed) ? trimmed : `${trimmed}.`;
}
