import { z } from 'zod';
import { refuse } from '../errors/refusal.ts';
import type { Answer, Call } from '../http/route.ts';
import type { Operator } from '../operators/operator-guard.ts';
import type { Conductor } from './conduct-drill.ts';
import type { Drill } from './drill.ts';
import type { DrillStore } from './drill-store.ts';
import type { DrillWatch } from './drill-watch.ts';

export type DrillRoutes = {
  read: (call: Call) => Promise<Answer>;
  run: (call: Call, operator: Operator) => Promise<Answer>;
};

/** Between two that people ask for; who asks sooner is told of the last one. */
const PAUSE_SECONDS = 1;

export function createDrillRoutes(options: {
  store: DrillStore;
  watch: DrillWatch;
  conductor: Conductor;
  everySeconds: number;
}): DrillRoutes {
  const { store, watch, conductor, everySeconds } = options;

  async function tell(drill: Drill | null): Promise<object> {
    await watch.look();
    const age = watch.ageSeconds();
    return {
      every_seconds: everySeconds,
      missed: watch.missed() === true,
      doubtful: tellDoubtful(watch.doubtful()),
      age_seconds: Number.isNaN(age) ? null : Math.round(age),
      last: drill === null ? null : tellDrill(drill),
    };
  }

  return {
    read: async () => ({ body: await tell(await store.findLast()) }),

    async run({ json }, { name }) {
      if (!z.strictObject({}).safeParse(json ?? {}).success) {
        refuse('parameter_invalid', { hint: 'There is nothing to say: send no body, or {}.' });
      }
      const id = await conductor.conduct({ by: name, pauseSeconds: PAUSE_SECONDS });
      const drill = id === null ? await store.findLast() : await store.find(id);
      return { body: await tell(drill) };
    },
  };
}

function tellDoubtful(resources: readonly string[] | null): object {
  return { all: resources === null, resources: resources ?? [] };
}

function tellDrill({
  id,
  startedAt,
  startedBy,
  epoch,
  revokedAt,
  finishedAt,
  result,
  because,
  verifiers,
  untested,
}: Drill) {
  const refused = verifiers.flatMap(({ refusedAt }) => (refusedAt === null ? [] : [refusedAt.getTime()]));
  const isOutstanding = verifiers.some(
    ({ refusedAt, absent, stopsAt, stoppedAt }) =>
      refusedAt === null && !absent && stopsAt === null && stoppedAt === null,
  );
  const isWhole = revokedAt !== null && refused.length > 0 && !isOutstanding;
  return {
    id,
    started_at: startedAt.toISOString(),
    started_by: startedBy,
    finished_at: finishedAt?.toISOString() ?? null,
    result,
    because,
    epoch,
    // Until it was heard of: verifiers say it in their next question.
    latency_milliseconds: isWhole ? Math.max(0, Math.max(...refused) - revokedAt.getTime()) : null,
    untested,
    verifiers: verifiers.map(({ instance, resource, absent, acceptedAt, refusedAt, stopsAt, stoppedAt }) => ({
      instance,
      resource,
      absent,
      accepted_at: acceptedAt?.toISOString() ?? null,
      refused_at: refusedAt?.toISOString() ?? null,
      stops_at: stopsAt?.toISOString() ?? null,
      stopped_at: stoppedAt?.toISOString() ?? null,
    })),
  };
}
