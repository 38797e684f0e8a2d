/**
 * The switch's own statements, on the connection that is kept for them (L2): engaging and releasing are one statement
 * each, which decides by itself who may and what there is.
 */
import type { Pool } from 'pg';
import type { CommitStatement } from '../database/commit-wait.ts';
import { runStatement } from '../database/transaction.ts';
import type { Confirmed } from '../revocations/managed-change-store.ts';
import type { Clock } from '../time/clock.ts';
import { newIdentifier } from '../time/identifier.ts';
import { KILL_KINDS, type KillTarget } from './kill-target.ts';

export type SwitchChange = {
  reason: string;
  actor: string;
  requestId: string | undefined;
  /** Address that it came from. */
  source: string | undefined;
  idempotency: { key: string; requestDigest: string } | undefined;
};

export type Engagement =
  /** `engaged_before`: by this very request, which is sent again; `repeated`: it found one standing then, too. */
  | { outcome: 'engaged' | 'engaged_before' | 'standing' | 'repeated'; id: string; epoch: number }
  | { outcome: 'unknown_target' }
  | { outcome: 'other_request' };

export type Release =
  /** `repeated`: released by this very request, which is sent again. */
  | { outcome: 'released' | 'repeated' | 'released_before'; epoch: number }
  | { outcome: 'own' }
  | { outcome: 'unknown' }
  | { outcome: 'other_request' };

/** A switch as lists show it. */
export type SwitchRow = {
  id: string;
  epoch: number;
  target: KillTarget;
  reason: string;
  actor: string;
  at: Date;
  released: { epoch: number; reason: string; actor: string; at: string } | null;
};

export type SwitchFilters = {
  kind?: KillTarget['kind'] | undefined;
  state?: 'engaged' | 'released' | undefined;
};

export type KillSwitchStore = {
  engage(target: KillTarget, change: SwitchChange): Promise<Confirmed<Engagement>>;
  release(id: string, change: SwitchChange): Promise<Confirmed<Release>>;
  isTarget(target: KillTarget): Promise<boolean>;
  /** Newest first, from the one before `after`; at most `atMost`. */
  list(filters: SwitchFilters, page: { after: string | null; atMost: number }): Promise<SwitchRow[]>;
  find(id: string): Promise<SwitchRow | null>;
};

/** The address for the line that the rest of the statement writes; that refers to it, and so comes after it. */
const askedFrom = (source: string) =>
  `(select set_config('mayfly.source', coalesce(${source}, ''), true) as source) as asked cross join lateral`;

const ENGAGE = {
  name: 'kill_switch_engage',
  text: `select outcome, id, epoch::float8 as epoch
           from ${askedFrom('$11')} engage_kill_switch(
             $1, $2, $3, $4, $5, $6, case when asked.source is not null then $7 end, $8, $9, $10)`,
};

const RELEASE = {
  name: 'kill_switch_release',
  text: `select outcome, epoch::float8 as epoch
           from ${askedFrom('$10')} release_kill_switch(
             $1, $2, $3, $4, $5, case when asked.source is not null then $6 end, $7, $8, $9)`,
};

/** Standing entries that are no quarantines, each with the entry that released it. */
const SWITCHES = `
select r.id, r.epoch::float8 as epoch, r.kind, r.target, r.reason, r.actor, r.created_at as at,
       case when l.epoch is not null then json_build_object(
         'epoch', l.epoch, 'reason', l.reason, 'actor', l.actor, 'at', l.created_at) end as released
  from revocations r left join revocations l on l.releases = r.epoch
 where r.standing and r.kind = any ('{${KILL_KINDS.join(',')}}')
   and not exists (select from quarantines q where q.epoch = r.epoch)`;

type StoredSwitch = Omit<SwitchRow, 'target'> & { kind: KillTarget['kind']; target: string };

export function createKillSwitchStore({
  killSwitch,
  pool,
  clock,
}: {
  /** On the reserved connection. */
  killSwitch: CommitStatement;
  /** For everything that only reads. */
  pool: Pool;
  clock: Clock;
}): KillSwitchStore {
  const named = ({ idempotency, actor }: SwitchChange) =>
    idempotency === undefined ? [null, null, null] : [actor, idempotency.key, idempotency.requestDigest];

  return {
    async engage(target, change) {
      const { reason, actor, requestId } = change;
      const [kind, id] = columnsOf(target);
      const { rows, replicated } = await killSwitch<Engagement>({
        ...ENGAGE,
        values: [
          newIdentifier('rev', clock),
          kind,
          id,
          reason,
          actor,
          newIdentifier('aud', clock),
          requestId ?? null,
          ...named(change),
          change.source ?? null,
        ],
      });
      return { ...theOnly(rows), replicated };
    },

    async release(id, change) {
      const { reason, actor, requestId } = change;
      const { rows, replicated } = await killSwitch<Release>({
        ...RELEASE,
        values: [
          id,
          newIdentifier('rev', clock),
          reason,
          actor,
          newIdentifier('aud', clock),
          requestId ?? null,
          ...named(change),
          change.source ?? null,
        ],
      });
      return { ...theOnly(rows), replicated };
    },

    async isTarget(target) {
      const { rows } = await runStatement<{ known: boolean }>(pool, {
        text: 'select is_kill_target($1, $2) as known',
        values: columnsOf(target),
      });
      return theOnly(rows).known;
    },

    async list({ kind, state }, { after, atMost }) {
      const { rows } = await runStatement<StoredSwitch>(pool, {
        text: `${SWITCHES}
           and ($1::text is null or r.kind = $1)
           and ($2::text is null or (r.released_epoch is null) = ($2 = 'engaged'))
           and ($3::text is null or r.epoch < (select c.epoch from revocations c where c.id = $3))
         order by r.epoch desc limit $4`,
        values: [kind ?? null, state ?? null, after, atMost],
      });
      return rows.map(switchOf);
    },

    async find(id) {
      const { rows } = await runStatement<StoredSwitch>(pool, {
        text: `${SWITCHES} and r.id = $1`,
        values: [id],
      });
      return rows[0] === undefined ? null : switchOf(rows[0]);
    },
  };
}

/** The kind and the name that the ledger has for it. */
function columnsOf(target: KillTarget): [kind: string, id: string] {
  return [target.kind, target.kind === 'all' ? '' : target.id];
}

function switchOf({ kind, target, ...row }: StoredSwitch): SwitchRow {
  return { ...row, target: kind === 'all' ? { kind } : { kind, id: target } };
}

function theOnly<Row>(rows: readonly Row[]): Row {
  const [row] = rows;
  if (row === undefined) throw new Error('a statement that answers with one row answered with none');
  return row;
}
