/**
 * The policy file of an agent that does not exist yet. What its author did not say is left empty, so that
 * `mayfly scopes check` asks for it: a guess would pass the review unread.
 */
import type { NamedJwk } from './keys.ts';
import { ACTION_NAME, NAME, OWNER, TITLE } from './names.ts';
import { complaint, keyInYaml, said } from './new-declaration.ts';
import { SESSION_SECONDS } from './read-agent.ts';

export type NewAgent = {
  name: string;
  title: string | undefined;
  owner: string | undefined;
  zone: string | undefined;
  sessionSeconds: number;
  may: readonly string[];
  key: NamedJwk;
};

/** What is wrong with what was said, one sentence each. */
export function checkNewAgent(agent: NewAgent): string[] {
  const { name, title, owner, zone, sessionSeconds, may } = agent;
  return [
    complaint('name', NAME, name),
    complaint('title', TITLE, title),
    complaint('owner', OWNER, owner),
    complaint('zone', NAME, zone),
    complaint('session_seconds', SESSION_SECONDS, sessionSeconds),
    ...may.map((action) => complaint('action', ACTION_NAME, action)),
  ].filter((found) => found !== null);
}

export function newAgentYaml({ name, title, owner, zone, sessionSeconds, may, key }: NewAgent): string {
  const grants = [...new Set(may)].map((action) => `\n  - ${action}`).join('');
  return `# Made by "mayfly agent new". Review every line: this is all that the agent may ever ask for.
agent: ${name}
title: ${said(title, 'what it does, in plain words')}
owner: ${said(owner, 'the team or person that answers for it')}
zone: ${said(zone, 'one of the zones in zones.yaml')}
keys:
  - ${keyInYaml(key)}
session_seconds: ${sessionSeconds} # how long one run may last
may:${grants === '' ? ' [] # like [db:read:customers]' : grants}
`;
}
