/** Runs the catalogue's commands as a process of their own, before and apart from the whole `mayfly`. */
import { Command } from 'commander';
import { agentCommands } from '../../src/cli/agent-commands.ts';
import { scopesCommands } from '../../src/cli/scopes-commands.ts';

const mayfly = new Command('mayfly').addCommand(scopesCommands()).addCommand(agentCommands());
await mayfly.parseAsync();
