import { randomBytes } from 'node:crypto';
import pg from 'pg';
import { createPool, openKysely } from '../../src/database/pool.ts';
import { hourOf, replayKey } from '../../src/dpop/replay-key.ts';
import { silentLog } from '../../src/errors/log.ts';
import { createRevocationStore } from '../../src/revocations/revocation-store.ts';
import { createKeyRing } from '../../src/signing-keys/key-ring.ts';
import { systemClock } from '../../src/time/clock.ts';
import { newIdentifier } from '../../src/time/identifier.ts';
import type { MintRow } from '../../src/tokens/mint-row.ts';
import { createMintStore } from '../../src/tokens/mint-store.ts';
import { beforeDrop, createTestDatabase } from '../test-database.ts';

/** A database in which the mint's statement can run: a catalogue version, an agent, a ring of keys. */
export async function prepareMinting() {
  const database = await createTestDatabase();
  const owner = new pg.Client(database.ownerUrl);
  await owner.connect();
  const pool = createPool({ url: database.applicationUrl, size: 8, applicationName: 'test', log: silentLog });
  await owner.query(
    `insert into catalogue_versions (digest, document, applied_by, active) values ('d', '{}', 't', true)`,
  );
  await owner.query(`insert into agents (id, name) values ('agt_1', 'report-writer'), ('agt_2', 'mailer'),
    ('id-of-reporter', 'reporter'), ('id-of-mailer', 'mailer-2')`);
  const ring = await createKeyRing({
    pool,
    kek: { current: randomBytes(32), previous: [] },
    clock: systemClock,
    log: silentLog,
  });
  const kid = ring.tokenSigner().kid;
  const kysely = openKysely<unknown>(pool);

  beforeDrop(async () => {
    await ring.close();
    await owner.end();
    await kysely.destroy();
  });

  return {
    owner,
    pool,
    kysely,
    kid,
    ring,
    store: createMintStore(pool),
    revocations: createRevocationStore(kysely, systemClock),
  };
}

/** A request that would be granted; every identifier fresh. */
export function mintRow(overrides: Partial<MintRow> = {}): MintRow {
  const now = Date.now() / 1000;
  return {
    tokenId: newIdentifier('tok', systemClock),
    tokenHour: hourOf(now),
    catalogueVersion: 1,
    agentId: 'agt_1',
    clientId: 'report-writer',
    zone: 'analytics',
    exemptFromWide: false,
    jkt: 'key-1',
    sessionSeconds: 3_600,
    lifetimeSeconds: 300,
    resource: 'https://customers.example.com',
    scope: 'db:read:customers',
    call: undefined,
    callDigest: undefined,
    proofHour: hourOf(now),
    proofKey: replayKey('proof', 'key-1', randomBytes(16).toString('hex')),
    assertionHour: hourOf(now + 60),
    assertionKey: replayKey('assertion', 'report-writer', randomBytes(16).toString('hex')),
    requestId: 'req_1',
    source: '192.0.2.1',
    clientKid: 'key-of-the-agent',
    ...overrides,
  };
}
