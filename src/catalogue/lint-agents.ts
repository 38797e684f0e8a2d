/** The lint rule about one agent: read-and-destructive. Wildcards are found while names are read. */
import type { LintFinding } from './lint-finding.ts';
import type { ActionDeclaration } from './read-action.ts';
import type { AgentDeclaration } from './read-agent.ts';

export type OfferedAction = ActionDeclaration & { audience: string };

/** @param actions every declared action by name */
export function lintAgent(
  { may }: AgentDeclaration,
  actions: ReadonlyMap<string, OfferedAction>,
): LintFinding[] {
  const granted = may.flatMap(({ action }) => actions.get(action) ?? []);
  const read = granted.filter(({ effect }) => effect === 'read');
  const audiences = new Set(read.map(({ audience }) => audience));
  return [...audiences].flatMap((audience) => {
    const [destructive] = granted.filter((action) => isDestructiveAt(action, audience));
    if (destructive === undefined) return [];
    const [readable] = read.filter((action) => action.audience === audience);
    return [
      {
        rule: 'read-and-destructive',
        steps: ['may'],
        subject: audience,
        message: `expected an agent that either reads or destroys at ${audience}, found ${readable?.name} and ${destructive.name}`,
        fix: 'Give one of the two to another agent.',
      },
    ];
  });
}

function isDestructiveAt({ effect, audience }: OfferedAction, wanted: string): boolean {
  return effect === 'destructive' && audience === wanted;
}
