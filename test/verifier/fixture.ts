/** A verifier in front of a fake issuer, and a client of which every part can be bent. */
import { randomUUID } from 'node:crypto';
import { tokenHash } from '../../src/dpop/proof.ts';
import { canonicalDigest } from '../../src/json/canonical-digest.ts';
import type { Clock } from '../../src/time/clock.ts';
import {
  createProofMemory,
  createVerifier,
  type Demand,
  type ResourceRequest,
  type Verification,
  type VerifierOptions,
} from '../../src/verifier/index.ts';
import { type Bend, newSessionKey, type SessionKey, signJwt } from '../test-agent.ts';
import { newDeclaredKey } from '../test-scopes.ts';
import { type FakeIssuer, startFakeIssuer } from './fake-issuer.ts';

export const AUDIENCE = 'https://customers.example.com';
export const ACTION = 'db:read:customers';

/** Past the seconds in which a proof without nonce may be older than the verifier. */
export const SETTLED_SECONDS = 20;

export type TestClock = Clock & { advanceSeconds(seconds: number): void; jumpSeconds(seconds: number): void };

export function createTestClock(): TestClock {
  let wall = Date.now();
  let monotonic = 1_000;
  return {
    milliseconds: () => wall,
    monotonicMilliseconds: () => monotonic,
    advanceSeconds(seconds) {
      wall += seconds * 1000;
      monotonic += seconds * 1000;
    },
    /** Only the wall clock moves. */
    jumpSeconds(seconds) {
      wall += seconds * 1000;
    },
  };
}

export type Fixture = Awaited<ReturnType<typeof createFixture>>;

/** `prepare`: what is bent before the verifier asks for the first time. */
export type FixtureOptions = {
  maxProofs?: number;
  prepare?: (issuer: FakeIssuer, clock: TestClock) => void;
  actions?: Parameters<typeof startFakeIssuer>[0]['actions'];
};

/** The verifier has its lease; `verify` renews it first, since its seconds pass by this clock and not by timers. */
export async function createFixture(
  given: Partial<VerifierOptions> = {},
  { maxProofs, prepare, actions = { [ACTION]: 'LOW' } }: FixtureOptions = {},
) {
  const clock = createTestClock();
  const session = newSessionKey();
  const now = () => Math.floor(clock.milliseconds() / 1000);
  const issuer = await startFakeIssuer({ now, actions });
  prepare?.(issuer, clock);
  const options: VerifierOptions = {
    issuer: issuer.url,
    resource: AUDIENCE,
    key: newDeclaredKey().privateJwk as VerifierOptions['key'],
    clock,
    ...(maxProofs === undefined ? {} : { proofs: createProofMemory({ maxProofs, clock }) }),
    ...given,
  };
  const verifier = createVerifier(options);
  clock.advanceSeconds(SETTLED_SECONDS);
  /** A lease of now, and everything that the issuer has revoked, if it answers. */
  async function renew(): Promise<void> {
    issuer.feed();
    const isBehind = () => issuer.streams.size > 0 && verifier.status().epoch < issuer.ledger.head().epoch;
    for (let tries = 0; tries === 0 || (isBehind() && tries < 2_000); tries += 1) {
      await verifier.ready().catch(() => undefined);
      if (isBehind()) await new Promise((resolve) => setTimeout(resolve, 1));
    }
  }
  await renew();

  function token({ header, claims, key }: Bend = {}): string {
    const signer = key === undefined ? issuer.signer.privateKey : 'privateKey' in key ? key.privateKey : key;
    return signJwt(
      { alg: 'EdDSA', typ: 'at+jwt', kid: issuer.signer.kid, ...header },
      {
        iss: issuer.url,
        sub: 'agt_1',
        client_id: 'report-writer',
        aud: AUDIENCE,
        iat: now(),
        exp: now() + 300,
        jti: `tok_${randomUUID()}`,
        scope: ACTION,
        cnf: { jkt: session.jkt },
        sid: 'ses_1',
        zone: 'analytics',
        epoch: issuer.ledger.head().epoch,
        ...claims,
      },
      signer,
    );
  }

  /** A token for one call. */
  function requestToken(call: object, bend: Bend = {}): string {
    const details = [
      {
        type: 'mayfly_call',
        action: ACTION,
        method: 'POST',
        url: `${AUDIENCE}/customers`,
        arguments_digest: canonicalDigest({}),
        ...call,
      },
    ];
    return token({ ...bend, claims: { authorization_details: details, ...bend.claims } });
  }

  function proof(accessToken: string, { header, claims, key }: Bend = {}, by: SessionKey = session): string {
    const signer = key === undefined ? by.privateKey : 'privateKey' in key ? key.privateKey : key;
    const alg = by.privateKey.asymmetricKeyType === 'ed25519' ? 'EdDSA' : 'ES256';
    return signJwt(
      { typ: 'dpop+jwt', alg, jwk: by.publicJwk, ...header },
      {
        htm: 'GET',
        htu: `${AUDIENCE}/customers`,
        iat: now(),
        jti: randomUUID(),
        ath: tokenHash(accessToken),
        ...claims,
      },
      signer,
    );
  }

  function request(
    accessToken = token(),
    dpop: string | string[] = proof(accessToken),
    overrides: Partial<ResourceRequest> = {},
  ): ResourceRequest {
    return {
      method: 'GET',
      target: '/customers',
      headers: [
        ['Authorization', `DPoP ${accessToken}`],
        ...[dpop].flat().map((one) => ['DPoP', one] as const),
      ],
      readArguments: () => ({}),
      ...overrides,
    };
  }

  return {
    issuer,
    clock,
    session,
    options,
    verifier,
    now,
    token,
    requestToken,
    proof,
    request,
    renew,
    async verify(asked: ResourceRequest = request(), demand: Demand = { action: ACTION }) {
      await renew();
      return verifier.verify(asked, demand);
    },
    async stop() {
      await verifier.close();
      await issuer.stop();
    },
  };
}

/** `ok`, or the code of the refusal and its reason. */
export function outcomeOf(verification: Verification): string {
  return verification.granted ? 'ok' : `${verification.code} ${verification.reason}`;
}

export function codeOf(verification: Verification): string {
  return verification.granted ? 'ok' : verification.code;
}

export function claimsOf(jwt: string): Record<string, unknown> {
  return JSON.parse(Buffer.from(jwt.split('.')[1] ?? '', 'base64url').toString('utf8'));
}
