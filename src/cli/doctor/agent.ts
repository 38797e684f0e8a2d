/** The agent itself: its key, whether the broker takes it for who it says, what stops it, what it may ask for. */
import type { ConfigurationError } from '../../config/configuration.ts';
import type { Environment } from '../../config/environment.ts';
import { AgentError } from '../../sdk/agent-error.ts';
import { readAnswer } from '../../sdk/read-answer.ts';
import { type OwnAgent, whoAmI } from '../../sdk/who-am-i.ts';
import { type AgentIdentity, readAgentIdentity } from '../agent-identity.ts';
import type { ConnectionOptions } from '../connection.ts';
import { CommandFailure } from '../failure.ts';
import { type Finding, failed, type Hop, ok, warning } from './hop.ts';
import { judgeActions, judgeCatalogue, judgeStop } from './standing.ts';

export type AgentHopOptions = ConnectionOptions & {
  environment: Environment;
  issuer: string;
  action: readonly string[];
  withinMilliseconds: number;
};

export function agentHops(options: AgentHopOptions): Hop[] {
  const { environment, action, ...connection } = options;
  let identity: AgentIdentity | undefined;
  let me: OwnAgent = {};
  /** Why the broker did not say it. */
  let refusal: unknown;

  async function lookAtKey(): Promise<Finding> {
    const warnings: string[] = [];
    try {
      identity = await readAgentIdentity(environment, connection, { warn: (text) => warnings.push(text) });
    } catch (error) {
      if (!isMistake(error)) throw error;
      return failed(error.message, 'mayfly agent new makes a key and the file that declares it.');
    }
    const { clientId, key, keyPath = 'no file' } = identity;
    const says = `${clientId}, ${key.alg}${key.kid === undefined ? '' : ` ${key.kid}`}, from ${keyPath}.`;
    return warnings.length === 0 ? ok(says) : warning(`${says} Others can read it.`, `chmod 600 ${keyPath}`);
  }

  /** Asks who we are; what came of it is for the next hop. */
  async function lookAtNonce(): Promise<Finding | null> {
    if (identity === undefined) throw new Error('the key is looked at before');
    const { issuer, clientId, key } = identity;
    const { withinMilliseconds } = options;
    let nonces = 0;
    const watching = async (url: string, init: RequestInit) => {
      const response = await fetch(url, init);
      const { code } = response.status === 400 ? await readAnswer(response.clone()) : {};
      if (code === 'use_dpop_nonce') nonces += 1;
      return response;
    };
    try {
      me = await whoAmI({ issuer, clientId, key, fetch: watching, withinMilliseconds });
      return ok(nonces > 0 ? 'It asked for one, and took it.' : 'It asks for none.');
    } catch (error) {
      refusal = error;
    }
    if (nonces < 2) return null;
    return failed(
      'The broker asks for another nonce again and again.',
      'A proxy before it has to let DPoP-Nonce and DPoP pass; brokers behind one address have to share one database.',
    );
  }

  async function lookAtAssertion(): Promise<Finding> {
    if (refusal !== undefined && identity !== undefined) return notTaken(refusal, identity);
    if (me.name !== identity?.clientId) {
      return failed(
        'What came back does not say who we are.',
        'It may be an older broker, or none: look at its version.',
      );
    }
    return ok(`The broker takes us for ${me.name}, ${me.kind}.`);
  }

  return [
    { name: 'key', needs: [], ends: 'usage', look: lookAtKey },
    { name: 'nonce', needs: ['clock', 'key'], ends: 'authentication', look: lookAtNonce },
    { name: 'assertion', needs: ['clock', 'key', 'nonce'], ends: 'authentication', look: lookAtAssertion },
    { name: 'stopped', needs: ['assertion'], ends: 'denied', look: async () => judgeStop(me) },
    { name: 'catalogue', needs: ['assertion'], ends: 'server', look: async () => judgeCatalogue(me) },
    {
      name: 'actions',
      needs: ['assertion'],
      ends: 'denied',
      look: async () => judgeActions(me, action),
    },
  ];
}

function isMistake(error: unknown): error is CommandFailure | ConfigurationError {
  return error instanceof CommandFailure || (error instanceof Error && error.name === 'ConfigurationError');
}

function notTaken(error: unknown, { clientId, key, issuer }: AgentIdentity): Finding {
  if (!(error instanceof AgentError)) throw error;
  const { brokerCode, message, hint = 'Look for that request in the log of the broker.' } = error;
  if (brokerCode !== 'invalid_client') return failed(message, hint);
  const kid = key.kid === undefined ? 'without a kid' : `with the kid ${key.kid}`;
  return failed(
    `The broker does not take us for ${clientId}, by a key ${kid}. ${message}`,
    `Compare it with scopes/agents/${clientId}.yaml of ${issuer}; as an operator: mayfly agent show ${clientId}`,
  );
}
