/**
 * `mayfly run … -- command…`: a program with credentials and without secrets. Its output is its own; what the run has
 * to say goes to stderr, a line each. Ends as the program ends; 126 and 127 as in a shell; when nothing was started, with
 * the exit codes of failure.ts.
 */
import { Command } from 'commander';
import type { Environment } from '../config/environment.ts';
import { endAs } from '../run/child.ts';
import type { OpenOffer } from '../run/offer.ts';
import { offerProxy, type ProxyOffer } from '../run/offer-proxy.ts';
import { offerTokens, offerTokensOnSocket } from '../run/offer-tokens.ts';
import { runProgram } from '../run/run-program.ts';
import { AgentError } from '../sdk/agent-error.ts';
import { agentFailure } from './agent-failure.ts';
import { readAgentIdentity } from './agent-identity.ts';
import { addActionOption, addAgentOptions, requireActions } from './agent-options.ts';
import type { ConnectionOptions } from './connection.ts';
import { collect } from './new-client.ts';
import { plainText } from './plain-text.ts';

type RunOptions = ConnectionOptions & {
  action: string[];
  resource: string[];
  proxy: boolean;
  socket: boolean;
  user?: string;
  exposeKey: boolean;
};

export function runCommand(environment: Environment): Command {
  const command = new Command('run').argument('<command...>', 'the program and its arguments, after --');
  return addAgentOptions(addActionOption(command))
    .option('--resource <url>', 'the only place where it may; repeat for several', collect, [])
    .option('--proxy', 'sign what it asks of these places in plain HTTP, through a proxy', false)
    .option('--socket', 'hand out credentials on a Unix socket, not on a port of 127.0.0.1', false)
    .option('--user <name>', 'run it as this user, who cannot read the key; needs root')
    .option('--expose-key', 'run it also where it cannot be kept from reading the key', false)
    .action(async (words: string[], options: RunOptions, self: Command) => {
      requireActions(options.action, self);
      if (options.proxy && options.resource.length === 0) {
        self.error("error: option '--proxy' needs option '--resource <url>'");
      }
      await run(words, options, environment);
    });
}

/** What the program gets. Each is opened before it starts, in this order. */
function offersOf({ socket }: RunOptions, proxy: ProxyOffer | undefined): OpenOffer[] {
  return [socket ? offerTokensOnSocket : offerTokens, ...(proxy === undefined ? [] : [proxy.open])];
}

function report(line: string): void {
  process.stderr.write(`mayfly run: ${plainText(line)}\n`);
}

async function run(command: readonly string[], options: RunOptions, environment: Environment): Promise<void> {
  process.stderr.on('error', () => undefined); // whoever read it may be gone; the run goes on
  const identity = await readAgentIdentity(environment, options);
  const { resource: resources } = options;
  try {
    const proxy = options.proxy ? offerProxy({ resources, report }) : undefined;
    const ending = await runProgram({
      command,
      identity,
      limits: { actions: options.action, resources },
      offers: offersOf(options, proxy),
      fetch: proxy?.fetch,
      user: options.user,
      exposeKey: options.exposeKey,
      isInputTaken: options.key === '-',
      environment,
      report,
    });
    endAs(ending);
  } catch (error) {
    throw error instanceof AgentError ? agentFailure(error) : error;
  }
}
