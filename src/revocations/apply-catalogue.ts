/**
 * Makes a reviewed catalogue the active one. Runs as the owner of the database, never as a broker: so nobody who
 * takes over a broker can widen what agents may do.
 */
import { type Kysely, sql } from 'kysely';
import { type Catalogue, catalogueFromDocument } from '../catalogue/catalogue.ts';
import { createCatalogueStore } from '../catalogue/catalogue-store.ts';
import { isRetryable } from '../database/database-error.ts';
import type { Clock } from '../time/clock.ts';
import { newIdentifier } from '../time/identifier.ts';
import { type FollowingRevocation, revocationsOf } from './catalogue-revocations.ts';

export type Application = {
  version: number;
  /** False when the version was the active one already. */
  changed: boolean;
  revocations: readonly FollowingRevocation[];
};

const MAX_ATTEMPTS = 5;

/**
 * @param owner a connection as `mayfly_owner`
 * @param actor who applies it, for the record
 */
export async function applyCatalogue(options: {
  owner: Kysely<unknown>;
  catalogue: Catalogue;
  actor: string;
  clock: Clock;
}): Promise<Application> {
  for (let attempt = 1; ; attempt += 1) {
    try {
      return await applyOnce(options);
    } catch (error) {
      if (attempt === MAX_ATTEMPTS || !isRetryable(error)) throw error;
    }
  }
}

async function applyOnce(options: {
  owner: Kysely<unknown>;
  catalogue: Catalogue;
  actor: string;
  clock: Clock;
}): Promise<Application> {
  const { owner, catalogue, actor, clock } = options;
  const active = await createCatalogueStore(owner).readDocument();
  const before = active === null ? null : catalogueFromDocument(active.document);
  if (active !== null && before?.digest === catalogue.digest) {
    return { version: active.version, changed: false, revocations: [] };
  }
  const revocations = before === null ? [] : revocationsOf(before, catalogue);
  const { added, removed } = identityChanges(before, catalogue);
  const { rows } = await sql<{ version: number }>`
    select apply_catalogue(
      ${active?.version ?? null}::integer, ${catalogue.digest}, ${JSON.stringify(catalogue.document)}::jsonb, ${actor},
      ${JSON.stringify(added.map((identity) => withId(identity, clock)))}::jsonb,
      ${removed.map(({ name }) => name)}::text[],
      ${JSON.stringify(revocations.map((revocation) => asRow(revocation, clock)))}::jsonb,
      ${newIdentifier('aud', clock)}) as version
  `.execute(owner);
  return { version: rows[0]?.version ?? 0, changed: true, revocations };
}

type Identity = { kind: 'agent' | 'operator'; name: string };

/** An agent that becomes an operator of the same name is somebody else, and so is one that comes back. */
function identityChanges(
  before: Catalogue | null,
  after: Catalogue,
): { added: Identity[]; removed: Identity[] } {
  return {
    added: identitiesOf(after).filter((identity) => !isDeclared(identity, before)),
    removed: before === null ? [] : identitiesOf(before).filter((identity) => !isDeclared(identity, after)),
  };
}

function identitiesOf({ agents, operators }: Catalogue): Identity[] {
  return [
    ...[...agents.keys()].map((name): Identity => ({ kind: 'agent', name })),
    ...[...operators.keys()].map((name): Identity => ({ kind: 'operator', name })),
  ];
}

function isDeclared({ kind, name }: Identity, catalogue: Catalogue | null): boolean {
  return (kind === 'agent' ? catalogue?.agents : catalogue?.operators)?.has(name) ?? false;
}

function withId(identity: Identity, clock: Clock): Identity & { id: string } {
  return { id: newIdentifier(identity.kind === 'agent' ? 'agt' : 'opr', clock), ...identity };
}

function asRow({ target, reason }: FollowingRevocation, clock: Clock) {
  return {
    id: newIdentifier('rev', clock),
    kind: target.kind,
    target: target.kind === 'all' ? '' : target.id,
    reason,
    audit_id: newIdentifier('aud', clock),
  };
}
