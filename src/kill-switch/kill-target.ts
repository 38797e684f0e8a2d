/**
 * What the kill switch can stop. A target is spelled out: what is empty, misspelt or unknown is refused, and never
 * means everything.
 */
import { z } from 'zod';
import type { Catalogue } from '../catalogue/catalogue.ts';

/** What names can be made of: nothing else is looked up. */
const name = z
  .string()
  .max(512)
  .regex(/^[\x21-\x7e]+$/);

export const KILL_KINDS = ['all', 'zone', 'agent', 'action', 'resource', 'subject'] as const;

export const killTargetSchema = z.union([
  z.strictObject({ kind: z.literal('all') }),
  z.strictObject({ kind: z.enum(['zone', 'agent', 'action', 'resource', 'subject']), id: name }),
]);

export type KillTarget = z.infer<typeof killTargetSchema>;

/** How many agents it keeps from doing what they do, as policy has them. */
export function agentsStopped(target: KillTarget, { agents, resources }: Catalogue): number {
  const all = [...agents.values()];
  switch (target.kind) {
    case 'all':
      return all.length;
    case 'zone':
      return all.filter(({ zone }) => zone === target.id).length;
    case 'action':
      return all.filter(({ may }) => may.includes(target.id)).length;
    case 'resource': {
      const actions = resources.get(target.id)?.actions ?? [];
      return all.filter(({ may }) => may.some((action) => actions.includes(action))).length;
    }
    case 'agent':
    case 'subject':
      return 1;
  }
}
