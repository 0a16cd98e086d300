// What the moderation log says was done, as the verb of a sentence: who did it stands before, to whom after.

const DID: Readonly<Record<string, string>> = {
  delete: 'deleted a message of',
  purge: 'deleted all messages of',
  clear: 'cleared the chat',
  timeout: 'timed out',
  untimeout: 'ended the time-out of',
  ban: 'banned',
  unban: 'unbanned',
  allow: 'let through a message of',
  deny: 'turned down a message of',
  block: 'blocked the term',
  unblock: 'unblocked the term',
  mod: 'made a moderator of',
  unmod: 'ended the moderation of',
  raid: 'saw a raid',
};

/** What a later service may add is said in its own word; a setting speaks for itself. */
export function didWords(action: string): string {
  return Object.hasOwn(DID, action) ? (DID[action] ?? action) : `set ${action.replaceAll('_', ' ')}`;
}
