/**
 * What the tour shows: a token is got, used, and is worth nothing to anybody else. Every step is a real request to
 * a real broker or resource server; the thief gets everything that goes over the wire, and no private key.
 */
import { type BoundSession, callWithToken, type Exchange, openSession, send } from '../sdk/bound-session.ts';
import type { Client } from '../sdk/client.ts';
import { digestOfArguments } from '../verifier/index.ts';
import { jsonOf } from './exchange-text.ts';
import { READ_CUSTOMERS, WRITE_EXPORTS } from './sample-routes.ts';
import type { Story } from './story.ts';

/** An action of the catalogue that this agent's file does not list. */
const NOT_GRANTED = 'db:update:customers';

export type TourPlaces = { customersUrl: string; exportsUrl: string };

/** @throws {Surprise} at the first step that goes otherwise */
export async function tellTour(
  story: Story,
  { agent, places }: { agent: Client; places: TourPlaces },
): Promise<void> {
  const session = await openSession();
  const token = await getToken(story, agent, session);
  const overheard = await callCustomers(story, { session, token, url: places.customersUrl });
  await replay(story, overheard);
  await steal(story, { token, url: places.customersUrl });
  await askForMore(story, agent, session);
  await callOnce(story, { agent, session, url: places.exportsUrl });
}

async function getToken(story: Story, agent: Client, session: BoundSession): Promise<string> {
  const answer = await story.tell({
    title: 'Get a token',
    about: `${agent.name} shows who it is, and that it holds a key that it made for this session.`,
    act: () => agent.askForToken(session, { scope: READ_CUSTOMERS }),
    expect: { status: 200 },
    because:
      'One action at one resource, for minutes, bound to the session key. A nonce of the broker in the proof\n' +
      '     shows that the proof was made just now, whatever the clock of the agent says.',
  });
  return tokenOf(answer);
}

type Calling = { session: BoundSession; token: string; url: string };

async function callCustomers(story: Story, { session, token, url }: Calling): Promise<Exchange> {
  return story.tell({
    title: 'Use it',
    about:
      'The resource server checks the token and the proof, and knows from its copy of the ledger what is revoked.',
    act: () => callWithToken(session, { method: 'GET', url, token }),
    expect: { status: 200 },
    because: 'The proof is for this method, this URL and this token, made with the key that the token names.',
  });
}

async function replay(story: Story, overheard: Exchange): Promise<void> {
  await story.tell({
    title: 'Replay the very same request',
    about: 'Somebody overheard all of it, proof included, and sends the same bytes again.',
    act: async () => [await send(overheard.request)],
    expect: { status: 401, error: 'invalid_dpop_proof' },
    because: 'A proof is good once.',
  });
}

async function steal(story: Story, { token, url }: { token: string; url: string }): Promise<void> {
  const thief = await openSession();
  await story.tell({
    title: 'Steal the token and use it with another key',
    about: 'The thief makes flawless proofs, but cannot make them with the key of the session.',
    act: () => callWithToken(thief, { method: 'GET', url, token }),
    expect: { status: 401, error: 'invalid_token' },
    because: 'The token names the thumbprint of one key. Without that key it is worth nothing.',
  });
}

async function askForMore(story: Story, agent: Client, session: BoundSession): Promise<void> {
  await story.tell({
    title: 'Ask for an action that is not granted',
    about: `${NOT_GRANTED} is in the catalogue, but not in the file of this agent.`,
    act: () => agent.askForToken(session, { scope: NOT_GRANTED }),
    expect: { status: 400, error: 'invalid_scope' },
    because:
      'What an agent may ask for changes by a reviewed commit. An action that does not exist gets the same answer.',
  });
}

async function callOnce(
  story: Story,
  { agent, session, url }: { agent: Client; session: BoundSession; url: string },
): Promise<void> {
  const json = { name: 'weekly-report', format: 'csv', rows: 3 };
  const call = {
    type: 'mayfly_call',
    action: WRITE_EXPORTS,
    method: 'POST',
    url,
    arguments_digest: digestOfArguments(json),
  };
  const minted = await story.tell({
    title: 'Get a token for one single call',
    about: 'Writing an export takes a token that names the call: method, URL and a digest of the arguments.',
    act: () => agent.askForToken(session, { authorization_details: JSON.stringify([call]) }),
    expect: { status: 200 },
    because: 'Were it stolen together with the key, it could do nothing but this one thing.',
  });
  const token = tokenOf(minted);
  const use = () => callWithToken(session, { method: 'POST', url, token, json });
  await story.tell({
    title: 'Make that call',
    about: 'The resource server compares the call with the token, and has the broker mark the token as used.',
    act: use,
    expect: { status: 201 },
    because: 'Done, once.',
  });
  await story.tell({
    title: 'Make it again, with a fresh proof',
    about: 'The same agent, the same key, the same call.',
    act: use,
    expect: { status: 401, error: 'invalid_token' },
    because: 'The token is used up: one row in the database changed once.',
  });
}

function tokenOf({ response }: Exchange): string {
  return String(jsonOf(response.body).access_token);
}
