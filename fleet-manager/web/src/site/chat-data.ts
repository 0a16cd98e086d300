// An account's own messages, all of them, at the chat service: a copy, and their erasure.

import { ApiError, parseProblem, Unreachable } from '../../dashboard/src/api/problem';
import { site } from './api';

const MESSAGES = '/chat/messages';
/** A long life's messages take a while to be gathered. */
const TIMEOUT_MS = 120_000;

/** The messages as the service writes them, JSON. */
export async function exportMessages(): Promise<Blob> {
  const { token } = await site.accountChatToken();
  const response = await ask('GET', token);
  return response.blob();
}

/** `token`: of an account that may be gone by now; without one, of whoever is signed in. */
export async function eraseMessages(token?: string): Promise<void> {
  await ask('DELETE', token ?? (await site.accountChatToken()).token);
}

async function ask(method: string, token: string): Promise<Response> {
  let response: Response;
  try {
    response = await fetch(MESSAGES, {
      method,
      headers: { Authorization: `Bearer ${token}`, Accept: 'application/json, application/problem+json' },
      cache: 'no-store',
      signal: AbortSignal.timeout(TIMEOUT_MS),
    });
  } catch (error) {
    throw new Unreachable(error);
  }
  if (response.status === 502 || response.status === 504) throw new Unreachable(`status ${response.status}`);
  if (!response.ok) throw new ApiError(response.status, parseProblem(response.status, await response.text()));
  return response;
}
