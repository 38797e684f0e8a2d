/**
 * A verifier is what a resource server puts in front of its own work: it lets a request pass or says exactly why
 * not. A request passes when a token of *this* issuer, for *this* resource, that covers the action, comes with a
 * proof by the key that it is bound to, made for this very request and not used before, and nothing that was revoked
 * kills the token. A token for a single call has to be for this call, and is used up by it.
 *
 * For what is revoked it asks nobody: it holds a copy of the ledger, and a lease that says how long it may believe
 * that copy. Four habits keep it honest. A stranger gets no further than what is cheap. A proof is marked as used in
 * one synchronous step. The ledger, the time and the lease are looked at together, after the last wait (L16). And
 * what cannot be decided is 503, never a yes.
 *
 * `verify` returns an object in both cases, so look at `granted`, not at whether there is an answer; `requireAction`
 * cannot be misread that way.
 */
import { type ActionGuard, createActionGuard } from './action-guard.ts';
import { connect } from './connect.ts';
import { createDecide, type Demand, type Granted } from './decision.ts';
import { refuseDecision } from './decisions.ts';
import { createMetadataHandler, type MetadataHandler, type MetadataOptions } from './metadata-handler.ts';
import { momentOf } from './moment.ts';
import { refuse, VerifierRefusal } from './refusal.ts';
import { type Refused, refusedWith } from './refused.ts';
import type { ResourceRequest } from './resource-request.ts';
import { statusOf, type VerifierStatus } from './status.ts';
import { checkOptions, type VerifierOptions } from './verifier-options.ts';

export type Verification = Granted | ({ granted: false } & Refused);

export type Verifier = ActionGuard & {
  /** Resolves once it can decide: keys, ledger and lease are here. @throws {Error} that says what is wrong */
  ready(): Promise<void>;
  /** Never rejects for what a client did; look at `granted`. */
  verify(request: ResourceRequest, demand: Demand): Promise<Verification>;
  /** Serves this server's RFC 9728 document, where challenges say that it is. */
  metadata(options?: MetadataOptions): MetadataHandler;
  /** What it has applied, and for how long it could go on if nothing more were heard: for health checks. */
  status(): VerifierStatus;
  /**
   * What brokers signed of the ledger and may yet lose in a failover (L25), compact JWS as received: to be written to a
   * file, one on a line, for `mayfly ledger recover`. What was let go of when there was too much is not in it.
   */
  evidence(): string[];
  /**
   * From now on everything is refused (503). Resolves after the last decision, and when a broker was told or none
   * could be. A verifier that is not closed keeps its connection to the feed open.
   */
  close(): Promise<void>;
};

/** @throws {TypeError} that lists every mistake in the options */
export function createVerifier(given: VerifierOptions): Verifier {
  const options = checkOptions(given);
  const { issuer, proofs, clock } = options;
  const connection = connect(options);
  const { keys, link, urls } = connection;
  const { state, actions, renewal, feed } = link;
  const decide = createDecide(options, connection);
  const underWay = new Set<Promise<unknown>>();
  let closed = false;

  async function answer(request: ResourceRequest, demand: Demand): Promise<Verification> {
    try {
      if (closed) refuse('verifier_closed');
      return await decide(request, demand);
    } catch (error) {
      if (!(error instanceof VerifierRefusal)) throw error;
      const { resourceMetadataUrl } = options;
      const context = { resourceMetadataUrl, action: demand.action, nonce: proofs.nonce };
      return { granted: false, ...refusedWith(error, context) };
    }
  }

  async function verify(request: ResourceRequest, demand: Demand): Promise<Verification> {
    const decision = answer(request, demand);
    underWay.add(decision);
    try {
      return await decision;
    } finally {
      underWay.delete(decision);
    }
  }

  /** Asks until nothing is missing: with the first answer it learns how sensitive its actions are. */
  async function becomeReady(): Promise<void> {
    for (let questions = 0; questions < 2; questions += 1) {
      const known = actions.version();
      if (state.readiness('HIGH', momentOf(clock)) !== 'granted') await renewal.now();
      if (actions.version() === known) break;
      await renewal.now();
    }
    await keys.load();
    refuseDecision(state.readiness('HIGH', momentOf(clock)));
  }

  const { guards, guardedActions } = createActionGuard(verify);
  renewal.start();
  return {
    ...guards,
    verify,
    metadata: (given) => createMetadataHandler({ ...options, guardedActions }, given),
    status: () => statusOf({ ...options, link, urls, closed }),
    evidence: link.evidence.pages,
    async ready() {
      await becomeReady().catch((error: unknown) => {
        throw new Error(`the broker ${issuer} cannot be asked: ${reasonOf(error)}`, { cause: error });
      });
    },
    async close() {
      if (closed) return;
      closed = true;
      await Promise.allSettled(underWay);
      state.close();
      await Promise.all([feed.stop(), renewal.leave()]);
    },
  };
}

function reasonOf(error: unknown): string {
  return error instanceof VerifierRefusal ? error.reason : String(error);
}
