import { newSessionKey } from '../test-agent.ts';
import type { Answer } from './contract.ts';
import { callOf, STORAGE, type Stage } from './stage.ts';

export type Case = readonly [expected: string, ask: (stage: Stage) => Promise<Answer>];

const SHARING = callOf('storage:share:exports', `${STORAGE}/exports/a/link`);
const staleProof = (stage: Stage) => stage.agent().proof(newSessionKey(), { claims: { nonce: 'x' } });

/** Token requests that are refused before anything is written. */
export const REFUSED_MINTS: Readonly<Record<string, readonly Case[]>> = {
  'a malformed token request': [
    ['400 invalid_request', ({ mint }) => mint({ grant_type: undefined })],
    ['400 invalid_request', ({ mint }) => mint({ ttl_seconds: '59' })],
    ['400 invalid_request', ({ mint }) => mint({ grant_type: ['client_credentials', 'client_credentials'] })],
    ['400 unsupported_grant_type', ({ mint }) => mint({ grant_type: 'password' })],
  ],
  'a client that does not authenticate': [
    [
      '401 invalid_client',
      ({ mint }) => mint({ client_assertion: undefined, client_assertion_type: undefined }),
    ],
    ['401 invalid_client', ({ mint }) => mint({ client_id: 'somebody-else' })],
    ['400 unauthorized_client', ({ mintAsResourceServer }) => mintAsResourceServer()],
  ],
  'a proof that is not good': [
    ['400 invalid_dpop_proof', ({ mint }) => mint({}, { dpop: null })],
    ['400 use_dpop_nonce', (stage) => stage.mint({}, { dpop: staleProof(stage) })],
  ],
  'what may not be had': [
    ['400 invalid_scope', ({ mint }) => mint({ scope: 'db:delete:customers' })],
    ['400 invalid_scope', ({ mint }) => mint({ scope: 'storage:write:exports' })],
    ['400 invalid_target', ({ mint }) => mint({ resource: 'https://nowhere.example.com' })],
    ['400 invalid_target', ({ mint }) => mint({ scope: 'db:read:customers storage:list:exports' })],
    ['400 invalid_authorization_details', ({ mint }) => mint({ authorization_details: '[]' })],
    ['400 approval_required', ({ mint }) => mint(SHARING, { agent: 'support-assistant' })],
  ],
};
