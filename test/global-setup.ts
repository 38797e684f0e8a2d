/** Runs once around a whole test run: `node --test --test-global-setup=test/global-setup.ts`. */
import { SOCKET_VARIABLE, startTestCluster, type TestCluster } from './test-cluster.ts';

let cluster: TestCluster | undefined;

export async function globalSetup(): Promise<void> {
  cluster = await startTestCluster();
  process.env[SOCKET_VARIABLE] = cluster.socketDirectory; // test files are started with this environment
}

/** Also after Ctrl-C and SIGTERM. */
export async function globalTeardown(): Promise<void> {
  await cluster?.stop();
}
