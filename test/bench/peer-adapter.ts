/**
 * Postgres under oidc-provider, the way its documentation asks for: one table, one statement a call, an expired
 * row is as good as none. To its favour the statements are prepared, and nothing is ever cleaned up.
 */
import type { Pool } from 'pg';

const SCHEMA = [
  `create table oidc_payloads (
     id text not null, type text not null, payload jsonb not null, grant_id text, user_code text, uid text,
     expires_at timestamptz, consumed_at timestamptz, primary key (id, type))`,
  'create index on oidc_payloads (grant_id) where grant_id is not null',
  'create index on oidc_payloads (user_code, type) where user_code is not null',
  'create index on oidc_payloads (uid, type) where uid is not null',
];

const UPSERT = `
  insert into oidc_payloads (id, type, payload, grant_id, user_code, uid, expires_at)
  values ($1, $2, $3, $4, $5, $6, now() + make_interval(secs => $7))
  on conflict (id, type) do update
     set payload = excluded.payload, grant_id = excluded.grant_id, user_code = excluded.user_code,
         uid = excluded.uid, expires_at = excluded.expires_at`;

const findBy = (column: string) => `
  select payload, consumed_at from oidc_payloads
   where ${column} = $1 and type = $2 and (expires_at is null or expires_at > now())`;

type Payload = Record<string, unknown> & { grantId?: string; userCode?: string; uid?: string };
type Stored = { payload: Payload; consumed_at: Date | null };

export async function createPeerTables(pool: Pool): Promise<void> {
  for (const statement of SCHEMA) await pool.query(statement);
}

/** @param type the model, e.g. `ReplayDetection` */
export function createPeerAdapter(pool: Pool, type: string) {
  async function findWhere(column: 'id' | 'uid' | 'user_code', value: string): Promise<Payload | undefined> {
    const { rows } = await pool.query<Stored>({
      name: `find_by_${column}`,
      text: findBy(column),
      values: [value, type],
    });
    const [stored] = rows;
    if (stored === undefined) return undefined;
    return stored.consumed_at === null ? stored.payload : { ...stored.payload, consumed: true };
  }

  async function change(name: string, text: string, values: readonly unknown[]): Promise<void> {
    await pool.query({ name, text, values: [...values] });
  }

  return {
    find: (id: string) => findWhere('id', id),
    findByUid: (uid: string) => findWhere('uid', uid),
    findByUserCode: (userCode: string) => findWhere('user_code', userCode),
    upsert: (id: string, payload: Payload, expiresIn: number | undefined) => {
      const { grantId = null, userCode = null, uid = null } = payload;
      return change('upsert', UPSERT, [id, type, payload, grantId, userCode, uid, expiresIn ?? null]);
    },
    consume: (id: string) =>
      change('consume', 'update oidc_payloads set consumed_at = now() where id = $1 and type = $2', [
        id,
        type,
      ]),
    destroy: (id: string) =>
      change('destroy', 'delete from oidc_payloads where id = $1 and type = $2', [id, type]),
    revokeByGrantId: (grantId: string) =>
      change('revoke', 'delete from oidc_payloads where grant_id = $1', [grantId]),
  };
}
