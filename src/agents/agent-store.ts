import { type Kysely, sql } from 'kysely';
import { SESSION_OPEN } from '../revocations/rule-store.ts';

export type StoredAgent = {
  id: string;
  name: string;
  kind: 'agent' | 'operator' | 'canary';
  createdAt: Date;
  /** When the catalogue ceased to declare it. */
  removedAt: Date | null;
  /** Standing entries that hit all of it, by its name or wide: nothing is minted for it until each is released. */
  stoppedBy: StoppingEntry[];
  /** Standing entries that stop some of the actions it may ask for, by their name or at their resource. */
  partlyStoppedBy: StoppingEntry[];
  openSessions: number;
};

export type StoppingEntry = {
  id: string;
  epoch: number;
  kind: string;
  target: string;
  quarantine: boolean;
  reason: string;
  actor: string;
  at: string;
};

export type AgentFilters = {
  kind?: 'agent' | 'operator' | 'canary' | undefined;
  stopped?: boolean | undefined;
};

export type AgentStore = {
  /** Those that are declared now, the newest first, from the one before `after`; at most `atMost`. */
  list(filters: AgentFilters, page: { after: string | null; atMost: number }): Promise<StoredAgent[]>;
  /** By name, if it is declared now, or by id. */
  find(nameOrId: string): Promise<StoredAgent | null>;
  /** What stops the one that is declared by this name; null when the applied catalogue declares none. */
  standing(name: string): Promise<Pick<StoredAgent, 'id' | 'stoppedBy' | 'partlyStoppedBy'> | null>;
};

/** Standing entries, which are few and looked at one by one; and of the applied catalogue what they may hit. */
const WITH = sql`
with standing as materialized (
  select v.*, q.epoch is not null as quarantine
    from revocations v left join quarantines q on q.epoch = v.epoch
   where v.standing and v.released_epoch is null
), declared as materialized (
  select d->>'name' as name, d->>'zone' as zone, d->'may' as may
    from catalogue_versions c, jsonb_array_elements(c.document->'agents') as d
   where c.active
), offered as materialized (
  select r->>'audience' as audience, o->>'name' as name
    from catalogue_versions c, jsonb_array_elements(c.document->'resources') as r,
         jsonb_array_elements(r->'actions') as o
   where c.active and exists (select from standing where kind = 'resource')
)`;

/** What is revoked wide passes operators by (L4). */
const HITS = sql`(v.key in ('agent:' || a.name, 'subject:' || a.id)
                  or a.kind <> 'operator' and v.key in ('all', 'zone:' || d.zone))`;

const HITS_IN_PART = sql`(v.kind = 'action' and d.may ? v.target
                          or v.kind = 'resource' and exists (
                               select from offered o where o.audience = v.target and d.may ? o.name))`;

const STOPPED = sql`exists (select from standing v where ${HITS})`;

const entriesThat = (hit: typeof HITS) => sql`
  (select coalesce(json_agg(json_build_object('id', v.id, 'epoch', v.epoch, 'kind', v.kind, 'target', v.target,
                                              'quarantine', v.quarantine, 'reason', v.reason, 'actor', v.actor,
                                              'at', v.created_at) order by v.epoch), '[]')
     from standing v where ${hit})`;

const COLUMNS = sql`
  a.id, a.name, a.kind, a.created_at as "createdAt", a.removed_at as "removedAt",
  ${entriesThat(HITS)} as "stoppedBy", ${entriesThat(HITS_IN_PART)} as "partlyStoppedBy"`;

const TABLES = sql`agents a left join declared d on d.name = a.name and a.kind = 'agent'`;

export function createAgentStore(database: Kysely<unknown>): AgentStore {
  const withSessions = sql`${COLUMNS},
    (select count(*) from sessions s where s.agent_id = a.id and ${SESSION_OPEN})::float8 as "openSessions"`;
  return {
    async list({ kind, stopped }, { after, atMost }) {
      const conditions = [
        sql`a.removed_at is null`,
        ...(kind === undefined ? [] : [sql`a.kind = ${kind}`]),
        ...(stopped === undefined ? [] : [stopped ? STOPPED : sql`not ${STOPPED}`]),
        ...(after === null ? [] : [sql`a.id < ${after}`]),
      ];
      const { rows } = await sql<StoredAgent>`
        ${WITH} select ${withSessions} from ${TABLES} where ${sql.join(conditions, sql` and `)}
         order by a.id desc limit ${atMost}
      `.execute(database);
      return rows;
    },

    async find(nameOrId) {
      const { rows } = await sql<StoredAgent>`
        ${WITH} select ${withSessions} from ${TABLES}
         where a.id = ${nameOrId} or (a.name = ${nameOrId} and a.removed_at is null)
      `.execute(database);
      return rows[0] ?? null;
    },

    async standing(name) {
      const { rows } = await sql<StoredAgent>`
        ${WITH} select ${COLUMNS} from ${TABLES} where a.name = ${name} and a.removed_at is null
      `.execute(database);
      return rows[0] ?? null;
    },
  };
}
