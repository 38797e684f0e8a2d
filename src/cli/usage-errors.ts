/** How a wrong command line is told: what is wrong with it, and how the command is written. */
import type { Command } from 'commander';
import { errorText } from './error-text.ts';

/** Of a command and all below it, once they are all there. */
export function explainUsage(command: Command, { asJson }: { asJson: boolean }): void {
  for (const each of command.commands) explainUsage(each, { asJson });
  if (asJson) {
    command.showHelpAfterError(false).configureOutput({
      outputError: (text, write) => write(errorText({ message: text.trim(), exitCode: 1 }, { asJson })),
    });
  } else if (command.commands.length === 0) command.showHelpAfterError(usageOf(command));
}

function usageOf(command: Command): string {
  const help = command.createHelp();
  const operands = command.registeredArguments.map(
    (operand) => `  ${help.argumentTerm(operand)}: ${help.argumentDescription(operand)}`,
  );
  return [`Usage: ${help.commandUsage(command)}`, ...operands.filter((line) => !line.endsWith(': '))].join(
    '\n',
  );
}
