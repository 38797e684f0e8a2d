/** The servers, each in a process of its own, and what a request to each has to look like. */
import { freePort } from '../broker-process.ts';
import type { ServerArguments } from './bench-client.ts';
import { type ChildProgram, startProgram, untilListening } from './child-program.ts';
import type { Target } from './signed-requests.ts';
import type { Stage } from './stage.ts';

export type ServerName = 'floor' | 'mayfly' | 'unrecorded' | 'peer';

export type BenchServer = {
  name: ServerName;
  title: string;
  target: Target;
  program: ChildProgram;
  /** Resolves when what it does after its answers is done too: that is a part of what they cost. */
  settle(): Promise<void>;
};

/** Bounds that would turn this many requests from one address away are raised; nothing else differs. */
const UNBOUNDED = '1000000';

export async function startMayfly(
  stage: Stage,
  profileFolder?: string,
  more: Readonly<Record<string, string>> = {},
  name = 'mayfly',
): Promise<BenchServer> {
  const port = await freePort();
  const program = startProgram({
    name,
    program: new URL('../../src/launch.js', import.meta.url),
    args: ['start'],
    profileFolder,
    settings: {
      DATABASE_URL: stage.databaseUrls.mayfly,
      MAYFLY_PORT: String(port),
      MAYFLY_SCOPES_DIR: stage.scopesDirectory,
      MAYFLY_KEK: stage.keyEncryptionKey,
      MAYFLY_LOG_LEVEL: 'warn',
      MAYFLY_RATE_PER_SOURCE: UNBOUNDED,
      MAYFLY_RATE_PER_CLIENT: UNBOUNDED,
      MAYFLY_DRAIN_SECONDS: '1',
      ...more,
    },
  });
  const server = await started('mayfly', program, { port, path: '/oauth/token', nonce: true });
  return { ...server, settle: stage.untilLogged };
}

/** The same broker on a database in which lines of the record are thrown away: the product has no such switch. */
export async function startUnrecorded(stage: Stage, profileFolder?: string): Promise<BenchServer> {
  const settings = { DATABASE_URL: stage.databaseUrls.unrecorded };
  const server = await startMayfly(stage, profileFolder, settings, 'mayfly-unrecorded');
  return { ...server, name: 'unrecorded', title: TITLES.unrecorded, settle: async () => {} };
}

export async function startFloor(stage: Stage, profileFolder?: string): Promise<BenchServer> {
  const port = await freePort();
  const program = startProgram({
    name: 'floor',
    program: new URL('./floor-server.ts', import.meta.url),
    args: [argumentsOf(port, stage.databaseUrls.floor, stage)],
    profileFolder,
  });
  return started('floor', program, { port, path: '/token', nonce: false });
}

export async function startPeer(stage: Stage): Promise<BenchServer> {
  const port = await freePort();
  const program = startProgram({
    name: 'peer',
    program: new URL('./peer-server.ts', import.meta.url),
    args: [argumentsOf(port, stage.databaseUrls.peer, stage)],
  });
  return started('peer', program, { port, path: '/token', nonce: false });
}

const TITLES: Readonly<Record<ServerName, string>> = {
  floor: 'bare floor',
  mayfly: 'mayfly',
  unrecorded: 'mayfly without its log',
  peer: 'oidc-provider',
};

async function started(
  name: ServerName,
  program: ChildProgram,
  { port, path, nonce }: { port: number; path: string; nonce: boolean },
): Promise<BenchServer> {
  try {
    await untilListening(port, program);
  } catch (error) {
    await program.stop();
    throw error;
  }
  const issuer = `http://127.0.0.1:${port}`;
  return {
    name,
    title: TITLES[name],
    program,
    target: { port, path, issuer, nonce },
    settle: async () => {},
  };
}

function argumentsOf(port: number, databaseUrl: string, { clients }: Stage): string {
  const publicClients = clients.map(({ privateJwk: _, ...client }) => client);
  return JSON.stringify({ port, databaseUrl, clients: publicClients } satisfies ServerArguments);
}
