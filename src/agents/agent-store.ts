import { type Kysely, sql } from 'kysely';
import { SESSION_OPEN } from '../revocations/rule-store.ts';

export type StoredAgent = {
  id: string;
  name: string;
  kind: 'agent' | 'operator' | 'canary';
  createdAt: Date;
  /** When the catalogue ceased to declare it. */
  removedAt: Date | null;
  /** Standing entries that name it: nothing is minted for it until each of them is released. */
  stoppedBy: { id: string; epoch: number; quarantine: boolean; reason: string; actor: string; at: string }[];
  openSessions: number;
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
};

/** Standing entries are few: they are looked at one by one. */
const STOPPED = sql`exists (
  select from revocations v
   where v.standing and v.released_epoch is null and v.key in ('agent:' || a.name, 'subject:' || a.id))`;

const COLUMNS = sql`
  a.id, a.name, a.kind, a.created_at as "createdAt", a.removed_at as "removedAt",
  (select coalesce(json_agg(json_build_object('id', v.id, 'epoch', v.epoch, 'quarantine', q.epoch is not null,
                                              'reason', v.reason, 'actor', v.actor, 'at', v.created_at)
                            order by v.epoch), '[]')
     from revocations v left join quarantines q on q.epoch = v.epoch
    where v.standing and v.released_epoch is null and v.key in ('agent:' || a.name, 'subject:' || a.id)
  ) as "stoppedBy"`;

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
        select ${withSessions} from agents a where ${sql.join(conditions, sql` and `)}
         order by a.id desc limit ${atMost}
      `.execute(database);
      return rows;
    },

    async find(nameOrId) {
      const { rows } = await sql<StoredAgent>`
        select ${withSessions} from agents a
         where a.id = ${nameOrId} or (a.name = ${nameOrId} and a.removed_at is null)
      `.execute(database);
      return rows[0] ?? null;
    },
  };
}
