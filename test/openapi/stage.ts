/** The requests of the contract's tests: good ones, of which a test bends one part. */
import assert from 'node:assert/strict';
import type { Broker } from '../../src/broker.ts';
import { canonicalDigest } from '../../src/json/canonical-digest.ts';
import { type FormFields, newSessionKey, nowSeconds } from '../test-agent.ts';
import { TEST_ISSUER, type TestWorld } from '../test-broker.ts';
import { type Answer, decoded } from './contract.ts';
import { exchange, postForm, postJson } from './exchange.ts';

export const CUSTOMERS = 'https://customers.example.com';
export const STORAGE = 'https://storage.example.com';

export type Bends = {
  agent?: string;
  session?: ReturnType<typeof newSessionKey>;
  /** The proof, several of them, or none. */
  dpop?: string | string[] | null;
  on?: Broker;
};

export type OwnEnd = Pick<Bends, 'session' | 'dpop' | 'on'> & { fields?: object };

/** The one call that a token is for, as a request names it. */
export function callOf(action: string, url: string): FormFields {
  const call = {
    type: 'mayfly_call',
    action,
    method: 'POST',
    url,
    arguments_digest: canonicalDigest({ name: 'a' }),
  };
  return { scope: undefined, authorization_details: JSON.stringify([call]) };
}

export function createStage(world: TestWorld, broker: Broker) {
  const agent = (on = broker) => world.agent(on, 'report-writer');

  function mint(fields: FormFields = {}, bends: Bends = {}): Promise<Answer> {
    const { agent: name = 'report-writer', session = newSessionKey(), on = broker } = bends;
    const client = world.agent(on, name);
    const { dpop = client.proof(session) } = bends;
    const headers: Record<string, string | string[]> = dpop === null ? {} : { DPoP: dpop };
    return postForm(`${on.url}/oauth/token`, client.tokenFields(fields), headers);
  }

  async function tokenFor(fields: FormFields = {}): Promise<string> {
    const answer = await mint(fields);
    assert.equal(answer.status, 200, answer.body);
    return JSON.parse(answer.body).access_token;
  }

  return {
    mint,
    tokenFor,
    agent,
    url: (path: string) => `${broker.url}${path}`,
    customers: (on = broker) => world.resourceServer(on, CUSTOMERS),
    storage: (on = broker) => world.resourceServer(on, STORAGE),

    mintAsResourceServer(): Promise<Answer> {
      const server = world.resourceServer(broker, CUSTOMERS);
      return postForm(`${broker.url}/oauth/token`, server.tokenFields(), {
        DPoP: server.proof(newSessionKey()),
      });
    },

    async callToken(): Promise<{ text: string; jti: string }> {
      const text = await tokenFor(callOf('storage:write:exports', `${STORAGE}/exports`));
      return { text, jti: String(decoded(text).claims.jti) };
    },

    /** Ends the session of this key, by default of one that has none. */
    endOwn({ session = newSessionKey(), dpop, fields = {}, on = broker }: OwnEnd = {}): Promise<Answer> {
      const client = agent(on);
      const url = `${TEST_ISSUER}/v1/sessions/current/revoke`;
      const proof = dpop === undefined ? client.proof(session, { claims: { htu: url } }) : dpop;
      const body = { ...client.authenticated({}), ...fields };
      return postJson(`${on.url}/v1/sessions/current/revoke`, body, proof === null ? {} : { DPoP: proof });
    },

    /** Asks who it is, with a proof of a key that is in no session. */
    whoAmI({ session = newSessionKey(), dpop, fields = {}, on = broker }: OwnEnd = {}): Promise<Answer> {
      const client = agent(on);
      const proof = client.proof(session, { claims: { htu: `${TEST_ISSUER}/v1/agents/current` } });
      const shown = dpop === undefined ? proof : dpop;
      const body = { ...client.authenticated({}), ...fields };
      return postJson(`${on.url}/v1/agents/current`, body, shown === null ? {} : { DPoP: shown });
    },

    verifier: (on = broker) => world.verifier(on, CUSTOMERS),

    renewLease: (question: string, on = broker) =>
      postJson(`${on.url}/v1/verifiers/current/lease`, { question }),

    /** What a reader of the stream sends; of no use twice. */
    streaming: (on = broker) => ({
      Accept: 'text/event-stream',
      Authorization: `Bearer ${world.resourceServer(on, CUSTOMERS).assertion()}`,
    }),

    readLedger(on = broker): Promise<Answer> {
      const { Authorization } = this.streaming(on);
      return exchange(`${on.url}/v1/revocations?since=0`, { headers: { Authorization } });
    },

    spendProofs(fields: object = {}, on = broker): Promise<Answer> {
      const proofs = [{ name: '0'.repeat(32), filed_at: nowSeconds() }];
      const body = {
        ...world.resourceServer(on, CUSTOMERS).authenticated({}),
        nonce: 'a',
        proofs,
        ...fields,
      };
      return postJson(`${on.url}/v1/proofs/spend`, body);
    },

    consume(jti: string, { fields = {}, on = broker, headers = {} } = {}): Promise<Answer> {
      const body = { ...world.resourceServer(on, STORAGE).authenticated({}), ...fields };
      return postJson(`${on.url}/v1/tokens/${jti}/consume`, body, headers);
    },
  };
}

export type Stage = ReturnType<typeof createStage>;
