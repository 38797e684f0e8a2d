/**
 * The first word after `mayfly`, and where its command is. Only the one that was asked for is loaded, so that help
 * is quick and no command pays for another one's libraries.
 */
import { Command } from 'commander';
import type { Environment } from '../config/environment.ts';

type Group = { name: string; about: string; load: (environment: Environment) => Promise<Command> };

/** An empty value is none, as for every setting. */
const scopesDirectory = (environment: Environment) => environment.MAYFLY_SCOPES_DIR || 'scopes';

const GROUPS: readonly Group[] = [
  {
    name: 'scopes',
    about: 'the policy files: check them, see what a change gives to whom',
    async load(environment) {
      const { scopesCommands } = await import('./scopes-commands.ts');
      const { applyCommand } = await import('./database-commands.ts');
      const scopes = scopesCommands({ directory: scopesDirectory(environment) });
      return scopes.addCommand(applyCommand(environment));
    },
  },
  {
    name: 'migrate',
    about: 'bring the database up to date (MAYFLY_OWNER_DATABASE_URL)',
    load: async (environment) => (await import('./database-commands.ts')).migrateCommand(environment),
  },
  {
    name: 'database',
    about: 'what Postgres needs before the first migration',
    load: async () => (await import('./database-commands.ts')).databaseCommand(),
  },
  {
    name: 'ledger',
    about: 'the revocation ledger itself, after a restore or a failover',
    load: async (environment) => (await import('./ledger-commands.ts')).ledgerCommands(environment),
  },
  {
    name: 'session',
    about: 'see, watch and revoke sessions: one run of one agent each',
    load: operatorGroup('session'),
  },
  {
    name: 'token',
    about: 'get a token as an agent; see and revoke single tokens',
    async load(environment) {
      const { addTokenRequest } = await import('./token-request-command.ts');
      return addTokenRequest(await operatorGroup('token')(environment), environment);
    },
  },
  {
    name: 'whoami',
    about: 'who an agent or an operator is to the broker, and what it may ask for',
    load: async (environment) => (await import('./whoami-command.ts')).whoamiCommand(environment),
  },
  {
    name: 'doctor',
    about: 'walk from here to a token, and name what is in the way and what to do about it',
    load: async (environment) => (await import('./doctor-command.ts')).doctorCommand(environment),
  },
  {
    name: 'aws',
    about: 'credentials of AWS for one action, for every tool of AWS',
    load: async (environment) => (await import('./aws-commands.ts')).awsCommands(environment),
  },
  {
    name: 'agent',
    about: 'agents: declare one; see, revoke, stop and release them',
    async load(environment) {
      const { agentCommands } = await import('./agent-commands.ts');
      const { addOperatorCommands } = await import('./operator-commands.ts');
      const agent = agentCommands({ directory: scopesDirectory(environment) });
      return addOperatorCommands(agent, 'agent', environment);
    },
  },
  {
    name: 'verifier',
    about: 'enforcement points, and how far each has followed the ledger',
    load: operatorGroup('verifier'),
  },
  {
    name: 'kill',
    about: 'the kill switch: stop agents, zones, actions, everything; and release them',
    load: operatorGroup('kill'),
  },
  {
    name: 'release',
    about: 'the same as kill release',
    load: async (environment) => (await import('./kill-commands.ts')).releaseCommand(environment),
  },
  { name: 'receipt', about: 'what a kill or a revocation was proved with', load: operatorGroup('receipt') },
  {
    name: 'audit',
    about: 'the audit log: follow it, search it, take it away, verify it, stream it; run a witness',
    async load(environment) {
      const { auditSinkCommands } = await import('./audit-sink-commands.ts');
      const { auditResumeCommand } = await import('./audit-resume-command.ts');
      const audit = await operatorGroup('audit')(environment);
      return audit.addCommand(auditSinkCommands(environment)).addCommand(auditResumeCommand(environment));
    },
  },
  {
    name: 'signing-key',
    about: 'see and revoke signing keys, over the management API',
    load: operatorGroup('signing-key'),
  },
  {
    name: 'operator',
    about: 'the people that policy lets manage mayfly',
    async load(environment) {
      const { operatorCommands } = await import('./new-operator-command.ts');
      return operatorCommands({ directory: scopesDirectory(environment) });
    },
  },
  {
    name: 'keys',
    about: 'signing keys and what seals them, straight at the database',
    async load(environment) {
      const { keyCommands } = await import('./key-commands.ts');
      return keyCommands(async () => (await import('./open-keys.ts')).openKeys(environment));
    },
  },
  {
    name: 'run',
    about: 'start a program with credentials, and without a key that it could lose',
    load: async (environment) => (await import('./run-command.ts')).runCommand(environment),
  },
  {
    name: 'resource-server',
    about: 'run the sample resource server: GET /customers, POST /exports, tools at /mcp',
    load: async () => (await import('./sample-commands.ts')).resourceServerCommand(),
  },
  {
    name: 'tour',
    about: 'see a token being got, used, replayed and stolen, on real sockets',
    load: async () => (await import('./sample-commands.ts')).tourCommand(),
  },
];

function operatorGroup(noun: string): Group['load'] {
  return async (environment) => {
    const { addOperatorCommands } = await import('./operator-commands.ts');
    return addOperatorCommands(new Command(noun), noun, environment);
  };
}

/** Adds every group to the program: the one that `words` asks for in full, of the others the name. */
export async function addCommandGroups(
  program: Command,
  { words, environment }: { words: readonly string[]; environment: Environment },
): Promise<void> {
  const [first, second] = words.filter((word) => !word.startsWith('-'));
  const wanted = first === 'help' ? second : first;
  for (const { name, about, load } of GROUPS) {
    const command = name === wanted ? await load(environment) : new Command(name);
    program.addCommand(command.description(about));
  }
}
