/**
 * Who may do what at mayfly itself, for every request anew: the operator's own DPoP-bound token (audience: the
 * issuer), a fresh proof of its key for this very request and this very token, an action in its scope; and then the
 * database, which applies the rule of the ledger, spends the proof and records the admission in one statement (L23).
 * So an operator who was revoked a moment ago is refused now, whatever this broker remembers.
 *
 * Nothing here looks at what is asked for: whoever may not do it gets the same answer whether it exists or not.
 */
import type { AuditEntry } from '../audit/audit-entry.ts';
import { createRecent } from '../bounds/recent.ts';
import type { Role } from '../catalogue/roles.ts';
import type { Nonces } from '../dpop/nonce.ts';
import type { NoncePolicy } from '../dpop/proof-freshness.ts';
import { keyInRecord, type SpentKey } from '../dpop/replay-key.ts';
import { normaliseTarget } from '../dpop/target-url.ts';
import { Refusal, refuse } from '../errors/refusal.ts';
import type { Call } from '../http/route.ts';
import type { Clock } from '../time/clock.ts';
import { newIdentifier } from '../time/identifier.ts';
import { withChallenge } from './challenge.ts';
import type { ManagementAction } from './management-actions.ts';
import { namedTarget } from './named-target.ts';
import { createPresentationReader, type PresentedClaims } from './presented-token.ts';
import { createRequestBound } from './request-bound.ts';

export type Operator = {
  name: string;
  roles: readonly Role[];
  /** By which it was let in. */
  token: AccessClaims;
};

export type OperatorGuard = {
  /**
   * Resolves once the request is admitted; its proof is spent and the record has a line.
   * @throws {Refusal} 401 `credentials_missing`, `invalid_token`, `invalid_dpop_proof` or `use_dpop_nonce`, 403
   *   `insufficient_scope`, each with its challenge; 429 `rate_limited`
   */
  require(call: Call, action: ManagementAction): Promise<Operator>;
};

/** What the guard reads in a token of this broker's ring. */
export type AccessClaims = PresentedClaims & {
  sub: string;
  zone: string;
  epoch: number;
  kid: string;
};

export type OperatorGuardOptions = {
  issuer: string;
  resourceMetadataUrl: string;
  /** The claims of a token that this broker's ring signed, whether alive or not; else null. */
  readToken: (text: string) => AccessClaims | null;
  /** Applies the rule, spends the proof and records it, in one statement. */
  admit: (admission: {
    jti: string;
    proof: SpentKey;
    entry: AuditEntry;
  }) => Promise<{ alive: boolean; fresh: boolean }>;
  /** The roles that policy gives this operator; none for a name that this broker's files do not have. */
  rolesOf: (name: string) => readonly Role[];
  /** Whether the files have a client of this name: then the record may say it. */
  isDeclared: (name: string) => boolean;
  nonces: Nonces;
  noncePolicy: NoncePolicy;
  clock: Clock;
};

/** More than operators have in the time that a proof is good for. */
const MAX_REMEMBERED = 20_000;

const TOKEN_HINT = 'It is unknown, expired, revoked or for somewhere else: get a new one.';

export function createOperatorGuard(options: OperatorGuardOptions): OperatorGuard {
  const { issuer, resourceMetadataUrl, readToken, admit, rolesOf, isDeclared, nonces, noncePolicy, clock } =
    options;
  const bound = createRequestBound({ clock });
  // Neither comes back to life: whoever sends them again uses up nothing that the operator needs, no connection either.
  const deadTokens = createRecent<true>(MAX_REMEMBERED);
  const spentProofs = createRecent<true>(MAX_REMEMBERED);

  const read = createPresentationReader({
    audience: issuer,
    readToken,
    targetOf: ({ request }) =>
      normaliseTarget(`${issuer}${request.url ?? ''}`) ??
      refuse('request_malformed', { hint: 'The path has characters that have to be escaped.' }),
    tokenHint: TOKEN_HINT,
    nonces,
    noncePolicy,
    clock,
  });

  async function enter(call: Call, action: ManagementAction, claims: AccessClaims, proof: SpentKey) {
    const { client_id: actor, jti, sub: agent, cnf } = claims;
    if (deadTokens.get(jti)) refuseDead();
    if (spentProofs.get(proof.key)) refuseSpent();
    bound(actor, action);
    const { alive, fresh } = await admit({
      jti,
      proof,
      entry: {
        id: newIdentifier('aud', clock),
        action: 'operator.admitted',
        outcome: 'allowed',
        requestId: call.requestId,
        actor,
        tokenId: jti,
        details: {
          action,
          source: call.source.address,
          agent,
          jkt: cnf.jkt,
          proof: keyInRecord(proof.key),
          ...namedTarget(call, isDeclared),
        },
      },
    });
    if (!alive) {
      deadTokens.set(jti, true);
      refuseDead();
    }
    spentProofs.set(proof.key, true);
    if (!fresh) refuseSpent();
  }

  return {
    async require(call, action) {
      call.known.asked = { actions: [action], resource: issuer };
      try {
        const { claims, proof } = read(call, action);
        await enter(call, action, claims, proof);
        const { client_id: name } = claims;
        return { name, roles: rolesOf(name), token: claims };
      } catch (error) {
        if (!(error instanceof Refusal)) throw error;
        throw withChallenge(error, { action, resourceMetadataUrl });
      }
    },
  };
}

function refuseDead(): never {
  return refuse('token_inactive', { hint: TOKEN_HINT });
}

function refuseSpent(): never {
  return refuse('proof_replayed', { hint: 'Make a new proof for each request.' });
}
