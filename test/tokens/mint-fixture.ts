import { randomBytes } from 'node:crypto';
import pg from 'pg';
import { createPool, openKysely } from '../../src/database/pool.ts';
import { hourOf, replayKey } from '../../src/dpop/replay-key.ts';
import { silentLog } from '../../src/errors/log.ts';
import { createRevocationStore } from '../../src/revocations/revocation-store.ts';
import { createKeyRing } from '../../src/signing-keys/key-ring.ts';
import { systemClock } from '../../src/time/clock.ts';
import { newIdentifier } from '../../src/time/identifier.ts';
import { createMintStore, type MintRow } from '../../src/tokens/mint-store.ts';
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
  const jti = newIdentifier('tok', systemClock);
  return {
    token_id: jti,
    new_session_id: newIdentifier('ses', systemClock),
    token_hour: hourOf(now),
    catalogue_version: 1,
    agent_id: 'agt_1',
    client_id: 'report-writer',
    zone: 'analytics',
    jkt: 'key-1',
    session_seconds: 3_600,
    lifetime_seconds: 300,
    resource: 'https://customers.example.com',
    scope: 'db:read:customers',
    call: null,
    proof_hour: hourOf(now),
    proof_key: replayKey('proof', 'key-1', randomBytes(16).toString('hex')),
    assertion_hour: hourOf(now + 60),
    assertion_key: replayKey('assertion', 'report-writer', randomBytes(16).toString('hex')),
    request_id: 'req_1',
    audit_id: newIdentifier('aud', systemClock),
    audit_details: {},
    ...overrides,
  };
}
