/** The HTTP edge of leases: a signed question in, a signed answer out. */
import type { ClientDirectory } from '../agents/client.ts';
import { claimedClient } from '../agents/client-assertion.ts';
import { createRecent } from '../bounds/recent.ts';
import { Refusal, refuse } from '../errors/refusal.ts';
import type { RequestBounds } from '../http/rate-bound.ts';
import type { Answer, Call } from '../http/route.ts';
import { isJsonObject } from '../json/strict-json.ts';
import type { UnverifiedJwt } from '../jws/compact-jws.ts';
import { type Clock, numericDate } from '../time/clock.ts';
import type { Drills } from './drills.ts';
import type { FleetPace } from './hurry.ts';
import { createInstanceBound } from './instance-bound.ts';
import { checkQuestion, parseQuestion, type ReceivedQuestion } from './question.ts';
import type { LeaseRenewals } from './renew-leases.ts';
import type { LeaseSigner } from './sign-lease.ts';

export type LeaseRoutes = { renew: (call: Call) => Promise<Answer> };

/** Each key of each resource server makes one header, or few. */
const MAX_HEADERS = 10_000;

export function createLeaseRoutes(options: {
  issuer: string;
  clients: () => ClientDirectory;
  bounds: RequestBounds;
  renewals: LeaseRenewals;
  sign: LeaseSigner;
  drills: Drills;
  pace: Pick<FleetPace, 'heard'>;
  clock: Clock;
}): LeaseRoutes {
  const { issuer, clients, bounds, renewals, sign, drills, pace, clock } = options;
  const headers = createRecent<UnverifiedJwt['header']>(MAX_HEADERS);
  const instances = createInstanceBound({ clock });

  /** Bounded and rated as the authentication that it is. */
  function authenticate(jwt: UnverifiedJwt, { source, known }: Call): ReceivedQuestion {
    const directory = clients();
    const claimed = claimedClient(jwt);
    const declared = claimed !== null && directory.has(claimed) ? claimed : null;
    bounds.admitClient(declared, source);
    try {
      const asked = checkQuestion(jwt, { clients: directory, issuer, now: numericDate(clock) });
      bounds.succeeded(asked.resource.audience, source);
      known.actor = asked.resource.audience;
      return asked;
    } catch (error) {
      if (error instanceof Refusal) bounds.failed(declared, source);
      throw error;
    }
  }

  return {
    async renew(call) {
      if (call.request.headers.authorization !== undefined) {
        refuse('client_authentication_repeated', { hint: 'The signature of the question is enough.' });
      }
      const asked = authenticate(parseQuestion(questionIn(call.json), headers), call);
      const { instance, drills: outcomes = [] } = asked.question;
      instances.admit({ instance, resource: asked.resource.audience });
      pace.heard(instance);
      const granted = await renewals.renew(asked);
      if (outcomes.length > 0) {
        drills.noteDrillOutcomes({ instance, resource: asked.resource.audience, outcomes });
      }
      return { body: { answer: sign(granted) } };
    },
  };
}

function questionIn(json: unknown): unknown {
  const isExact = isJsonObject(json) && Object.keys(json).length === 1;
  return isExact ? json.question : undefined;
}
