import { type Kysely, sql } from 'kysely';
import { SESSION_ENDED_BY, SESSION_OPEN, TOKEN_LIVES } from '../revocations/rule-store.ts';

export type SessionState = 'open' | 'expired' | 'revoked';

export type StoredSession = {
  id: string;
  clientId: string;
  /** The identity behind that name: another one when the name was declared anew. */
  agentId: string;
  kind: 'agent' | 'operator' | 'canary';
  zone: string;
  /** RFC 7638 thumbprint of its key. */
  jkt: string;
  openedEpoch: number;
  openedAt: Date;
  expiresAt: Date;
  state: SessionState;
  /** The first entry of the ledger that ended it. */
  endedBy: { id: string; epoch: number } | null;
};

export type SessionFilters = {
  clientId?: string | undefined;
  kind?: StoredSession['kind'] | undefined;
  zone?: string | undefined;
  state?: 'open' | 'ended' | undefined;
};

export type SessionStore = {
  /** Newest first, from the one before `after`; at most `atMost`. */
  list(filters: SessionFilters, page: { after: string | null; atMost: number }): Promise<StoredSession[]>;
  find(id: string): Promise<(StoredSession & { liveTokens: number }) | null>;
};

const COLUMNS = sql`
  s.id, s.client_id as "clientId", s.agent_id as "agentId", a.kind, s.zone, s.jkt,
  s.opened_epoch::float8 as "openedEpoch", s.opened_at as "openedAt", s.expires_at as "expiresAt",
  case when e.epoch is not null then 'revoked' when s.expires_at <= now() then 'expired' else 'open' end as state,
  case when e.epoch is not null then json_build_object('id', e.id, 'epoch', e.epoch) end as "endedBy"`;

const TABLES = sql`
  sessions s join agents a on a.id = s.agent_id
             left join revocations e on e.epoch = ${SESSION_ENDED_BY}`;

export function createSessionStore(database: Kysely<unknown>): SessionStore {
  return {
    async list({ clientId, kind, zone, state }, { after, atMost }) {
      const conditions = [
        ...(clientId === undefined ? [] : [sql`s.client_id = ${clientId}`]),
        ...(kind === undefined ? [] : [sql`a.kind = ${kind}`]),
        ...(zone === undefined ? [] : [sql`s.zone = ${zone}`]),
        ...(state === 'open' ? [SESSION_OPEN] : []),
        ...(state === 'ended' ? [sql`not ${SESSION_OPEN}`] : []),
        ...(after === null ? [] : [sql`s.id < ${after}`]),
      ];
      const { rows } = await sql<StoredSession>`
        select ${COLUMNS} from ${TABLES} where ${sql.join([sql`true`, ...conditions], sql` and `)}
         order by s.id desc limit ${atMost}
      `.execute(database);
      return rows;
    },

    async find(id) {
      const { rows } = await sql<StoredSession & { liveTokens: number }>`
        select ${COLUMNS},
               (select count(*) from tokens t
                 where t.hour >= floor(extract(epoch from now()) / 3600)::integer - 1 and t.session_id = s.id
                   and ${TOKEN_LIVES} and (t.call is null or t.consumed_at is null))::float8 as "liveTokens"
          from ${TABLES} where s.id = ${id}
      `.execute(database);
      return rows[0] ?? null;
    },
  };
}
