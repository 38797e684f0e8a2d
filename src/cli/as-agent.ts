import type { Environment } from '../config/environment.ts';
import { type Agent, type AgentOptions, createAgent } from '../sdk/agent.ts';
import { askingAsAgent } from './agent-failure.ts';
import { type AgentIdentity, readAgentIdentity } from './agent-identity.ts';
import type { ConnectionOptions } from './connection.ts';

type Asking = ConnectionOptions &
  Pick<AgentOptions, 'tokenLifetimeSeconds'> & {
    /** What was handed out goes on after the command. */
    isKept?: boolean;
  };

/** For the goodbye, which costs a few milliseconds where the broker is well. */
const END_MILLISECONDS = 1_000;

/**
 * The work of one command, in a session of its own that ends with it.
 * @throws {CommandFailure} @throws {ConfigurationError}
 */
export async function asAgent<Result>(
  environment: Environment,
  { tokenLifetimeSeconds, isKept = false, ...options }: Asking,
  work: (agent: Agent, identity: AgentIdentity) => Promise<Result>,
): Promise<Result> {
  const identity = await readAgentIdentity(environment, options);
  const lifetime = tokenLifetimeSeconds === undefined ? {} : { tokenLifetimeSeconds };
  const { issuer, clientId, key } = identity;
  return askingAsAgent(async () => {
    const agent = createAgent({ issuer, clientId, key, ...lifetime });
    try {
      return await work(agent, identity);
    } finally {
      if (!isKept) await agent.close({ withinMilliseconds: END_MILLISECONDS });
    }
  });
}
