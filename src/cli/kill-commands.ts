/**
 * `mayfly kill preview | engage | release`: the commands of the kill switch that are more than a line of the table.
 * They ask a broker, and with `--database-url` none.
 */
import { randomUUID } from 'node:crypto';
import { Argument, Command, Option } from 'commander';
import type { Environment } from '../config/environment.ts';
import type { KillTarget } from '../kill-switch/kill-target.ts';
import { asOperator } from './as-operator.ts';
import { carryOut, type Order } from './carry-out.ts';
import { CommandFailure, EXIT, fail } from './failure.ts';
import { filledIn } from './filled-in.ts';
import { pagesOf } from './list-pages.ts';
import { wholeNumberIn } from './number-options.ts';
import type { Json, OperatorClient } from './operator-client.ts';
import {
  addChangeOptions,
  addConnectionOptions,
  type ChangeOptions,
  type OperatorOptions,
} from './operator-commands.ts';
import { plainText } from './plain-text.ts';
import { printOne } from './print.ts';
import { warningOfWhoIsLeft } from './who-is-left.ts';

const PATH = '/v1/kill-switch';
const MAX_WAIT_SECONDS = 30;
const DEFAULT_WAIT_SECONDS = 2;

const KINDS = [
  'all',
  'zone',
  'agent',
  'action',
  'resource',
  'subject',
] as const satisfies KillTarget['kind'][];

type AroundBrokers = { databaseUrl?: string | true; anyDatabase?: true };
type EngageOptions = OperatorOptions & ChangeOptions & AroundBrokers & { waitSeconds: number };
type ReleaseOptions = OperatorOptions & ChangeOptions & AroundBrokers;

export function previewCommand(environment: Environment): Command {
  const command = withTarget(
    new Command('preview').description('say what engaging would hit, and change nothing'),
  );
  return addConnectionOptions(command).action(
    async (kind: KillTarget['kind'], id: string | undefined, options: OperatorOptions) => {
      const target = targetOf(kind, id);
      await asOperator(environment, options, async (client) =>
        printOne(await previewOf(client, target), options.output),
      );
    },
  );
}

export function engageCommand(environment: Environment): Command {
  const command = withTarget(
    new Command('engage').description('stop it, at once, until another operator releases it'),
  );
  addChangeOptions(command).option(
    '--wait-seconds <number>',
    'how long to wait for every enforcement point to apply it',
    wholeNumberIn({ from: 0, to: MAX_WAIT_SECONDS }),
    DEFAULT_WAIT_SECONDS,
  );
  return addConnectionOptions(addDatabaseOption(command)).action(
    async (kind: KillTarget['kind'], id: string | undefined, options: EngageOptions) => {
      const target = targetOf(kind, id);
      const { databaseUrl, anyDatabase = false } = options;
      if (databaseUrl === undefined) return engage(target, options, environment).catch(hintAtTheDatabase);
      const { engageAtDatabase } = await import('./break-glass.ts');
      await engageAtDatabase(target, { ...options, databaseUrl, anyDatabase }, environment);
    },
  );
}

export function releaseCommand(environment: Environment): Command {
  const command = new Command('release')
    .description('release what another operator stopped; tokens of before stay dead')
    .argument('<id>', 'as `kill list` shows it');
  return addConnectionOptions(addDatabaseOption(addChangeOptions(command))).action(
    async (id: string, options: ReleaseOptions) => {
      const { databaseUrl, anyDatabase = false } = options;
      if (databaseUrl === undefined) return release(id, options, environment).catch(hintAtTheDatabase);
      const { releaseAtDatabase } = await import('./break-glass.ts');
      await releaseAtDatabase(id, { ...options, databaseUrl, anyDatabase }, environment);
    },
  );
}

async function engage(target: KillTarget, options: EngageOptions, environment: Environment): Promise<void> {
  await asOperator(environment, options, (client) => carryOut(engagement(client, target, options), options));
}

function engagement(client: OperatorClient, target: KillTarget, options: EngageOptions): Order {
  const { reason, waitSeconds: wait_seconds } = options;
  const named = 'id' in target ? `the ${target.kind} ${plainText(target.id)}` : 'everything';
  const isPerson = target.kind === 'agent' || target.kind === 'subject';
  return {
    question: `Stop ${named} until another operator releases it?`,
    preview: () => previewOf(client, target),
    warning: async () => (isPerson ? warningOfWhoIsLeft(client, target.id) : null),
    change: () =>
      client.ask({
        may: 'mayfly:engage:kill-switch',
        method: 'POST',
        path: PATH,
        body: { target, reason, wait_seconds },
        idempotencyKey: randomUUID(),
      }),
  };
}

async function release(id: string, options: ReleaseOptions, environment: Environment): Promise<void> {
  const path = filledIn(`${PATH}/{id}`, { id });
  await asOperator(environment, options, (client) =>
    carryOut(releaseOf(client, { id, path }, options), options),
  );
}

function releaseOf(
  client: OperatorClient,
  { id, path }: { id: string; path: string },
  options: ReleaseOptions,
): Order {
  const about = `the kill ${id}`;
  return {
    question: `Release what ${plainText(id)} stops?`,
    preview: async () => {
      const { body } = await client.ask({ may: 'mayfly:read:kill-switch', method: 'GET', path, about });
      return { ...body, still_stopped: await othersThan(id, client) };
    },
    change: () =>
      client.ask({
        may: 'mayfly:release:kill-switch',
        method: 'POST',
        path: `${path}/release`,
        body: { reason: options.reason },
        idempotencyKey: randomUUID(),
        about,
      }),
  };
}

/** What else the switch stops, and goes on stopping. */
async function othersThan(id: string, client: OperatorClient): Promise<Json[]> {
  const others: Json[] = [];
  const query = { state: 'engaged' };
  for await (const { rows } of pagesOf(client, {
    may: 'mayfly:read:kill-switch',
    path: PATH,
    query,
    limit: 1_000,
  })) {
    others.push(...rows.filter((row) => row.id !== id));
  }
  return others.map(({ id: other, target, actor, reason }) => ({
    id: other,
    target: nameOf(target as KillTarget),
    actor,
    reason,
  }));
}

function nameOf(target: KillTarget): string {
  return 'id' in target ? `${target.kind} ${target.id}` : target.kind;
}

async function previewOf(client: OperatorClient, target: KillTarget): Promise<Json> {
  const path = `${PATH}/preview`;
  return (await client.ask({ may: 'mayfly:read:kill-switch', method: 'POST', path, body: { target } })).body;
}

/** The moments at which somebody needs to know of it: no broker answers, or the one that does cannot decide. */
function hintAtTheDatabase(error: unknown): never {
  if (!(error instanceof CommandFailure) || !isOutOfOrder(error)) throw error;
  const hint = 'Whoever has the credentials of the database can go around the brokers: --database-url.';
  throw new CommandFailure(error.exitCode, `${error.message} ${hint}`, error.told);
}

function isOutOfOrder({ exitCode, told }: CommandFailure): boolean {
  return exitCode === EXIT.unreachable || (exitCode === EXIT.server && (told?.status ?? 500) >= 500);
}

function withTarget(command: Command): Command {
  return command
    .addArgument(new Argument('<kind>', 'what to stop').choices(KINDS))
    .argument('[id]', 'its name: of a zone, an agent, an action, a resource (its audience), a subject');
}

function addDatabaseOption(command: Command): Command {
  return command
    .addOption(
      new Option(
        '--database-url [url]',
        'when no broker answers: straight at the database; without a value DATABASE_URL, or the embedded one that runs',
      ),
    )
    .option(
      '--any-database',
      'with it: also in a restored copy or a promoted standby, where it proves nothing',
    );
}

/** `all` is said alone, and nothing else means it. */
function targetOf(kind: KillTarget['kind'], id: string | undefined): KillTarget {
  if (kind === 'all') return id === undefined ? { kind } : fail('usage', '"all" has no name after it.');
  return id === undefined || id === ''
    ? fail('usage', `Which ${kind}? Its name goes after the word ${kind}.`)
    : { kind, id };
}
