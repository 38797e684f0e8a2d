/** `mayfly session watch`: one line for each change, so that a script can wait for a session's end. */
import { setTimeout as wait } from 'node:timers/promises';
import { Command, Option } from 'commander';
import type { Environment } from '../config/environment.ts';
import { asOperator } from './as-operator.ts';
import type { ConnectionOptions } from './connection.ts';
import { decimalIn } from './number-options.ts';
import type { Json, OperatorClient } from './operator-client.ts';
import { addConnectionOptions, type Format } from './operator-commands.ts';
import { plainJson } from './plain-text.ts';
import { print, say } from './print.ts';
import { sessionChanges } from './session-changes.ts';
import { sessionsOfAgents } from './sessions-of-agents.ts';
import { growingTable } from './table.ts';

type WatchOptions = ConnectionOptions & {
  output: Format;
  agent?: string;
  zone?: string;
  until: 'ended' | 'never';
  everySeconds: number;
};

const COLUMNS = ['id', 'agent', 'zone', 'state'];
const EVERY_SECONDS = { from: 0.1, to: 60 };

export function watchCommand(environment: Environment): Command {
  const command = new Command('watch')
    .description('a line for each session of an agent that is open or changes, until none of them is open')
    .argument('[id]', 'one session; all that are open when left out')
    .option('--agent <name>', 'those of this agent or operator')
    .option('--zone <name>', 'those of this zone')
    .addOption(new Option('--until <state>', 'when to stop').choices(['ended', 'never']).default('ended'))
    .option('--every-seconds <number>', 'how often to look', decimalIn(EVERY_SECONDS), 1);
  addConnectionOptions(command, ['jsonl', 'json', 'table']);
  return command.action((id: string | undefined, options: WatchOptions) =>
    asOperator(environment, options, (client) => watchSessions(id, options, client)),
  );
}

async function watchSessions(id: string | undefined, options: WatchOptions, client: OperatorClient) {
  const { agent, zone, until, everySeconds, output } = options;
  const changes = sessionChanges({
    client,
    id,
    filters: {
      ...sessionsOfAgents({ agent }),
      ...(agent === undefined ? {} : { agent }),
      ...(zone === undefined ? {} : { zone }),
    },
    untilEnded: until === 'ended',
    pause: () => wait(everySeconds * 1_000),
    onLost: (failure) => say(`${failure.message} Trying again.`),
  });
  const lineOf = output === 'table' ? growingTable(COLUMNS) : jsonLine;
  for await (const session of changes) print(lineOf(session));
}

/** A line for each also as `json`: what has no end yet cannot be one list. */
function jsonLine(session: Json): string {
  return `${plainJson(session)}\n`;
}
