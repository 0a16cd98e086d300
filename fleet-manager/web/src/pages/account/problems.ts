// Answers to a password that was typed to confirm something.

import { ApiError } from '../../../dashboard/src/api/problem';

/** What is wrong with the current password, when that is what the server minds. */
export function passwordProblem(error: unknown): string | null {
  if (!(error instanceof ApiError)) return null;
  if (error.field === 'current_password') return error.message;
  return error.status === 401 || error.status === 403 ? 'This is not your password.' : null;
}
