import type { Environment } from '../config/environment.ts';
import type { ConnectionOptions } from './connection.ts';
import { createOperatorClient, type OperatorClient } from './operator-client.ts';
import { readIdentity } from './operator-identity.ts';

/**
 * The work of one command, in a session of its own that ends with it.
 * @throws {CommandFailure}
 */
export async function asOperator<Result>(
  environment: Environment,
  options: ConnectionOptions,
  work: (client: OperatorClient) => Promise<Result>,
): Promise<Result> {
  const client = createOperatorClient(readIdentity(environment, options));
  try {
    return await work(client);
  } finally {
    await client.close();
  }
}
