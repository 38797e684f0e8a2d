import assert from 'node:assert/strict';
import { generateKeyPairSync } from 'node:crypto';
import { test } from 'node:test';
import { parseVerificationKey } from '../../src/jws/jwk.ts';
import { LEDGER_PAGE_TYPE, signMessage } from '../../src/revocations/ledger-message.ts';
import { createMessageReader } from '../../src/verifier/message-reader.ts';

const ISSUER = 'https://mayfly.example.com';
const KID = 'ledger-1';

test('a message is not believed when its key is revoked while the keys are fetched', async () => {
  const { publicKey, privateKey } = generateKeyPairSync('ed25519');
  const key = parseVerificationKey({ ...publicKey.export({ format: 'jwk' }), kid: KID, alg: 'EdDSA' });
  const page = {
    generation: 1,
    floor: 0,
    since: 0,
    since_digest: null,
    through: 0,
    head: { epoch: 0, digest: 'A'.repeat(43) },
    snapshot: true,
    entries: [],
  };
  const text = signMessage(LEDGER_PAGE_TYPE, { iss: ISSUER, iat: 1, page }, { kid: KID, privateKey });
  let revoked = false;
  let onFetch = () => {};
  const reader = createMessageReader({
    issuer: ISSUER,
    keys: {
      async load() {},
      refresh() {},
      async keyOf() {
        onFetch();
        return key;
      },
    },
    isRevokedKey: () => revoked,
    evidence: { keep() {} },
  });
  assert.deepEqual(await reader.page(text), { page, signedBy: KID });
  onFetch = () => {
    revoked = true;
  };
  await assert.rejects(reader.page(text), { reason: 'broker_answer_unusable' });
});
