/** `mayfly operator new <name>`: an operator to be reviewed. Exit codes: 0 made, 1 usage or a file in the way. */
import { Command } from 'commander';
import type { NamedJwk } from '../catalogue/keys.ts';
import { checkNewOperator, newOperatorYaml } from '../catalogue/new-operator.ts';
import { addNewClientOptions, collect, makeClient, type NewClientOptions } from './new-client.ts';

type NewOperatorOptions = NewClientOptions & { title?: string; role: string[] };

/** @param directory the scopes folder where none is named */
export function operatorCommands({ directory = 'scopes' }: { directory?: string } = {}): Command {
  const command = new Command('new')
    .description('make a key pair and the policy file to review')
    .argument('<name>', 'like olivia')
    .option('--title <words>', 'who this is, in plain words')
    .option('--role <name>', 'admin, approver, auditor or security; repeat for several', collect, [])
    .action(makeOperator);
  return new Command('operator').addCommand(addNewClientOptions(command, directory));
}

function makeOperator(name: string, options: NewOperatorOptions, command: Command): void {
  const operator = { name, title: options.title, roles: options.role };
  const declaration = {
    kind: 'operator',
    name,
    check: (key: NamedJwk) => checkNewOperator({ ...operator, key }),
    yaml: (key: NamedJwk) => newOperatorYaml({ ...operator, key }),
  } as const;
  makeClient(declaration, options, command);
}
