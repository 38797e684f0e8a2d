/**
 * A client that shows what it does, an agent or an operator: a long-lived key says who it is, a fresh key per session
 * makes its tokens worthless to others.
 */
import { type AgentKey, openKey } from './agent-key.ts';
import { signAssertion } from './assertion.ts';
import type { BoundSession, Exchange } from './bound-session.ts';

export type Client = {
  name: string;
  /** @param fields of the form: `scope`, or `authorization_details` */
  askForToken(session: BoundSession, fields: Record<string, string>): Promise<Exchange[]>;
  /** Ends this session: nothing is minted in it from then on, and every token of it is dead. */
  endSession(session: BoundSession, options?: { withinMilliseconds?: number }): Promise<Exchange[]>;
};

const SIGN_MILLISECONDS = 20_000;

/** @throws {AgentError} for what is no key */
export async function createClient(options: {
  name: string;
  key: AgentKey;
  issuer: string;
  tokenEndpoint: string;
}): Promise<Client> {
  const { name, issuer, tokenEndpoint } = options;
  const signer = Promise.resolve(await openKey(options.key));

  function credentials() {
    const issuedAt = Math.floor(Date.now() / 1_000);
    const signal = AbortSignal.timeout(SIGN_MILLISECONDS);
    return signAssertion(signer, { clientId: name, issuer, issuedAt, signal });
  }

  return {
    name,
    async askForToken(session, fields) {
      const form = { grant_type: 'client_credentials', ...(await credentials()), ...fields };
      const headers = { 'Content-Type': 'application/x-www-form-urlencoded' };
      const body = new URLSearchParams(form).toString();
      return session.send({ method: 'POST', url: tokenEndpoint, headers, body });
    },
    async endSession(session, { withinMilliseconds } = {}) {
      return session.send({
        method: 'POST',
        url: `${issuer}/v1/sessions/current/revoke`,
        headers: { 'Content-Type': 'application/json' },
        body: JSON.stringify(await credentials()),
        ...(withinMilliseconds === undefined ? {} : { withinMilliseconds }),
      });
    },
  };
}
