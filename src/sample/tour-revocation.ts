/**
 * The second half of the tour: what was given can be taken back, at once. An operator ends a run of the agent, and
 * the token in it is refused milliseconds later, at a resource server that asks nobody about it.
 */
import { callWithToken, type Exchange } from '../sdk/bound-session.ts';
import type { Client } from '../sdk/client.ts';
import type { Story } from './story.ts';
import type { TourOperator } from './tour-operator.ts';
import { openRun } from './tour-run.ts';

export type Revoking = {
  agent: Client;
  operator: TourOperator;
  customersUrl: string;
};

const MAY = 'mayfly:revoke:sessions';
/** Far more than it takes. */
const REFUSED_WITHIN_MILLISECONDS = 10_000;

type Refused = { exchanges: Exchange[]; afterMilliseconds: number };

/** @throws {Surprise} at the first step that goes otherwise */
export async function tellRevocation(story: Story, revoking: Revoking): Promise<void> {
  const { agent, operator, customersUrl } = revoking;
  const run = await openRun(agent);
  const use = () => callWithToken(run.session, { method: 'GET', url: customersUrl, token: run.token });
  await use();
  const meanwhile = await endSession(story, { ...revoking, sessionId: run.sessionId, use });
  let milliseconds = 0;
  await story.tell({
    title: 'Use the token of that run meanwhile',
    about: `${agent.name} has gone on using it all the time, each time with a new proof. At last:`,
    async act() {
      const { exchanges, afterMilliseconds } = await meanwhile.refused;
      milliseconds = Math.ceil(afterMilliseconds);
      return exchanges;
    },
    expect: { status: 401, error: 'invalid_token' },
    because: () => `Refused ${milliseconds} milliseconds after ${operator.name} began to ask for it.`,
  });
}

/** @returns the first refusal that the use of the token meets, to be waited for */
async function endSession(
  story: Story,
  { operator, agent, sessionId, use }: Revoking & { sessionId: string; use: () => Promise<Exchange[]> },
): Promise<{ refused: Promise<Refused> }> {
  let refused: Promise<Refused> | undefined;
  await operator.prepare(MAY);
  await story.tell({
    title: 'End a session',
    about:
      `${operator.name}, an operator, ends another run of ${agent.name}, whose token has just worked; with a token\n` +
      `   of its own, for ${MAY}.`,
    act() {
      refused = untilRefused(use);
      refused.catch(() => undefined); // it is waited for in the next step
      const json = { reason: 'shown in the tour' };
      return operator.ask({ may: MAY, method: 'POST', path: `/v1/sessions/${sessionId}/revoke`, json });
    },
    expect: { status: [200, 202] }, // 202 when an enforcement point has not said yet that it has applied it
    because: 'One entry in the ledger, whatever there is in the session: all of it carries an older epoch.',
  });
  return { refused: refused ?? untilRefused(use) };
}

async function untilRefused(use: () => Promise<Exchange[]>): Promise<Refused> {
  const beganAt = performance.now();
  for (;;) {
    const exchanges = await use();
    const afterMilliseconds = performance.now() - beganAt;
    const isRefused = exchanges.at(-1)?.response.status !== 200;
    if (isRefused || afterMilliseconds > REFUSED_WITHIN_MILLISECONDS) return { exchanges, afterMilliseconds };
  }
}
