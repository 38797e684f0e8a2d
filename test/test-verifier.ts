/**
 * A verifier's side of the ledger, written out in full: questions that a test can bend, answers that are checked
 * against the published keys, and the feed as it comes over the socket.
 */
import { createPrivateKey, randomBytes, type webcrypto } from 'node:crypto';
import { parseVerificationKey } from '../src/jws/jwk.ts';
import type { LedgerPage } from '../src/revocations/ledger-entry.ts';
import {
  LEASE_TYPE,
  LEDGER_PAGE_TYPE,
  type Lease,
  leaseMessage,
  ledgerPageMessage,
  QUESTION_TYPE,
  readMessage,
} from '../src/revocations/ledger-message.ts';
import { systemClock } from '../src/time/clock.ts';
import { newIdentifier } from '../src/time/identifier.ts';
import { nowSeconds, signJwt } from './test-agent.ts';

export type TestVerifierOptions = {
  url: string;
  issuer: string;
  audience: string;
  key: webcrypto.JsonWebKey & { kid?: string };
};

export type AnswerTo = {
  status: number;
  headers: Headers;
  // biome-ignore lint/suspicious/noExplicitAny: tests look into any answer
  body: any;
  /** Null when it was refused. */
  lease: Lease | null;
};

export type TestVerifier = ReturnType<typeof createTestVerifier>;

export function createTestVerifier({ url, issuer, audience, key }: TestVerifierOptions) {
  const privateKey = createPrivateKey({ key, format: 'jwk' });
  const alg = privateKey.asymmetricKeyType === 'ed25519' ? 'EdDSA' : 'ES256';
  const instance = newIdentifier('ver', systemClock);
  let known = { generation: 0, applied_epoch: 0, digest: null as string | null };

  function question(claims: object = {}, header: object = {}): string {
    const now = nowSeconds();
    return signJwt(
      { alg, typ: QUESTION_TYPE, kid: key.kid, ...header },
      {
        iss: audience,
        sub: audience,
        aud: issuer,
        iat: now,
        exp: now + 30,
        instance,
        nonce: newNonce(),
        ...known,
        sensitivities: ['HIGH'],
        ...claims,
      },
      privateKey,
    );
  }

  async function send(text: string, to = url): Promise<AnswerTo> {
    const response = await fetch(`${to}/v1/verifiers/current/lease`, {
      method: 'POST',
      headers: { 'Content-Type': 'application/json' },
      body: JSON.stringify({ question: text }),
    });
    const body = JSON.parse(await response.text());
    const lease = response.ok
      ? readMessage(body.answer, { typ: LEASE_TYPE, schema: leaseMessage, keyOf: await keysOf(url) })
      : null;
    return { status: response.status, headers: response.headers, body, lease };
  }

  return {
    instance,
    audience,
    question,
    send,
    /** Asks, and applies what comes. @throws when there is no lease */
    async renew(claims: object = {}, to = url): Promise<Lease> {
      const { status, body, lease } = await send(question(claims), to);
      if (lease === null) throw new Error(`no lease: ${status} ${JSON.stringify(body)}`);
      const { generation, through, head } = lease.page;
      if (through === head.epoch) known = { generation, applied_epoch: through, digest: head.digest };
      return lease;
    },
    known: () => known,
    /** From now on it says that it has applied this. */
    claim(claimed: Partial<typeof known>) {
      known = { ...known, ...claimed };
    },
  };
}

export function newNonce(): string {
  return randomBytes(16).toString('base64url');
}

/** What a signed page says; fails when the signature is not good. */
export async function pageIn(text: string, url: string): Promise<LedgerPage> {
  const message = readMessage(text, {
    typ: LEDGER_PAGE_TYPE,
    schema: ledgerPageMessage,
    keyOf: await keysOf(url),
  });
  if (message === null) throw new Error('the page is not signed by a key of the ledger');
  return message.page;
}

async function keysOf(url: string) {
  const response = await fetch(`${url}/.well-known/mayfly-ledger-jwks.json`);
  const { keys } = (await response.json()) as { keys: (webcrypto.JsonWebKey & { kid: string })[] };
  const known = new Map(keys.map((jwk) => [jwk.kid, parseVerificationKey(jwk)]));
  return (kid: string) => known.get(kid) ?? null;
}
