/**
 * Not a test: a program that keeps an embedded Postgres the way a broker does, to be signalled and killed.
 * Takes options as JSON, prints one JSON line when ready, stops the database on SIGTERM or SIGINT.
 */
import pg from 'pg';
import { type EmbeddedPostgresOptions, startEmbeddedPostgres } from '../../src/database/embedded-postgres.ts';
import { silentLog } from '../../src/errors/log.ts';
import { systemClock } from '../../src/time/clock.ts';

const options: Partial<EmbeddedPostgresOptions> & { dataDirectory: string } = JSON.parse(
  process.argv[2] ?? '',
);

try {
  const postgres = await startEmbeddedPostgres({ log: silentLog, clock: systemClock, ...options });
  const isAnswering = async () => {
    const client = new pg.Client({ connectionString: postgres.applicationUrl, ssl: false });
    await client.connect();
    await client.query('select 1');
    await client.end();
    return true;
  };
  const { socketDirectory, superuserUrl, pid } = postgres;
  const leave = async () => {
    const drained = await isAnswering().catch(() => false); // what a drain needs
    await postgres.stop();
    process.stdout.write(`${JSON.stringify({ drained })}\n`);
    process.exit(0);
  };
  for (const signal of ['SIGINT', 'SIGTERM'] as const) process.once(signal, leave);
  process.stdout.write(`${JSON.stringify({ socketDirectory, superuserUrl, pid })}\n`);
  setInterval(() => {}, 60_000);
} catch (error) {
  process.stdout.write(`${JSON.stringify({ error: (error as Error).message })}\n`);
  process.exit(1);
}
