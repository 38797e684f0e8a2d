/**
 * A real broker with a log of some hundred entries, behind a door that a test holds: the commands see one origin, and
 * the test decides who answers there and what happens to the answer on its way.
 */
import { once } from 'node:events';
import { mkdtempSync, rmSync, writeFileSync } from 'node:fs';
import { createServer, type IncomingMessage, request, type ServerResponse } from 'node:http';
import type { AddressInfo } from 'node:net';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { embeddedUrls } from '../../src/database/embedded/embedded-urls.ts';
import { databaseGrants } from '../../src/database/roles.ts';
import { until } from '../broker-process.ts';
import { createTestWorld } from '../test-broker.ts';
import { asSuperuser } from '../test-cluster.ts';
import { beforeDrop } from '../test-database.ts';
import { type CommandLine, commandLine } from './command-line.ts';

/** Null lets the answer pass. */
export type Meddling = (path: string) => Buffer | { status: number; body: object } | null;

export async function createAuditWorld() {
  const world = await createTestWorld();
  const { socketDirectory } = world.database;
  const copies: string[] = [];
  beforeDrop(async () => {
    for (const name of copies) {
      await asSuperuser(socketDirectory, (client) => client.query(`drop database ${name} with (force)`));
    }
  });
  const folder = mkdtempSync(join(tmpdir(), 'mayfly-audit-'));
  let target = '';
  let meddle: Meddling = () => null;
  const door = createServer((asked, response) => pass(asked, response, { target, meddle }));
  door.listen(0, '127.0.0.1');
  await once(door, 'listening');
  const { port } = door.address() as AddressInfo;
  const issuer = `http://127.0.0.1:${port}`;
  const keyFile = join(folder, 'olivia.jwk.json');
  writeFileSync(keyFile, JSON.stringify(world.scopes.keys.get('olivia')));
  const settings = {
    MAYFLY_ISSUER: issuer,
    MAYFLY_OPERATOR: 'olivia',
    MAYFLY_OPERATOR_KEY_FILE: keyFile,
    MAYFLY_DATA_DIR: join(folder, 'data'),
  };
  const start = async (more: Record<string, string> = {}) => {
    const broker = await world.startBroker({ settings: { MAYFLY_ISSUER: issuer, ...more } });
    target = broker.url;
    return broker;
  };
  let broker = await start();

  async function sizeNow(): Promise<number> {
    const answer = await fetch(`${issuer}/v1/audit/checkpoint`);
    return answer.status === 200 ? Number((await answer.text()).split('\n')[1]) : 0;
  }

  return {
    world,
    folder,
    issuer,
    origin: `127.0.0.1:${port}/v1/audit`,
    settings,
    mayfly: commandLine(settings) as CommandLine,
    file: (name: string) => join(folder, name),
    sizeNow,
    /** Entries of their own, and waits until a signed head covers them. @returns the size of the log then */
    async addEntries(count: number, database = world.database.name): Promise<number> {
      const before = await sizeNow();
      const insert = `insert into audit_entries (id, action, outcome, actor, details)
         select 'aud_' || replace(gen_random_uuid()::text, '-', ''), 'token.consumed', 'allowed',
                E'actor-\\u001b[31m' || n, '{}'
           from generate_series(1, ${count}) n`;
      await asSuperuser(socketDirectory, (client) => client.query(insert), database);
      await until(async () => (await sizeNow()) >= before + count, 'a signed head over them', 60_000);
      return sizeNow();
    },
    async vkey(): Promise<string> {
      const { keys } = (await (await fetch(`${issuer}/v1/audit/keys`)).json()) as {
        keys: { vkey: string }[];
      };
      return keys.at(-1)?.vkey ?? '';
    },
    /** What happens to answers from now on. */
    meddleWith(next: Meddling): void {
      meddle = next;
    },
    /** Past every guard, as whoever owns the machine of the database can. */
    async tamper(statement: string): Promise<void> {
      await asSuperuser(
        socketDirectory,
        async (client) => {
          await client.query('set session_replication_role = replica');
          await client.query(statement);
        },
        world.database.name,
      );
    },
    stopBroker: () => broker.stop(),
    /** As it is now, under another name, as a backup that somebody restores. The broker has to be stopped. */
    async copyDatabase(): Promise<{ name: string; applicationUrl: string }> {
      const name = `${world.database.name}_copy`;
      await asSuperuser(socketDirectory, async (client) => {
        await client.query('select pg_terminate_backend(pid) from pg_stat_activity where datname = $1', [
          world.database.name,
        ]);
        await client.query(`create database ${name} template ${world.database.name} strategy file_copy`);
        for (const statement of databaseGrants(name)) await client.query(statement);
      });
      copies.push(name);
      return { name, applicationUrl: embeddedUrls(socketDirectory, name).applicationUrl };
    },
    async startBroker(more: Record<string, string> = {}): Promise<void> {
      broker = await start(more);
    },
    close(): void {
      door.closeAllConnections();
      door.close();
      rmSync(folder, { recursive: true, force: true });
    },
  };
}

function pass(
  asked: IncomingMessage,
  response: ServerResponse,
  { target, meddle }: { target: string; meddle: Meddling },
): void {
  const forged = meddle(asked.url ?? '');
  if (Buffer.isBuffer(forged)) return void response.end(forged);
  if (forged !== null) {
    response.writeHead(forged.status, { 'Content-Type': 'application/problem+json' });
    return void response.end(JSON.stringify(forged.body));
  }
  const { method = 'GET', url = '/', headers } = asked;
  const onward = request(`${target}${url}`, { method, headers, agent: false }, (answer) => {
    response.writeHead(answer.statusCode ?? 502, answer.headers);
    answer.pipe(response);
  });
  onward.on('error', () => response.destroy());
  asked.pipe(onward);
}
