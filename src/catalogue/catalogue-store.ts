import { type Kysely, sql } from 'kysely';

/** What the database holds as the one active catalogue. */
export type AppliedCatalogue = {
  version: number;
  digest: string;
  /** Internal ids of the agents and operators that are declared now, by name. */
  agentIds: ReadonlyMap<string, string>;
};

export type CatalogueStore = {
  /** Version and agents in one snapshot; null before the first version was applied. */
  readApplied(): Promise<AppliedCatalogue | null>;
  readDocument(): Promise<{ version: number; document: unknown } | null>;
  /** Operators as a version declares them, unread; a version never changes. */
  readOperators(version: number): Promise<unknown[]>;
};

export function createCatalogueStore(database: Kysely<unknown>): CatalogueStore {
  return {
    async readApplied() {
      const { rows } = await sql<{ version: number; digest: string; agents: Record<string, string> }>`
        select version, digest,
               (select coalesce(json_object_agg(name, id), '{}') from agents where removed_at is null) as agents
          from catalogue_versions where active
      `.execute(database);
      const [row] = rows;
      if (row === undefined) return null;
      return { version: row.version, digest: row.digest, agentIds: new Map(Object.entries(row.agents)) };
    },

    async readDocument() {
      const { rows } = await sql<{ version: number; document: unknown }>`
        select version, document from catalogue_versions where active
      `.execute(database);
      return rows[0] ?? null;
    },

    async readOperators(version) {
      const { rows } = await sql<{ operators: unknown[] }>`
        select coalesce(document->'operators', '[]') as operators from catalogue_versions where version = ${version}
      `.execute(database);
      return rows[0]?.operators ?? [];
    },
  };
}
