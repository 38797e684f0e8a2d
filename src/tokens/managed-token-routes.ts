/** Tokens as operators see and revoke them: by name. The token itself is nowhere to be had. */
import { refuse } from '../errors/refusal.ts';
import type { Answer, Call } from '../http/route.ts';
import type { Operator } from '../operators/operator-guard.ts';
import type { ManagedChangeStore } from '../revocations/managed-change-store.ts';
import type { ManagedChanges } from '../revocations/managed-changes.ts';
import { hourOfToken, type TokenStore } from './token-store.ts';

export type ManagedTokenRoutes = {
  read: (call: Call) => Promise<Answer>;
  revoke: (call: Call, operator: Operator) => Promise<Answer>;
};

export function createManagedTokenRoutes(options: {
  store: Pick<TokenStore, 'describe'>;
  changes: ManagedChanges;
  changeStore: ManagedChangeStore;
}): ManagedTokenRoutes {
  const { store, changes, changeStore } = options;
  return {
    async read({ params }) {
      const { jti } = tokenOf(params.jti);
      const token = (await store.describe(jti)) ?? refuse('token_not_found');
      return {
        body: {
          id: token.jti,
          session_id: token.sessionId,
          agent: token.clientId,
          agent_id: token.agentId,
          zone: token.zone,
          resource: token.resource,
          actions: token.scope.split(' '),
          epoch: token.epoch,
          kid: token.kid,
          issued_at: token.issuedAt.toISOString(),
          expires_at: token.expiresAt.toISOString(),
          use: token.call === null ? 'session' : 'request',
          authorization_details: token.call === null ? [] : [token.call],
          consumed_at: token.consumedAt?.toISOString() ?? null,
          state: token.state,
        },
      };
    },

    async revoke(call, operator) {
      const { jti, hour } = tokenOf(call.params.jti);
      return changes.answer(
        {
          target: async () => ((await store.describe(jti)) === null ? null : { kind: 'token', id: jti }),
          make: (change) => changeStore.revoke({ kind: 'token', id: jti, hour }, change),
          notFound: 'token_not_found',
        },
        call,
        operator,
      );
    },
  };
}

function tokenOf(text = ''): { jti: string; hour: number } {
  return { jti: text, hour: hourOfToken(text) ?? refuse('token_not_found') };
}
