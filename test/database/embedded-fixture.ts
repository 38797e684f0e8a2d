/** Data folders, and programs that keep a database in them, each gone when its test ends. */
import { type ChildProcess, spawn } from 'node:child_process';
import { once } from 'node:events';
import { mkdtempSync, readdirSync, realpathSync, rmSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { createInterface } from 'node:readline';
import { fileURLToPath } from 'node:url';
import pg from 'pg';
import { postgresPidsIn } from '../../src/database/embedded/pid.ts';
import { waitUntil } from '../../src/database/embedded/wait-until.ts';
import {
  type EmbeddedPostgres,
  type EmbeddedPostgresOptions,
  startEmbeddedPostgres,
} from '../../src/database/embedded-postgres.ts';
import { silentLog } from '../../src/errors/log.ts';
import { systemClock } from '../../src/time/clock.ts';

export type Options = Partial<EmbeddedPostgresOptions> & { dataDirectory: string };
export type Line = {
  pid?: number;
  superuserUrl?: string;
  socketDirectory?: string;
  drained?: boolean;
  error?: string;
};
export type Program = {
  child: ChildProcess;
  /** Its next line of output. */
  line(): Promise<Line>;
  /** Kills it with SIGKILL and waits until it is gone. */
  kill(): Promise<void>;
  exited: Promise<unknown>;
};

/** A test's context, or the file: what is to be cleaned up at its end. */
export type Scope = { after(clean: () => unknown): void };

const GONE_MILLISECONDS = 10_000;

/** A folder for one test. Whatever Postgres still works in it afterwards is ended. */
export function makeDataDirectory(t: Scope, name = 'data'): string {
  const parent = realpathSync(mkdtempSync(join(tmpdir(), 'mayfly-lifecycle-')));
  t.after(async () => {
    for (const pid of postgresPidsBelow(parent)) process.kill(pid, 'SIGKILL');
    await waitUntil(() => postgresPidsBelow(parent).length === 0, GONE_MILLISECONDS);
    rmSync(parent, { recursive: true, force: true });
  });
  return join(parent, name);
}

function postgresPidsBelow(parent: string): number[] {
  return readdirSync(parent).flatMap((name) => postgresPidsIn(join(parent, name, 'postgres', 'cluster')));
}

export function clusterOf(dataDirectory: string): string {
  return join(dataDirectory, 'postgres', 'cluster');
}

/** In this very program; stopped when the test ends. */
export async function start(t: Scope, options: Options): Promise<EmbeddedPostgres> {
  const postgres = await startEmbeddedPostgres({
    log: silentLog,
    clock: systemClock,
    durable: false,
    ...options,
  });
  t.after(() => postgres.stop());
  return postgres;
}

export type StartOptions = Options & {
  ids?: { uid: number; gid: number } | undefined;
};

/** In a program of its own, in a process group of its own. */
export function startProgram(t: Scope, { ids, ...options }: StartOptions): Program {
  const program = fileURLToPath(new URL('embedded-program.ts', import.meta.url));
  const child = spawn(process.execPath, [program, JSON.stringify({ durable: false, ...options })], {
    detached: true,
    stdio: ['ignore', 'pipe', 'inherit'],
    ...ids,
  });
  const exited = once(child, 'exit');
  const lines = createInterface({ input: child.stdout })[Symbol.asyncIterator]();
  const kill = async () => {
    child.kill('SIGKILL');
    await exited;
  };
  t.after(kill);
  return {
    child,
    exited,
    kill,
    async line() {
      const { value, done } = await lines.next();
      return done ? {} : (JSON.parse(value) as Line);
    },
  };
}

export async function ask<Row extends pg.QueryResultRow>(url: string, text: string): Promise<Row[]> {
  const client = new pg.Client({ connectionString: url, ssl: false });
  client.on('error', () => {});
  await client.connect();
  try {
    return (await client.query<Row>(text)).rows;
  } finally {
    await client.end();
  }
}
