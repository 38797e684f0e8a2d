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
import { askingAsAgent } from './agent-failure.ts';
import { readAgentIdentity } from './agent-identity.ts';
import { addActionOption, addAgentOptions, requireActions } from './agent-options.ts';
import { awsArguments } from './aws-commands.ts';
import type { ConnectionOptions } from './connection.ts';
import { collect } from './new-client.ts';
import { plainText } from './plain-text.ts';
import { type AwsRun, type AwsRunOptions, awsOfferFor } from './run-aws.ts';

type RunOptions = ConnectionOptions &
  AwsRunOptions & {
    action: string[];
    resource: string[];
    proxy: boolean;
    socket: boolean;
    hide: string[];
    user?: string;
    exposeKey: boolean;
  };

export function runCommand(environment: Environment): Command {
  const command = new Command('run').argument('<command...>', 'the program and its arguments, after --');
  return addAgentOptions(addActionOption(command))
    .option('--resource <url>', 'the only place where it may; repeat for several', collect, [])
    .option('--proxy', 'sign what it asks of these places in plain HTTP, through a proxy', false)
    .option('--socket', 'hand out credentials on a Unix socket, not on a port of 127.0.0.1', false)
    .option(
      '--aws',
      'give it credentials of AWS for the action that has them, where tools of AWS look',
      false,
    )
    .option('--arguments <json>', 'arguments of that action, as {"team":"search"}', awsArguments)
    .option('--hide <path>', 'keep it from this file or folder, too; repeat for several', collect, [])
    .option('--user <name>', 'run it as this user, who cannot read the key; needs root')
    .option('--expose-key', 'run it also where it cannot be kept from reading the key', false)
    .action(async (words: string[], options: RunOptions, self: Command) => {
      requireActions(options.action, self);
      if (options.proxy && options.resource.length === 0) {
        self.error("error: option '--proxy' needs option '--resource <url>'");
      }
      if (options.exposeKey && options.hide.length > 0) {
        self.error("error: option '--hide <path>' cannot be kept with option '--expose-key'");
      }
      await run(words, options, environment);
    });
}

/** What the program gets. Each is opened before it starts, in this order: the proxy is told what goes past it. */
function offersOf(
  { socket }: RunOptions,
  aws: AwsRun | undefined,
  proxy: ProxyOffer | undefined,
): OpenOffer[] {
  const tokens = socket ? offerTokensOnSocket : offerTokens;
  return [tokens, aws?.offer, proxy?.open].filter((offer) => offer !== undefined);
}

function report(line: string): void {
  process.stderr.write(`mayfly run: ${plainText(line)}\n`);
}

async function run(command: readonly string[], options: RunOptions, environment: Environment): Promise<void> {
  process.stderr.on('error', () => undefined); // whoever read it may be gone; the run goes on
  const identity = await readAgentIdentity(environment, options);
  const { resource: resources } = options;
  const isInputTaken = options.key === '-';
  const ending = await askingAsAgent(async () => {
    const proxy = options.proxy ? offerProxy({ resources, report }) : undefined;
    const aws = await awsOfferFor(options, identity, environment);
    return runProgram({
      command,
      identity,
      limits: { actions: options.action, resources },
      offers: offersOf(options, aws, proxy),
      fetch: proxy?.fetch,
      // That of AWS is asked for as its offer is opened.
      provedActions: options.action.filter((action) => action !== aws?.action),
      user: options.user,
      hide: options.hide,
      exposeKey: options.exposeKey,
      isInputTaken,
      keyName: isInputTaken ? undefined : options.key,
      environment,
      report,
    });
  });
  endAs(ending);
}
