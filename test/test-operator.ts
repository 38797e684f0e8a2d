/**
 * An operator at the management API, written out in full like the agent of `test-agent.ts`:
 *
 *   const olivia = world.operator(broker, 'olivia');
 *   await olivia.get('/v1/sessions', 'mayfly:read:sessions');
 *   await olivia.post(`/v1/sessions/${id}/revoke`, 'mayfly:revoke:sessions', { reason: 'a test' });
 *
 * Each call gets a token for that action in one session of this operator, and makes a proof of its own.
 */
import { tokenHash } from '../src/dpop/proof.ts';
import type { ManagementAction } from '../src/operators/management-actions.ts';
import {
  type Bend,
  createTestAgent,
  newSessionKey,
  type SessionKey,
  type TestAgentOptions,
} from './test-agent.ts';

export type ManagementAnswer = {
  status: number;
  headers: Headers;
  text: string;
  // biome-ignore lint/suspicious/noExplicitAny: tests look into any answer
  body: any;
};

export type ManagementRequest = {
  method: 'GET' | 'POST';
  /** With its query. */
  path: string;
  body?: unknown;
  headers?: Record<string, string>;
  /** What is sent instead of a good token, or null for no Authorization header. */
  token?: string | null;
  proof?: string | null;
};

export type TestOperator = ReturnType<typeof createTestOperator>;

export function createTestOperator(options: TestAgentOptions & { session?: SessionKey }) {
  const { url, issuer, clientId } = options;
  const agent = createTestAgent(options);
  let session = options.session ?? newSessionKey();

  async function token(scope: string): Promise<string> {
    const { body, status } = await agent.token(session, { scope });
    if (status !== 200) throw new Error(`${clientId} got no token for ${scope}: ${JSON.stringify(body)}`);
    return body.access_token;
  }

  /** For this request with this token; the nonce is the newest that was seen. */
  function proof(request: { method: string; path: string; token: string }, bend: Bend = {}): string {
    const [path] = request.path.split('?');
    return agent.proof(session, {
      ...bend,
      claims: {
        htm: request.method,
        htu: `${issuer}${path}`,
        ath: tokenHash(request.token),
        ...bend.claims,
      },
    });
  }

  async function send(request: ManagementRequest): Promise<ManagementAnswer> {
    const { method, path, body, headers = {}, token: sent = null, proof: dpop = null } = request;
    const response = await fetch(`${url}${path}`, {
      method,
      redirect: 'manual',
      headers: {
        ...(sent === null ? {} : { Authorization: `DPoP ${sent}` }),
        ...(dpop === null ? {} : { DPoP: dpop }),
        ...(body === undefined ? {} : { 'Content-Type': 'application/json' }),
        ...headers,
      },
      ...(body === undefined ? {} : { body: typeof body === 'string' ? body : JSON.stringify(body) }),
    });
    const text = await response.text();
    return {
      status: response.status,
      headers: response.headers,
      text,
      body: response.headers.get('content-type')?.includes('json') ? JSON.parse(text) : null,
    };
  }

  /** A good request in every respect, with a token for this action. */
  async function call(
    request: Omit<ManagementRequest, 'token' | 'proof'>,
    action: ManagementAction | string,
  ): Promise<ManagementAnswer> {
    const text = await token(action);
    return send({ ...request, token: text, proof: proof({ ...request, token: text }) });
  }

  return {
    name: clientId,
    agent,
    token,
    proof,
    send,
    call,
    get: (path: string, action: ManagementAction) => call({ method: 'GET', path }, action),
    post: (
      path: string,
      action: ManagementAction,
      body: unknown = undefined,
      headers: Record<string, string> = {},
    ) => call({ method: 'POST', path, body, headers }, action),
    session: () => session,
    /** From now on in another session. */
    openSession() {
      session = newSessionKey();
    },
  };
}
