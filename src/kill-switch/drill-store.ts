import type { Pool } from 'pg';
import { runStatement } from '../database/transaction.ts';
import { STOP_MARGIN_SECONDS } from '../revocations/receipt-store.ts';
import {
  type Canary,
  type Drill,
  type DrillNews,
  type DrillResult,
  type DrillTally,
  type DrillVerifier,
  MISSES_THAT_COUNT,
  NO_NEWS,
  PRESENT_SECONDS,
} from './drill.ts';

export type DrillStore = {
  /**
   * @returns the drill that is under way now, which is the new one unless there was one; null when one began less
   *   than `pauseSeconds` ago
   */
  start(drill: { id: string; by: string; pauseSeconds: number }): Promise<string | null>;
  addCanaries(drillId: string, canaries: readonly Canary[]): Promise<void>;
  /** The canaries are out: who renews its lease has to judge them, who does not is noted as absent. */
  publish(drillId: string, sessionId: string): Promise<void>;
  /** @returns the epoch, or null when it is over */
  revoke(drillId: string, entry: { id: string; auditId: string }): Promise<number | null>;
  /** How many live instances have not accepted their canary yet, and how many of those that did have not refused it. */
  outstanding(drillId: string): Promise<{ accept: number; refuse: number; over: boolean }>;
  /** To be asked when all has been said: notes who has stopped, and who does not renew any more. */
  tally(drillId: string): Promise<DrillTally[]>;
  note(heard: readonly (readonly [canary: string, instance: string, outcome: string])[]): Promise<void>;
  /** @param outcome.missed audiences of the resources that a failed drill missed; null is all */
  finish(
    drillId: string,
    outcome: { result: DrillResult; because: string | null; missed: string[] | null },
  ): Promise<void>;
  /** Whether something wide is stopped now: then canaries are refused for a good reason. */
  isHeld(): Promise<boolean>;
  find(drillId: string): Promise<Drill | null>;
  findLast(): Promise<Drill | null>;
  news(): Promise<DrillNews>;
};

/** A drill that takes longer has been left by whoever ran it. */
const LONGEST_SECONDS = 60;

/** Or it came back, and said something of a canary: then it has to refuse it like everybody. */
const WAS_ASKED = '(not v.absent or v.accepted_at is not null)';

const FIND = `
select d.id, d.started_at as "startedAt", d.started_by as "startedBy", d.epoch::float8 as epoch,
       d.revoked_at as "revokedAt", d.finished_at as "finishedAt", d.result, d.because,
       (select coalesce(json_agg(json_build_object('instance', v.instance, 'resource', v.resource,
                 'acceptedAt', v.accepted_at, 'refusedAt', v.refused_at, 'absent', v.absent, 'stopsAt', v.stops_at,
                 'stoppedAt', v.stopped_at) order by v.instance), '[]')
          from drill_verifiers v where v.drill_id = d.id) as verifiers,
       (select coalesce(json_agg(distinct c.resource order by c.resource), '[]')
          from canaries c
         where c.drill_id = d.id and d.finished_at is not null and not exists (
           select from drill_verifiers v
            where v.drill_id = d.id and v.resource = c.resource
              and (v.refused_at is not null or (${WAS_ASKED} and v.stops_at is null and v.stopped_at is null)))) as untested
  from drills d`;

const NEWS = {
  name: 'drill_news',
  text: `
with last as (
  select d.id, d.result, extract(epoch from clock_timestamp() - d.finished_at)::float8 as age
    from drills d where d.finished_at is not null order by d.started_at desc limit 1
), good as (
  select d.id, extract(epoch from clock_timestamp() - d.finished_at)::float8 as age, d.revoked_at
    from drills d where d.result <> 'failed' order by d.started_at desc limit 1
), recent as (
  select d.id, d.result, d.missed
    from drills d where d.finished_at is not null and d.result <> 'held'
   order by d.started_at desc limit ${MISSES_THAT_COUNT}
), missed as (
  select m.resource from recent r, unnest(r.missed) as m (resource)
   group by m.resource having count(distinct r.id) = (select count(*) from recent x where x.missed is not null)
)
select (select coalesce(json_agg(json_build_object('id', c.id, 'resource', c.resource, 'kid', c.kid, 'claims', c.claims)), '[]')
          from drills d join canaries c on c.drill_id = d.id
         where d.finished_at is null and d.minted_at > clock_timestamp() - interval '${LONGEST_SECONDS} seconds') as canaries,
       (select json_build_object('id', l.id, 'result', l.result, 'ageSeconds', l.age) from last l) as last,
       (select g.age from good g) as "goodAgeSeconds",
       (select case when count(*) < ${MISSES_THAT_COUNT} or bool_or(r.result <> 'failed') then '[]'::json
                    when bool_or(r.missed is not null)
                    then (select coalesce(json_agg(m.resource order by m.resource), '[]') from missed m) end
          from recent r) as "missedInARow",
       (select extract(epoch from max(v.refused_at) - g.revoked_at)::float8
          from good g join drill_verifiers v on v.drill_id = g.id group by g.revoked_at) as "latencySeconds"`,
};

const OUTSTANDING = {
  name: 'drill_outstanding',
  text: `
select count(*) filter (where v.accepted_at is null)::integer as accept,
       count(*) filter (where v.accepted_at is not null and v.refused_at is null)::integer as refuse,
       (select d.finished_at is not null from drills d where d.id = $1) as over
  from drill_verifiers v join verifiers n on n.instance = v.instance
 where v.drill_id = $1 and n.closed_at is null and ${WAS_ASKED}
   and n.lease_ends_at + interval '${STOP_MARGIN_SECONDS} seconds' > clock_timestamp()`,
};

const TALLY = `
select v.resource,
       count(*) filter (where v.accepted_at is null)::integer as deaf,
       count(*) filter (where v.accepted_at is not null and v.refused_at is null)::integer as late
  from drill_verifiers v join verifiers n on n.instance = v.instance
 where v.drill_id = $1 and ${WAS_ASKED} and v.stops_at is null and v.stopped_at is null
 group by v.resource order by v.resource`;

const HELD = `
select exists (select from revocations r
                where r.standing and r.released_epoch is null and r.kind in ('all', 'zone', 'action', 'resource')) as held`;

export function createDrillStore(pool: Pool): DrillStore {
  const query = <Row extends object>(text: string, values: unknown[] = []) =>
    runStatement<Row>(pool, { text, values });

  async function findBy(condition: string, values: unknown[]): Promise<Drill | null> {
    const { rows } = await query<Drill>(`${FIND} ${condition}`, values);
    return rows[0] === undefined ? null : { ...rows[0], verifiers: rows[0].verifiers.map(withDates) };
  }

  return {
    async start({ id, by, pauseSeconds }) {
      const { rows } = await query<{ id: string | null }>('select start_drill($1, $2, $3, $4) as id', [
        id,
        by,
        pauseSeconds,
        LONGEST_SECONDS,
      ]);
      return rows[0]?.id ?? null;
    },
    async addCanaries(drillId, canaries) {
      await query(
        `insert into canaries (id, drill_id, resource, kid, claims)
         select c.id, $1, c.resource, c.kid, c.claims
           from jsonb_to_recordset($2::jsonb) as c (id text, resource text, kid text, claims jsonb)`,
        [drillId, JSON.stringify(canaries)],
      );
    },
    async publish(drillId, sessionId) {
      await query('select publish_drill($1, $2, $3, $4)', [
        drillId,
        sessionId,
        PRESENT_SECONDS,
        STOP_MARGIN_SECONDS,
      ]);
    },
    async revoke(drillId, { id, auditId }) {
      const { rows } = await query<{ epoch: number | null }>(
        'select revoke_canary($1, $2, $3)::float8 as epoch',
        [drillId, id, auditId],
      );
      return rows[0]?.epoch ?? null;
    },
    async outstanding(drillId) {
      const { rows } = await runStatement<{ accept: number; refuse: number; over: boolean }>(pool, {
        ...OUTSTANDING,
        values: [drillId],
      });
      return rows[0] ?? { accept: 0, refuse: 0, over: true };
    },
    async tally(drillId) {
      await query('select note_stopped($1, $2, $3)', [drillId, STOP_MARGIN_SECONDS, PRESENT_SECONDS]);
      return (await query<DrillTally>(TALLY, [drillId])).rows;
    },
    async note(heard) {
      await query('select note_outcomes($1::jsonb)', [JSON.stringify(heard)]);
    },
    async finish(drillId, { result, because, missed }) {
      await query('select finish_drill($1, $2, $3, $4::text[])', [drillId, result, because, missed]);
    },
    async isHeld() {
      return (await query<{ held: boolean }>(HELD)).rows[0]?.held === true;
    },
    find: (drillId) => findBy('where d.id = $1', [drillId]),
    findLast: () => findBy('order by d.started_at desc limit 1', []),
    async news() {
      const { rows } = await runStatement<DrillNews>(pool, NEWS);
      return rows[0] ?? NO_NEWS;
    },
  };
}

/** JSON has no dates. */
function withDates({ acceptedAt, refusedAt, stopsAt, stoppedAt, ...rest }: DrillVerifier): DrillVerifier {
  const dateOf = (time: Date | string | null) => (time === null ? null : new Date(time));
  return {
    ...rest,
    acceptedAt: dateOf(acceptedAt),
    refusedAt: dateOf(refusedAt),
    stopsAt: dateOf(stopsAt),
    stoppedAt: dateOf(stoppedAt),
  };
}
