/** One run of an agent that the tour does not tell about: a session with a token that works. */
import { type BoundSession, openSession } from '../sdk/bound-session.ts';
import type { Client } from '../sdk/client.ts';
import { jsonOf } from './exchange-text.ts';
import { READ_CUSTOMERS } from './sample-routes.ts';

export type Run = { session: BoundSession; token: string; sessionId: string };

/** @throws {Error} when the agent is not given a token: the steps before have shown that it is */
export async function openRun(agent: Client): Promise<Run> {
  const session = await openSession();
  const body = (await agent.askForToken(session, { scope: READ_CUSTOMERS })).at(-1)?.response.body ?? '';
  const { access_token: token, session_id: sessionId } = jsonOf(body);
  if (typeof token !== 'string') throw new Error(`${agent.name} was given no token: ${body}`);
  return { session, token, sessionId: String(sessionId) };
}
