/**
 * `mayfly aws credential-process`: what AWS's tools run to get credentials (`credential_process` in `~/.aws/config`), so
 * that each of them works unchanged. Its standard output is their JSON and nothing else; whatever else there is to say,
 * and nothing secret, goes to stderr.
 *
 * The session goes on when the command ends: with it every token would be dead, and the credentials are as good as the
 * token that they were given for. It ends by itself, and nobody has its key any more.
 */
import { Command, InvalidArgumentError } from 'commander';
import type { Environment } from '../config/environment.ts';
import { addAgentOptions } from './agent-options.ts';
import type { ConnectionOptions } from './connection.ts';

export type AwsArguments = Readonly<Record<string, unknown>>;
type Options = ConnectionOptions & { action: string; arguments: AwsArguments };

/** Tools of AWS wait for a minute. */
const ANSWER_MILLISECONDS = 50_000;

export function awsCommands(environment: Environment): Command {
  const command = new Command('credential-process')
    .description('credentials of AWS for one action, as credential_process wants them')
    .requiredOption('--action <name>', 'an action that gives credentials of AWS')
    .option('--arguments <json>', 'its arguments, as {"team":"search"}', awsArguments, {})
    .action(async ({ action, arguments: values, ...options }: Options) => {
      const { asAgent } = await import('./as-agent.ts');
      const { askForAws, forCredentialProcess } = await import('../run/ask-for-aws.ts');
      const { print } = await import('./print.ts');
      const kept = { ...options, isKept: true };
      const given = await asAgent(environment, kept, (agent, { issuer }) => {
        const signal = AbortSignal.timeout(ANSWER_MILLISECONDS);
        return askForAws(agent, { issuer, action, arguments: values }, { signal });
      });
      print(`${JSON.stringify(forCredentialProcess(given))}\n`);
    });
  return new Command('aws').addCommand(addAgentOptions(command));
}

/** @throws {InvalidArgumentError} without a word of what was given */
export function awsArguments(text: string): AwsArguments {
  try {
    const value: unknown = JSON.parse(text);
    if (typeof value === 'object' && value !== null && !Array.isArray(value)) return { ...value };
  } catch {
    // what the parser says would repeat a part of it
  }
  throw new InvalidArgumentError('It is a JSON object, such as {"team":"search"}.');
}
