/** The kill switch's SQL on a database of its own, without a broker. */
import pg from 'pg';
import { loadCatalogue } from '../../src/catalogue/load-catalogue.ts';
import { createPool, openKysely } from '../../src/database/pool.ts';
import { silentLog } from '../../src/errors/log.ts';
import { applyCatalogue } from '../../src/revocations/apply-catalogue.ts';
import { systemClock } from '../../src/time/clock.ts';
import { newIdentifier } from '../../src/time/identifier.ts';
import { beforeDrop, createTestDatabase } from '../test-database.ts';

export type Engaged = { outcome: string; id: string | null; epoch: string | null };

export type KeyedRequest = { client: string; key: string; digest: string };

export async function createLedgerFixture() {
  const database = await createTestDatabase();
  const owner = openKysely<unknown>(
    createPool({ url: database.ownerUrl, size: 2, applicationName: 'test owner', log: silentLog }),
  );
  const { catalogue } = await loadCatalogue('scopes');
  if (catalogue === null) throw new Error('the shipped catalogue does not load');
  await applyCatalogue({ owner, catalogue, actor: 'test', clock: systemClock });
  const app = new pg.Pool({ connectionString: database.applicationUrl, max: 8, ssl: false });
  const asOwner = new pg.Pool({ connectionString: database.ownerUrl, max: 2, ssl: false });
  app.on('error', () => {});
  asOwner.on('error', () => {});
  beforeDrop(async () => {
    await Promise.all([app.end(), asOwner.end(), owner.destroy()]);
  });

  const id = (prefix: string) => newIdentifier(prefix, systemClock);

  return {
    database,
    catalogue,
    app,
    owner: asOwner,

    async engage(
      kind: string,
      target: string,
      {
        actor = 'olivia',
        reason = 'stolen key',
        request,
      }: { actor?: string; reason?: string; request?: KeyedRequest } = {},
    ): Promise<Engaged> {
      const { rows } = await app.query(
        'select * from engage_kill_switch($1, $2, $3, $4, $5, $6, $7, $8, $9, $10)',
        [
          id('rev'),
          kind,
          target,
          reason,
          actor,
          id('aud'),
          null,
          request?.client,
          request?.key,
          request?.digest,
        ],
      );
      return rows[0];
    },

    async release(switchId: string, actor = 'omar'): Promise<{ outcome: string; epoch: string | null }> {
      const { rows } = await app.query(
        'select * from release_kill_switch($1, $2, $3, $4, $5, $6, null, null, null)',
        [switchId, id('rev'), 'key replaced', actor, id('aud'), null].slice(0, 6),
      );
      return rows[0];
    },

    async head(): Promise<number> {
      return Number((await app.query('select epoch from revocation_head')).rows[0].epoch);
    },

    async record(epoch: string | number | null): Promise<Record<string, unknown>[]> {
      const { rows } = await asOwner.query(
        `select action, outcome, actor, details from audit_entries where (details->>'epoch')::bigint = $1 order by at`,
        [epoch],
      );
      return rows;
    },
  };
}

export type LedgerFixture = Awaited<ReturnType<typeof createLedgerFixture>>;
