/** Options that the commands of agents share. */
import type { Command } from 'commander';
import { collect } from './new-client.ts';

export function addAgentOptions(command: Command): Command {
  return command
    .option('--as <agent>', 'who asks (default: MAYFLY_AGENT, or report-writer with its development key)')
    .option(
      '--key <file>',
      "the agent's private key, a JWK or a PKCS#8 PEM; - is the standard input (default: MAYFLY_AGENT_KEY)",
    )
    .option('--url <origin>', 'the broker (default: MAYFLY_ISSUER, or http://127.0.0.1:8420)');
}

export function addActionOption(command: Command): Command {
  return command.option('--action <name>', 'what the token has to allow; repeat for several', collect, []);
}

export function requireActions(actions: readonly string[], command: Command): void {
  if (actions.length === 0) command.error("error: required option '--action <name>' not specified");
}
