import assert from 'node:assert/strict';
import { mkdtempSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { after, test } from 'node:test';
import { createTestWorld } from '../test-broker.ts';
import { makeCertificate } from '../test-certificate.ts';

const DAY_SECONDS = 86_400;
const folder = mkdtempSync(join(tmpdir(), 'mayfly-certificate-'));
after(() => rmSync(folder, { recursive: true }));

async function remainingSeconds(settings: Record<string, string>): Promise<string> {
  const world = await createTestWorld();
  const { metricsUrl } = await world.startBroker({ settings });
  const text = await (await fetch(`${metricsUrl}/metrics`)).text();
  return /^mayfly_certificate_remaining_seconds (\S+)$/m.exec(text)?.[1] ?? 'nothing';
}

test('metrics say how long the certificate of a broker lasts', async () => {
  const { certificate, privateKey } = makeCertificate(['127.0.0.1']); // for a day
  const settings = { MAYFLY_TLS_CERT: join(folder, 'cert.pem'), MAYFLY_TLS_KEY: join(folder, 'key.pem') };
  writeFileSync(settings.MAYFLY_TLS_CERT, certificate);
  writeFileSync(settings.MAYFLY_TLS_KEY, privateKey);
  const seconds = Number(await remainingSeconds(settings));
  assert.ok(seconds > 0 && seconds <= DAY_SECONDS, String(seconds));
});

test('without a certificate nothing ends', async () => {
  assert.equal(await remainingSeconds({}), '+Inf');
});
