// Chat commands, for completion and help. The service knows what they mean; a button sends the same thing as an action.
// Those about a message take its id, which nobody types: for these there are only buttons here.

import { atLeast, type Role } from './protocol';

export interface Command {
  /** Without the slash. */
  readonly name: string;
  /** What comes after it; `[…]` can be left out. */
  readonly usage: string;
  readonly help: string;
  readonly role: Role;
}

export const COMMANDS: readonly Command[] = [
  { name: 'me', usage: 'text', help: 'Says it as an action', role: 'viewer' },
  { name: 'help', usage: '[command]', help: 'Lists the commands', role: 'viewer' },
  {
    name: 'timeout',
    usage: 'name 10m [reason]',
    help: 'Silences somebody for 1 second to 14 days',
    role: 'moderator',
  },
  { name: 'untimeout', usage: 'name', help: 'Ends a time-out', role: 'moderator' },
  {
    name: 'ban',
    usage: 'name [reason]',
    help: 'Silences somebody until it is taken back',
    role: 'moderator',
  },
  { name: 'unban', usage: 'name', help: 'Ends a ban', role: 'moderator' },
  { name: 'purge', usage: 'name', help: 'Takes all messages of somebody away', role: 'moderator' },
  { name: 'clear', usage: '', help: 'Takes all messages away', role: 'moderator' },
  { name: 'slow', usage: '10', help: 'Lets everybody speak once in so many seconds', role: 'moderator' },
  { name: 'slowoff', usage: '', help: 'Ends slow mode', role: 'moderator' },
  {
    name: 'followers',
    usage: '[10m]',
    help: 'Lets only followers speak, who have followed for so long',
    role: 'moderator',
  },
  { name: 'followersoff', usage: '', help: 'Ends followers-only mode', role: 'moderator' },
  { name: 'subscribers', usage: '', help: 'Lets only subscribers speak', role: 'moderator' },
  { name: 'subscribersoff', usage: '', help: 'Ends subscribers-only mode', role: 'moderator' },
  { name: 'emoteonly', usage: '', help: 'Lets nothing be said but emotes', role: 'moderator' },
  { name: 'emoteonlyoff', usage: '', help: 'Ends emote-only mode', role: 'moderator' },
  { name: 'unique', usage: '', help: 'Lets nothing be said twice in a minute', role: 'moderator' },
  { name: 'uniqueoff', usage: '', help: 'Ends unique chat', role: 'moderator' },
  {
    name: 'chat',
    usage: 'on|off',
    help: 'Turns the chat on or off for all but moderators',
    role: 'moderator',
  },
  {
    name: 'raidshield',
    usage: 'on|off',
    help: 'Holds what newcomers say while a burst of them comes in',
    role: 'moderator',
  },
  { name: 'links', usage: 'allow|hold|refuse', help: 'Says what becomes of links', role: 'moderator' },
  {
    name: 'block',
    usage: '[hold|refuse] term',
    help: 'Holds or refuses messages with a term',
    role: 'moderator',
  },
  { name: 'unblock', usage: 'term', help: 'Blocks a term no more', role: 'moderator' },
  { name: 'terms', usage: '', help: 'Lists the blocked terms', role: 'moderator' },
  { name: 'held', usage: '', help: 'Lists the messages that wait for a decision', role: 'moderator' },
  { name: 'restricted', usage: '', help: 'Lists who is timed out or banned', role: 'moderator' },
  { name: 'log', usage: '', help: 'Shows the moderation log', role: 'moderator' },
  { name: 'who', usage: 'name', help: 'Tells what is known of somebody', role: 'moderator' },
  { name: 'mods', usage: '', help: 'Lists the moderators', role: 'moderator' },
  { name: 'mod', usage: 'name', help: 'Makes somebody a moderator', role: 'streamer' },
  { name: 'unmod', usage: 'name', help: 'Takes that back', role: 'moderator' },
];

export function commandsFor(role: Role): Command[] {
  return COMMANDS.filter((command) => atLeast(role, command.role));
}

/** The command that a text gives, if it begins with one that this role has. */
export function commandOf(text: string, role: Role): Command | null {
  const name = /^\/([a-z]+)(\s|$)/i.exec(text)?.[1]?.toLowerCase();
  return commandsFor(role).find((command) => command.name === name) ?? null;
}
