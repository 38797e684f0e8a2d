/** `mayfly kill engage | preview`: the commands of the kill switch that are more than a line of the table. */
import { randomUUID } from 'node:crypto';
import { Argument, Command, InvalidArgumentError } from 'commander';
import type { Environment } from '../config/environment.ts';
import { carryOut } from './carry-out.ts';
import { fail } from './failure.ts';
import { createOperatorClient, type Json, type OperatorClient } from './operator-client.ts';
import {
  addChangeOptions,
  addConnectionOptions,
  type ChangeOptions,
  type OperatorOptions,
} from './operator-commands.ts';
import { readIdentity } from './operator-identity.ts';
import { plainText } from './plain-text.ts';
import { printOne } from './print.ts';

const PATH = '/v1/kill-switch';
const MAX_WAIT_SECONDS = 30;
const DEFAULT_WAIT_SECONDS = 2;

const KINDS = ['all', 'zone', 'agent', 'action', 'resource', 'subject'] as const;
type Target = { kind: 'all' } | { kind: string; id: string };

type EngageOptions = OperatorOptions & ChangeOptions & { waitSeconds: number };

export function engageCommand(environment: Environment): Command {
  const command = withTarget(
    new Command('engage').description('stop it, at once, until another operator releases it'),
  );
  addChangeOptions(command).option(
    '--wait-seconds <number>',
    'how long to wait for every enforcement point to apply it',
    waitSeconds,
    DEFAULT_WAIT_SECONDS,
  );
  return addConnectionOptions(command).action(
    (kind: string, id: string | undefined, options: EngageOptions) =>
      engage(targetOf(kind, id), options, environment),
  );
}

export function previewCommand(environment: Environment): Command {
  const command = withTarget(
    new Command('preview').description('say what engaging would hit, and change nothing'),
  );
  return addConnectionOptions(command).action(
    async (kind: string, id: string | undefined, options: OperatorOptions) => {
      const target = targetOf(kind, id);
      printOne(
        await previewOf(createOperatorClient(readIdentity(environment, options)), target),
        options.output,
      );
    },
  );
}

async function engage(target: Target, options: EngageOptions, environment: Environment): Promise<void> {
  const client = createOperatorClient(readIdentity(environment, options));
  const { reason, waitSeconds: wait_seconds } = options;
  const named = 'id' in target ? `the ${target.kind} ${plainText(target.id)}` : 'everything';
  await carryOut(
    {
      question: `Stop ${named} until another operator releases it?`,
      preview: () => previewOf(client, target),
      change: () =>
        client.ask({
          may: 'mayfly:engage:kill-switch',
          method: 'POST',
          path: PATH,
          body: { target, reason, wait_seconds },
          idempotencyKey: randomUUID(),
        }),
    },
    options,
  );
}

async function previewOf(client: OperatorClient, target: Target): Promise<Json> {
  const path = `${PATH}/preview`;
  return (await client.ask({ may: 'mayfly:read:kill-switch', method: 'POST', path, body: { target } })).body;
}

function withTarget(command: Command): Command {
  return command
    .addArgument(new Argument('<kind>', 'what to stop').choices(KINDS))
    .argument('[id]', 'its name: of a zone, an agent, an action, a resource (its audience), a subject');
}

/** `all` is said alone, and nothing else means it. */
function targetOf(kind: string, id: string | undefined): Target {
  if (kind === 'all') return id === undefined ? { kind } : fail('usage', '"all" has no name after it.');
  return id === undefined || id === '' ? fail('usage', `Which ${kind}?`) : { kind, id };
}

function waitSeconds(text: string): number {
  const seconds = /^\d{1,2}$/.test(text) ? Number(text) : Number.NaN;
  if (seconds <= MAX_WAIT_SECONDS) return seconds;
  throw new InvalidArgumentError(`From 0 to ${MAX_WAIT_SECONDS}.`);
}
