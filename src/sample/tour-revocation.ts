/**
 * The second half of the tour: what was given can be taken back, at once. An operator ends a run of the agent, and
 * the token in it is refused milliseconds later.
 */
import { callWithToken, type Exchange } from '../sdk/bound-session.ts';
import type { Client } from '../sdk/client.ts';
import type { Story } from './story.ts';
import type { TourOperator } from './tour-operator.ts';
import { openRun, type Run } from './tour-run.ts';

export type Revoking = {
  agent: Client;
  operator: TourOperator;
  customersUrl: string;
};

const MAY = 'mayfly:revoke:sessions';
/** Far more than it takes. */
const REFUSED_WITHIN_MILLISECONDS = 10_000;

/** @throws {Surprise} at the first step that goes otherwise */
export async function tellRevocation(story: Story, revoking: Revoking): Promise<void> {
  const { agent, operator, customersUrl } = revoking;
  const run = await openRun(agent);
  const use = () => callWithToken(run.session, { method: 'GET', url: customersUrl, token: run.token });
  await use();
  const askedAt = await endSession(story, { operator, agent, run });
  let refusedAt = 0;
  await story.tell({
    title: 'Use the token of that run',
    about: 'The same agent, the same key, the same token, a new proof.',
    async act() {
      const exchanges = await untilRefused(use);
      refusedAt = performance.now();
      return exchanges;
    },
    expect: { status: 401, error: 'invalid_token' },
    because: () =>
      `Refused: ${Math.ceil(refusedAt - askedAt)} milliseconds after ${operator.name} began to ask for it.`,
  });
}

/** @returns when the operator began to ask for it, as `performance.now()` has it */
async function endSession(
  story: Story,
  { operator, agent, run }: { operator: TourOperator; agent: Client; run: Run },
): Promise<number> {
  let askedAt = 0;
  await operator.prepare(MAY);
  await story.tell({
    title: 'End a session',
    about:
      `${operator.name}, an operator, ends another run of ${agent.name}, whose token has just worked; with a token\n` +
      `   of its own, for ${MAY}.`,
    act: () => {
      askedAt = performance.now();
      return operator.ask({
        may: MAY,
        method: 'POST',
        path: `/v1/sessions/${run.sessionId}/revoke`,
        json: { reason: 'shown in the tour' },
      });
    },
    expect: { status: 200 },
    because: 'One entry in the ledger, whatever there is in the session: all of it carries an older epoch.',
  });
  return askedAt;
}

async function untilRefused(use: () => Promise<Exchange[]>): Promise<Exchange[]> {
  const giveUpAt = performance.now() + REFUSED_WITHIN_MILLISECONDS;
  for (;;) {
    const exchanges = await use();
    if (exchanges.at(-1)?.response.status !== 200 || performance.now() > giveUpAt) return exchanges;
  }
}
