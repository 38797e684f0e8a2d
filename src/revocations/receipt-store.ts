/** What receipts are made of: written once by whoever comes first after the commit, never taken back (L20). */
import type { Pool } from 'pg';
import { runStatement } from '../database/transaction.ts';
import type { ReceiptAws, SettledEntry } from './receipt.ts';
import type { TargetKind } from './revocation.ts';

export type ReceiptStore = {
  /**
   * Brings what is known of an entry up to date: its commit time, who was live, who has applied it. In statements
   * that begin after the call, so to be called after `COMMIT` returned.
   * @param replicated whether a commit at or after the entry's was confirmed by the standby
   */
  settle(epoch: number, options: { replicated: boolean }): Promise<void>;
  /** @returns null when there is no such entry, or nobody has settled it */
  find(epoch: number): Promise<SettledEntry | null>;
  epochOf(id: string): Promise<number | null>;
  /** Brings up to date what nobody asks for, before what it is made of is forgotten. */
  settleOutstanding(): Promise<void>;
};

/** What clocks may run apart while the longest lease lasts, and an answer may take to be read. */
export const STOP_MARGIN_SECONDS = 1;

const SETTLE = { name: 'receipt_settle', text: 'select settle_receipt($1, $2, $3, $4)' };

const MAX_OUTSTANDING = 200;

const SETTLE_OUTSTANDING = {
  text: `
select settle_receipt(o.epoch, false, $1, $2)
  from (select distinct i.epoch from receipt_instances i
         where i.applied_at is null and i.stops_at > now() - interval '1 hour'
         order by i.epoch desc limit ${MAX_OUTSTANDING}) as o`,
};

/** Milliseconds of a timestamp, rounded up: later is safe to say. */
const up = (column: string) => `ceil(extract(epoch from ${column}) * 1000)::float8`;

const FIND = {
  name: 'receipt_find',
  text: `
select r.id, r.epoch::float8 as epoch, r.generation, r.digest, r.kind, r.target, r.standing,
       r.releases::float8 as releases, r.reason, r.actor, ${up('r.created_at')} as at,
       ${up('p.committed_at')} as committed_at, p.replicated, ${up('p.unlisted_stop_at')} as unlisted_stop_at,
       p.replicated
         and not exists (select from revocation_head h
                          where h.moved_at + make_interval(secs => $2) > clock_timestamp())
         and not exists (select from receipt_instances o
                          where o.epoch = r.epoch and o.applied_at is null and o.stops_at > clock_timestamp()) as complete,
       (select coalesce(json_agg(json_build_array(i.instance, i.resource, ${up('i.applied_at')}, ${up('i.stops_at')})
                                 order by i.instance), '[]')
          from receipt_instances i where i.epoch = r.epoch) as instances,
       p.aws_stated, ${up('p.aws_unlisted_until')} as aws_unlisted_until,
       (select coalesce(json_agg(json_build_array(a.role_arn, a.credentials, ${up('a.live_until')},
                                                     a.deny, ${up('a.put_at')}, ${up('a.failed_at')})
                                 order by a.role_arn), '[]')
          from receipt_aws_roles a where a.epoch = r.epoch) as aws_roles
  from revocations r join receipts p on p.epoch = r.epoch
 where r.epoch = $1`,
};

type ReceiptRow = {
  id: string;
  epoch: number;
  generation: number;
  digest: Buffer;
  kind: TargetKind;
  target: string;
  standing: boolean;
  releases: number | null;
  reason: string;
  actor: string;
  at: number;
  committed_at: number;
  replicated: boolean;
  unlisted_stop_at: number | null;
  complete: boolean;
  instances: [instance: string, resource: string, applied: number | null, stops: number][];
  aws_stated: boolean;
  aws_unlisted_until: number | null;
  aws_roles: [
    roleArn: string,
    credentials: number,
    liveUntil: number,
    isDenied: boolean,
    put: number | null,
    failed: number | null,
  ][];
};

/** @param longestLeaseSeconds that was ever granted */
export function createReceiptStore(
  pool: Pool,
  { longestLeaseSeconds }: { longestLeaseSeconds: number },
): ReceiptStore {
  return {
    async settle(epoch, { replicated }) {
      await runStatement(pool, {
        ...SETTLE,
        values: [epoch, replicated, longestLeaseSeconds, STOP_MARGIN_SECONDS],
      });
    },
    async find(epoch) {
      const { rows } = await runStatement<ReceiptRow>(pool, {
        ...FIND,
        values: [epoch, longestLeaseSeconds + STOP_MARGIN_SECONDS],
      });
      return rows[0] === undefined ? null : settledOf(rows[0]);
    },
    async settleOutstanding() {
      await runStatement(pool, { ...SETTLE_OUTSTANDING, values: [longestLeaseSeconds, STOP_MARGIN_SECONDS] });
    },
    async epochOf(id) {
      const { rows } = await runStatement<{ epoch: number }>(pool, {
        text: 'select epoch::float8 as epoch from revocations where id = $1',
        values: [id],
      });
      return rows[0]?.epoch ?? null;
    },
  };
}

function settledOf({
  instances,
  kind,
  target,
  releases,
  unlisted_stop_at: unlisted,
  ...row
}: ReceiptRow): SettledEntry {
  return {
    id: row.id,
    epoch: row.epoch,
    generation: row.generation,
    digest: row.digest.toString('base64url'),
    target: kind === 'all' ? { kind } : { kind, id: target },
    standing: row.standing,
    ...(releases === null ? {} : { releases }),
    reason: row.reason,
    actor: row.actor,
    at: momentOf(row.at),
    committed_at: momentOf(row.committed_at),
    replicated: row.replicated,
    ...(unlisted === null ? {} : { unlisted_stop_at: momentOf(unlisted) }),
    complete: row.complete,
    verifiers: instances.map(([instance, resource, applied, stops]) => ({
      instance,
      resource,
      ...(applied === null ? { stops_at: momentOf(stops) } : { applied_at: momentOf(applied) }),
    })),
    ...(row.aws_stated ? { aws: awsOf(row) } : {}),
  };
}

function awsOf({
  aws_unlisted_until: unlisted,
  aws_roles: roles,
}: Pick<ReceiptRow, 'aws_unlisted_until' | 'aws_roles'>): ReceiptAws {
  return {
    credentials: roles.reduce((sum, [, credentials]) => sum + credentials, 0),
    ...(roles.length === 0 ? {} : { live_until: momentOf(Math.max(...roles.map(([, , until]) => until))) }),
    ...(unlisted === null ? {} : { unlisted_live_until: momentOf(unlisted) }),
    roles: roles.map(([role_arn, credentials, until, ...deny]) => ({
      role_arn,
      credentials,
      live_until: momentOf(until),
      deny: denyOf(...deny),
    })),
  };
}

type ReceiptDeny = ReceiptAws['roles'][number]['deny'];

function denyOf(isWanted: boolean, put: number | null, failed: number | null): ReceiptDeny {
  if (!isWanted) return { state: 'none' };
  if (put !== null) return { state: 'put', put_at: momentOf(put) };
  return failed === null ? { state: 'wanted' } : { state: 'failed', failed_at: momentOf(failed) };
}

function momentOf(milliseconds: number): string {
  return new Date(milliseconds).toISOString();
}
