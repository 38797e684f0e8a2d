/**
 * `mayfly audit tail`: a line for each entry as it gets its place, in the order of the log and with none left out.
 * The public head says when there is something new. Whoever reads the record leaves an entry in it, too: those of
 * this command alone are no news, or it would follow itself.
 */
import { setTimeout as wait } from 'node:timers/promises';
import { Command } from 'commander';
import type { EntryDocument } from '../audit/entry-document.ts';
import { sizeIn } from '../audit/judge-live.ts';
import type { Environment } from '../config/environment.ts';
import type { ConnectionOptions } from './connection.ts';
import { type EntryText, entryTexts } from './entry-texts.ts';
import { type CommandFailure, fail } from './failure.ts';
import { wholeNumber } from './log-trust.ts';
import { decimalIn } from './number-options.ts';
import { createOperatorClient } from './operator-client.ts';
import { addConnectionOptions, type Format } from './operator-commands.ts';
import { readIdentity } from './operator-identity.ts';
import { plainJson, plainText } from './plain-text.ts';
import { print, say } from './print.ts';
import { isHeadMissing, openPublicLog, type PublicLog } from './public-log.ts';
import { untilBack } from './until-back.ts';

type Filters = { session?: string; actor?: string; agent?: string; action?: string; outcome?: string };
type TailOptions = ConnectionOptions & Filters & { output: Format; from?: number; everySeconds: number };
type Logged = EntryDocument & { index: number };

const FIRST_LINES = 10;
const EVERY_SECONDS = { from: 0.1, to: 60 };

export function auditTailCommand(environment: Environment): Command {
  const command = new Command('tail')
    .description('a line for each entry, as it gets its place in the log')
    .option('--session <id>', 'those of this session')
    .option('--actor <name>', 'those of this client')
    .option('--agent <id>', 'those about this agent, by its identifier')
    .option('--action <name>', 'those of this action, e.g. token.minted')
    .option('--outcome <word>', 'allowed or refused')
    .option('--from <index>', 'begin with this entry (default: the last ten)', wholeNumber)
    .option('--every-seconds <number>', 'how often to look', decimalIn(EVERY_SECONDS), 1);
  addConnectionOptions(command, ['table', 'jsonl']);
  return command.action((options: TailOptions) => tail(options, environment));
}

async function tail(options: TailOptions, environment: Environment): Promise<void> {
  const client = createOperatorClient(readIdentity(environment, options));
  const log = openPublicLog(client.issuer);
  const patience = {
    pause: () => wait(options.everySeconds * 1_000),
    onLost: ({ message }: CommandFailure) => say(`${message} Trying again.`),
  };
  const patiently = <T>(look: () => Promise<T>) => untilBack(look, patience);
  const sizeNow = () => patiently(() => sizeOf(log));
  let size = await sizeNow();
  let next = options.from ?? Math.max(0, size - FIRST_LINES);
  const own = new Set<string>();

  async function readOn(): Promise<void> {
    for await (const { entries, requestId } of entryTexts(client, { from: next, to: size, size })) {
      if (requestId !== null) own.add(requestId);
      for (const entry of entries) {
        const logged = read(entry);
        if (logged?.request_id !== undefined) own.delete(logged.request_id);
        if (logged !== null && matches(logged, options)) print(lineOf(logged, options.output));
        next = entry.index + 1;
      }
    }
  }

  for (;;) {
    if (size - next > own.size) await patiently(readOn);
    await wait(options.everySeconds * 1_000);
    const now = await sizeNow();
    if (now < size)
      fail('verification', `rollback: the log had ${size} entries a moment ago, and now has ${now}.`);
    size = now;
  }
}

/** A log that has just begun has no head for a second. */
async function sizeOf(log: PublicLog): Promise<number> {
  try {
    return sizeIn(await log.checkpoint()) ?? notUnderstood();
  } catch (error) {
    if (isHeadMissing(error)) return 0;
    throw error;
  }
}

function notUnderstood(): never {
  return fail('server', 'What came back is no head of a log.');
}

/** Null for what is past its retention. */
function read({ index, document }: EntryText): Logged | null {
  if (document === null) return null;
  try {
    return { index, ...(JSON.parse(document) as EntryDocument) };
  } catch {
    return fail('server', `What came back as entry ${index} is no entry.`);
  }
}

/** As `GET /v1/audit/entries` selects them. */
function matches(entry: Logged, { session, actor, agent, action, outcome }: Filters): boolean {
  const asked: [wanted: string | undefined, found: unknown][] = [
    [session, entry.session_id],
    [actor, entry.actor],
    [agent, entry.details.agent],
    [action, entry.action],
    [outcome, entry.outcome],
  ];
  return asked.every(([wanted, found]) => wanted === undefined || wanted === found);
}

function lineOf(entry: Logged, output: Format): string {
  if (output === 'jsonl') return `${plainJson(entry)}\n`;
  const { index, at, action, outcome, actor = '-', reason = '' } = entry;
  const cells = [String(index).padStart(8), at, outcome.padEnd(7), action.padEnd(24), actor, reason];
  return `${plainText(cells.join('  ').trimEnd())}\n`;
}
