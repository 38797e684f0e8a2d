/** `mayfly whoami`: who we are to the broker, what may be asked for, and what stops it. Nothing is asked for. */
import { Command } from 'commander';
import type { Environment } from '../config/environment.ts';
import { addAgentOptions } from './agent-options.ts';
import type { ConnectionOptions } from './connection.ts';
import { addFormatOption, type Format } from './operator-commands.ts';
import { type Row, table } from './table.ts';

const COLUMNS = ['name', 'resource', 'use', 'approval', 'max_seconds', 'aws', 'stopped_by.id'];
const ANSWER_MILLISECONDS = 60_000;

export function whoamiCommand(environment: Environment): Command {
  const command = new Command('whoami').action(
    async ({ output, ...options }: ConnectionOptions & { output: Format }) => {
      const { print, printOne } = await import('./print.ts');
      const { issuer, ...me } = await askWhoIAm(environment, options);
      const { actions, ...facts } = me;
      if (output === 'json') return printOne({ issuer, ...me }, output);
      printOne({ issuer, ...facts }, output);
      if (Array.isArray(actions)) print(`\n${table(COLUMNS, actions)}`);
    },
  );
  return addFormatOption(addAgentOptions(command), ['table', 'json']);
}

async function askWhoIAm(environment: Environment, options: ConnectionOptions): Promise<Row> {
  const { readAgentIdentity } = await import('./agent-identity.ts');
  const { askingAsAgent } = await import('./agent-failure.ts');
  const { whoAmI } = await import('../sdk/who-am-i.ts');
  const { issuer, clientId, key } = await readAgentIdentity(environment, options);
  const asked = { issuer, clientId, key, fetch, withinMilliseconds: ANSWER_MILLISECONDS };
  return { issuer, ...(await askingAsAgent(() => whoAmI(asked))) };
}
