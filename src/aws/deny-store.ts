/** Which denies are wanted on which roles, and what came of them: statements on connections that are everybody's. */
import type { Pool } from 'pg';
import { runStatement } from '../database/transaction.ts';
import { STOP_MARGIN_SECONDS } from '../revocations/receipt-store.ts';
import type { TargetKind } from '../revocations/revocation.ts';
import type { Denied } from './deny-policy.ts';

/** A role on which something is to be denied, or was. */
export type RoleState = {
  roleArn: string;
  denied: readonly Denied[];
  /** Epochs of those that no receipt calls put yet. */
  open: readonly number[];
  /** Of the policy that stands there; '' for none, null when nobody knows. */
  policySha256: string | null;
  /** How long ago that was found out. */
  checkedSecondsAgo: number;
  failures: number;
};

export type DenyStore = {
  /** Gives receipts to entries that call for a deny. @returns how many entries were looked at */
  note(): Promise<number>;
  roles(): Promise<RoleState[]>;
  /** @returns null when there is nothing about it any more */
  role(roleArn: string): Promise<RoleState | null>;
  /** @returns whether the role is this lease's now */
  lease(roleArn: string, lease: string): Promise<boolean>;
  release(roleArn: string, lease: string): Promise<void>;
  /**
   * What IAM has taken, with a line of the record where it is another policy than before.
   * @param done.entries how many entries of the ledger it stands for
   * @returns false when the lease had ended: then nobody knows what stands there
   */
  put(done: {
    roleArn: string;
    lease: string;
    policySha256: string;
    epochs: readonly number[];
    entries: number;
    auditId: string;
  }): Promise<boolean>;
  fail(failure: {
    roleArn: string;
    lease: string;
    error: string;
    pauseMilliseconds: number;
    unknown: boolean;
    epochs: readonly number[];
  }): Promise<void>;
  /** Roles on which the last attempt failed. */
  failing(): Promise<number>;
};

/** So far AWS's clock may be behind: what has ended stays denied for that long. */
const CLOCK_MARGIN_SECONDS = 60;
/** Longer than everything that is asked of IAM with it may take. */
const LEASE_SECONDS = 30;
const MAX_ENTRIES = 1_000;
/** More would not fit anyway: then the wide policy takes their place. */
const MAX_TOKENS = 300;

const ROLES = `
with wanted as (
  select r.role_arn, r.epoch, v.kind, v.target, r.put_at,
         case when v.kind in ('action', 'subject', 'signing-key') then (
           select coalesce(json_agg(t.token_id), '[]') from (
             select distinct c.token_id from aws_credentials c
              where c.role_arn = r.role_arn and c.keys @> array[v.key] and (c.epoch < v.epoch or v.kind = 'signing-key')
                and c.withdrawn_at is null and c.expires_at > now() - make_interval(secs => $1)
              order by c.token_id limit ${MAX_TOKENS}) as t) end as tokens
    from receipt_aws_roles r join revocations v on v.epoch = r.epoch
   where r.deny and r.live_until > now() - make_interval(secs => $1)
), role as (
  select w.role_arn from wanted w
  union select d.role_arn from aws_role_denies d where d.policy_sha256 is distinct from '' or d.failures > 0
)
select r.role_arn as "roleArn",
       (select coalesce(json_agg(json_build_array(w.epoch, w.kind, w.target, w.tokens, w.put_at is null) order by w.epoch), '[]')
          from wanted w where w.role_arn = r.role_arn) as entries,
       case when d.role_arn is null then '' else d.policy_sha256 end as "policySha256",
       coalesce(extract(epoch from clock_timestamp() - d.checked_at), 0)::float8 as "checkedSecondsAgo",
       coalesce(d.failures, 0) as failures
  from role r left join aws_role_denies d on d.role_arn = r.role_arn
 where $2::text is null or r.role_arn = $2`;

type RoleRow = Omit<RoleState, 'denied' | 'open'> & {
  entries: [epoch: number, kind: TargetKind, target: string, tokens: string[] | null, isOpen: boolean][];
};

/** @param longestLeaseSeconds that was ever granted to a verifier */
export function createDenyStore(
  pool: Pool,
  { longestLeaseSeconds }: { longestLeaseSeconds: number },
): DenyStore {
  const run = <Row extends object>(text: string, values: unknown[]) =>
    runStatement<Row>(pool, { text, values });

  async function read(roleArn: string | null): Promise<RoleState[]> {
    const { rows } = await run<RoleRow>(ROLES, [CLOCK_MARGIN_SECONDS, roleArn]);
    return rows.map(({ entries, ...role }) => ({
      ...role,
      denied: entries.map(([epoch, kind, target, tokens]) => ({ epoch, kind, target, tokens })),
      open: entries.filter(([, , , , isOpen]) => isOpen).map(([epoch]) => epoch),
    }));
  }

  return {
    async note() {
      const { rows } = await run<{ looked: number }>('select note_aws_denies($1, $2, $3) as looked', [
        MAX_ENTRIES,
        longestLeaseSeconds,
        STOP_MARGIN_SECONDS,
      ]);
      return rows[0]?.looked ?? 0;
    },

    roles: () => read(null),

    async role(roleArn) {
      const [role = null] = await read(roleArn);
      return role;
    },

    async release(roleArn, lease) {
      await run('select release_aws_role($1, $2)', [roleArn, lease]);
    },

    async lease(roleArn, lease) {
      const { rows } = await run<{ leased: boolean }>('select lease_aws_role($1, $2, $3) as leased', [
        roleArn,
        lease,
        LEASE_SECONDS,
      ]);
      return rows[0]?.leased ?? false;
    },

    async put({ roleArn, lease, policySha256, epochs, entries, auditId }) {
      const values = [roleArn, lease, policySha256, epochs, auditId, entries];
      const call = 'select put_aws_denies($1, $2, $3, $4, $5, $6) as counts';
      const { rows } = await run<{ counts: boolean }>(call, values);
      return rows[0]?.counts ?? false;
    },

    async fail({ roleArn, lease, error, pauseMilliseconds, unknown, epochs }) {
      const values = [roleArn, lease, error, Math.round(pauseMilliseconds), unknown, epochs];
      await run('select fail_aws_denies($1, $2, $3, $4, $5, $6)', values);
    },

    async failing() {
      const { rows } = await run<{ failing: number }>(
        'select count(*)::integer as failing from aws_role_denies d where d.failures > 0',
        [],
      );
      return rows[0]?.failing ?? 0;
    },
  };
}
