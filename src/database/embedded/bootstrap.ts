/** Roles and the empty database. Runs at every start: it costs little and heals what a crash left half done. */
import pg from 'pg';
import { DATABASE_NAME, databaseGrants, OWNER_ROLE, ROLE_STATEMENTS, SCHEMA_STATEMENTS } from '../roles.ts';
import { embeddedUrls } from './embedded-urls.ts';

export async function bootstrap(socketDirectory: string): Promise<void> {
  await asSuperuser(socketDirectory, 'postgres', async (client) => {
    for (const statement of ROLE_STATEMENTS) await client.query(statement);
    const { rowCount } = await client.query('select from pg_database where datname = $1', [DATABASE_NAME]);
    if (rowCount === 0) await client.query(`create database ${DATABASE_NAME} owner ${OWNER_ROLE}`);
  });
  await asSuperuser(socketDirectory, DATABASE_NAME, async (client) => {
    for (const statement of [...databaseGrants(), ...SCHEMA_STATEMENTS]) await client.query(statement);
  });
}

async function asSuperuser(
  socketDirectory: string,
  database: string,
  work: (client: pg.Client) => Promise<void>,
): Promise<void> {
  const { superuserUrl } = embeddedUrls(socketDirectory, database);
  const client = new pg.Client({ connectionString: superuserUrl, ssl: false });
  client.on('error', () => {}); // the query that is under way tells it
  await client.connect();
  try {
    await work(client);
  } finally {
    await client.end();
  }
}
