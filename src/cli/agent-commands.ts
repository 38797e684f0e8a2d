/** `mayfly agent new <name>`: an agent to be reviewed. Exit codes: 0 made, 1 usage or a file in the way. */
import { Command } from 'commander';
import type { NamedJwk } from '../catalogue/keys.ts';
import { checkNewAgent, newAgentYaml } from '../catalogue/new-agent.ts';
import { addNewClientOptions, collect, makeClient, type NewClientOptions } from './new-client.ts';

const DEFAULT_SESSION_SECONDS = 3_600;

type NewAgentOptions = NewClientOptions & {
  title?: string;
  owner?: string;
  zone?: string;
  action: string[];
  sessionSeconds: number;
};

/** @param directory the scopes folder where none is named */
export function agentCommands({ directory = 'scopes' }: { directory?: string } = {}): Command {
  const command = new Command('new')
    .description('make a key pair and the policy file to review')
    .argument('<name>', 'like report-writer')
    .option('--title <words>', 'what it does, in plain words')
    .option('--owner <name>', 'the team or person that answers for it')
    .option('--zone <name>', 'the zone it lives in')
    .option('--action <name>', 'an action it may ask for; repeat for several', collect, [])
    .option('--session-seconds <number>', 'how long one run may last', Number, DEFAULT_SESSION_SECONDS)
    .action(makeAgent);
  return new Command('agent').addCommand(addNewClientOptions(command, directory));
}

function makeAgent(name: string, options: NewAgentOptions, command: Command): void {
  const { title, owner, zone, sessionSeconds, action: may } = options;
  const agent = { name, title, owner, zone, sessionSeconds, may };
  const declaration = {
    kind: 'agent',
    name,
    check: (key: NamedJwk) => checkNewAgent({ ...agent, key }),
    yaml: (key: NamedJwk) => newAgentYaml({ ...agent, key }),
  } as const;
  makeClient(declaration, options, command);
}
