/** Runs once around a whole test run: `node --test --test-global-setup=test/global-setup.ts`. */
import { join } from 'node:path';
import { FOLDER_VARIABLE, SOCKET_VARIABLE, startTestCluster, type TestCluster } from './test-cluster.ts';

let cluster: TestCluster | undefined;

export async function globalSetup(): Promise<void> {
  cluster = await startTestCluster();
  // Test files, and what they start, are started with this environment.
  process.env[SOCKET_VARIABLE] = cluster.socketDirectory;
  process.env[FOLDER_VARIABLE] = cluster.directory;
  // Half of what a process costs that starts and does little is reading our source: once a run is enough.
  process.env.NODE_COMPILE_CACHE = join(cluster.directory, 'compiled');
}

/** Also after Ctrl-C and SIGTERM. */
export async function globalTeardown(): Promise<void> {
  await cluster?.stop();
}
