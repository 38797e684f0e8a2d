/** `mayfly doctor`: walks from here to a token, and names the first hop that is not good, with what to do about it. */
import { Command, InvalidArgumentError } from 'commander';
import type { Environment } from '../config/environment.ts';
import { addActionOption, addAgentOptions } from './agent-options.ts';
import type { ConnectionOptions } from './connection.ts';
import type { Looked } from './doctor/hop.ts';
import { wholeNumberIn } from './number-options.ts';
import { addFormatOption, type Format } from './operator-commands.ts';

type Options = ConnectionOptions & { action: string[]; resource?: URL; timeout: number; output: Format };

const DEFAULT_SECONDS = 10;
const TIMEOUT_SECONDS = { from: 1, to: 120, unit: 'seconds' };
const MILLISECONDS = 1_000;
const STATE_WIDTH = 'warning'.length;
const HOP_WIDTH = 'assertion'.length;

export function doctorCommand(environment: Environment): Command {
  const command = new Command('doctor')
    .option('--resource <url>', 'a resource server to look at as well', resourceUrl)
    .option(
      '--timeout <seconds>',
      'how long to wait at each hop',
      wholeNumberIn(TIMEOUT_SECONDS),
      DEFAULT_SECONDS,
    )
    .action((options: Options) => examine(environment, options));
  return addFormatOption(addAgentOptions(addActionOption(command)), ['table', 'json']);
}

async function examine(environment: Environment, options: Options): Promise<void> {
  const { print } = await import('./print.ts');
  const { plainJson, plainText } = await import('./plain-text.ts');
  const { CommandFailure, EXIT } = await import('./failure.ts');
  const { walk } = await import('./doctor/hop.ts');
  const isJson = options.output === 'json';
  const all: Looked[] = [];
  const first = await walk(await hopsFor(environment, options), (looked) => {
    all.push(looked);
    if (!isJson)
      print(
        inLines(looked)
          .map((line) => `${plainText(line)}\n`)
          .join(''),
      );
  });
  const verdict = { ok: first === null, failing: first?.name ?? null, hops: all };
  if (isJson) print(`${plainJson(verdict, { indent: 2 })}\n`);
  if (first === null) return;
  const { says = '', fix = '' } = all.find(({ hop }) => hop === first.name) ?? {};
  throw new CommandFailure(EXIT[first.ends], plainText(`${first.name}: ${says} ${fix}`));
}

async function hopsFor(environment: Environment, { timeout, ...options }: Options) {
  const { readConnection } = await import('./connection.ts');
  const { networkHops } = await import('./doctor/network.ts');
  const { brokerHops } = await import('./doctor/broker.ts');
  const { agentHops } = await import('./doctor/agent.ts');
  const { resourceHop } = await import('./doctor/resource.ts');
  // Only what names the broker: a key that cannot be read is a finding, and not yet looked at here.
  const { issuer } = readConnection(environment, options, 'agent');
  const withinMilliseconds = timeout * MILLISECONDS;
  const { resource, action } = options;
  return [
    ...networkHops({ url: new URL(issuer), withinMilliseconds }),
    ...brokerHops(issuer, withinMilliseconds),
    ...agentHops({ ...options, environment, issuer, withinMilliseconds }),
    ...(resource === undefined ? [] : [resourceHop({ resource, issuer, action, withinMilliseconds })]),
  ];
}

function inLines({ hop, state, says, fix }: Looked): string[] {
  const line = `${state.padEnd(STATE_WIDTH)}  ${hop.padEnd(HOP_WIDTH)}  ${says}`;
  const indent = ' '.repeat(STATE_WIDTH + HOP_WIDTH + 4);
  return fix === undefined ? [line] : [line, `${indent}Fix: ${fix}`];
}

function resourceUrl(text: string): URL {
  if (/^https?:\/\//.test(text) && URL.canParse(text)) return new URL(text);
  throw new InvalidArgumentError('It is a URL, such as https://api.example.com.');
}
