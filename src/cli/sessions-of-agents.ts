/**
 * Which sessions are meant when nobody says: those of agents. Each command of an operator opens a session for itself
 * and ends it, and each self-test of the kill switch one for its canary; among them nobody would find what was looked for.
 */
export function sessionsOfAgents({
  agent,
}: Readonly<Record<string, unknown>>): Readonly<Record<string, string>> {
  return agent === undefined ? { kind: 'agent' } : {};
}
