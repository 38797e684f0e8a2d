/**
 * The end of the tour: the kill switch. Everything stops, a signed receipt says who has obeyed, and only another
 * operator can release it; what was minted before stays dead.
 */
import { createLocalJWKSet, jwtVerify } from 'jose';
import { callWithToken, type Exchange, openSession, send } from '../sdk/bound-session.ts';
import type { Client } from '../sdk/client.ts';
import { jsonOf } from './exchange-text.ts';
import { READ_CUSTOMERS } from './sample-routes.ts';
import { type Story, Surprise } from './story.ts';
import type { TourOperator } from './tour-operator.ts';
import { openRun, type Run } from './tour-run.ts';

export type Killing = {
  agent: Client;
  /** Engages the switch. */
  operator: TourOperator;
  /** Releases it. */
  colleague: TourOperator;
  issuer: string;
  customersUrl: string;
};

const PATH = '/v1/kill-switch';
const WAIT_SECONDS = 10;

/**
 * @param atTheEnd takes what has to be done even when the tour is cut short: nobody is left with an engaged switch
 * @throws {Surprise} at the first step that goes otherwise
 */
export async function tellKill(
  story: Story,
  { atTheEnd, ...killing }: Killing & { atTheEnd: (work: () => Promise<void>) => void },
): Promise<void> {
  const run = await openRun(killing.agent);
  await useToken(killing, run);
  let engaging: Promise<Exchange[]> | undefined;
  let isReleased = false;
  atTheEnd(async () => {
    const id = jsonOf((await engaging?.catch(() => []))?.at(-1)?.response.body ?? '').id;
    if (typeof id === 'string' && !isReleased) await releasing(killing.colleague, id);
  });
  const { id, receipt } = await engage(story, killing.operator, (request) => {
    engaging = request;
    return request;
  });
  await verifyReceipt(story, { receipt, issuer: killing.issuer });
  await showThatNothingPasses(story, killing, run);
  await releaseAlone(story, killing, id);
  await releaseByColleague(story, killing, id);
  isReleased = true;
  await showWhatCameBack(story, killing, run);
}

async function engage(
  story: Story,
  operator: TourOperator,
  keep: (request: Promise<Exchange[]>) => Promise<Exchange[]>,
): Promise<{ id: string; receipt: string }> {
  const json = { target: { kind: 'all' }, reason: 'shown in the tour', wait_seconds: WAIT_SECONDS };
  const answer = await story.tell({
    title: 'Pull the kill switch',
    about: `${operator.name} stops everything, and waits until every enforcement point has said that it obeys.`,
    act: () => keep(operator.ask({ may: 'mayfly:engage:kill-switch', method: 'POST', path: PATH, json })),
    expect: { status: 200 },
    because: 'One entry, whatever it hits. 200 means that nobody is outstanding; 202 would name who is.',
  });
  const { id, receipt } = jsonOf(answer.response.body);
  return { id: String(id), receipt: String(receipt) };
}

async function verifyReceipt(
  story: Story,
  { receipt, issuer }: { receipt: string; issuer: string },
): Promise<void> {
  let verified = '';
  await story.tell({
    title: 'Verify the receipt',
    about:
      'Anybody can, with the keys that the broker publishes for it, now or when there is no broker any more.',
    async act() {
      const url = `${issuer}/.well-known/mayfly-ledger-jwks.json`;
      const exchange = await send({ method: 'GET', url, headers: {} });
      verified = await readReceipt(receipt, { jwks: exchange.response.body, issuer });
      return [exchange];
    },
    expect: { status: 200 },
    because: () => verified,
  });
}

/** @throws {Surprise} when it is not genuine */
async function readReceipt(
  receipt: string,
  { jwks, issuer }: { jwks: string; issuer: string },
): Promise<string> {
  const keys = createLocalJWKSet(JSON.parse(jwks));
  const { payload } = await jwtVerify(receipt, keys, { issuer, typ: 'mayfly-receipt+jwt' }).catch(() => {
    throw new Surprise('the receipt does not verify');
  });
  const { epoch, committed_at, verifiers } = payload as {
    epoch: number;
    committed_at: string;
    verifiers: { instance: string; resource: string; applied_at?: string; stops_at?: string }[];
  };
  const lines = verifiers.map(({ instance, resource, applied_at, stops_at }) => {
    const told = applied_at === undefined ? `stops by ${stops_at}` : `applied at ${applied_at}`;
    return `\n       ${instance} for ${resource}: ${told}`;
  });
  return `The signature is good. Epoch ${epoch}, committed at ${committed_at}:${lines.join('')}`;
}

function useToken({ customersUrl }: Killing, { session, token }: Run): Promise<Exchange[]> {
  return callWithToken(session, { method: 'GET', url: customersUrl, token });
}

async function showThatNothingPasses(story: Story, killing: Killing, run: Run): Promise<void> {
  const { agent } = killing;
  await story.tell({
    title: 'Ask for a token',
    about: `${agent.name} opens a new session.`,
    act: async () => agent.askForToken(await openSession(), { scope: READ_CUSTOMERS }),
    expect: { status: 400, error: 'access_denied' },
    because: 'Nothing is minted while the switch is engaged.',
  });
  await story.tell({
    title: 'Use a token from before',
    about: 'It worked a moment ago, and has minutes to live.',
    act: () => useToken(killing, run),
    expect: { status: 401, error: 'invalid_token' },
    because: 'Nothing passes.',
  });
}

async function releaseAlone(story: Story, { operator }: Killing, id: string): Promise<void> {
  await story.tell({
    title: 'Release it alone',
    about: `${operator.name} has the role, but engaged it.`,
    act: () => releasing(operator, id),
    expect: { status: 403, error: 'another_person_needed' },
    because: 'Stopping takes one person, letting go takes another.',
  });
}

async function releaseByColleague(story: Story, { colleague }: Killing, id: string): Promise<void> {
  await story.tell({
    title: 'Have it released',
    about: `${colleague.name}, another operator, agrees that it is over.`,
    act: () => releasing(colleague, id),
    expect: { status: [200, 202] }, // 202 when an enforcement point has not said yet that it has applied it
    because: 'The ledger has an entry that names the first one.',
  });
}

function releasing(operator: TourOperator, id: string): Promise<Exchange[]> {
  return operator.ask({
    may: 'mayfly:release:kill-switch',
    method: 'POST',
    path: `${PATH}/${id}/release`,
    json: { reason: 'the tour is over' },
  });
}

async function showWhatCameBack(story: Story, killing: Killing, old: Run): Promise<void> {
  const { agent } = killing;
  await story.tell({
    title: 'Use the token from before again',
    about: 'Nothing stands in the way any more, and it still has minutes to live.',
    act: () => useToken(killing, old),
    expect: { status: 401, error: 'invalid_token' },
    because: 'What was killed stays dead: a release lets agents begin anew, and brings nothing back.',
  });
  const run = await openRun(agent);
  await story.tell({
    title: 'Begin anew',
    about: `${agent.name} has opened a new session and got a new token.`,
    act: () => useToken(killing, run),
    expect: { status: 200 },
    because: 'As before.',
  });
}
