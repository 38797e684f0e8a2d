/**
 * `mayfly agent new <name>`: a key pair for an agent, and the policy file that would declare it. Grants nothing:
 * the file takes effect when it has been reviewed and applied. The private key goes to a file that only its owner
 * can read and is printed nowhere; an existing file is never touched. Exit codes: 0 made, 1 usage or a file in the
 * way.
 */
import { generateKeyPairSync } from 'node:crypto';
import { rmSync, writeFileSync } from 'node:fs';
import { join, resolve } from 'node:path';
import { Command, Option } from 'commander';
import type { NamedJwk } from '../catalogue/keys.ts';
import { checkNewAgent, type NewAgent, newAgentYaml } from '../catalogue/new-agent.ts';
import { parseVerificationKey } from '../jws/jwk.ts';

const EXIT_USAGE = 1;
const PRIVATE_MODE = 0o600;
const POLICY_MODE = 0o644;
const DEFAULT_SESSION_SECONDS = 3_600;

const ALGORITHMS = ['ES256', 'Ed25519'] as const;
type Algorithm = (typeof ALGORITHMS)[number];

type NewOptions = {
  title?: string;
  owner?: string;
  zone?: string;
  action: string[];
  sessionSeconds: number;
  algorithm: Algorithm;
  directory: string;
  key?: string;
  print: boolean;
  output: 'text' | 'json';
};

/** @param directory the scopes folder where none is named */
export function agentCommands({ directory = 'scopes' }: { directory?: string } = {}): Command {
  const agent = new Command('agent');
  agent.addCommand(newCommand(directory));
  return agent;
}

function newCommand(directory: string): Command {
  return new Command('new')
    .description('make a key pair and the policy file to review')
    .argument('<name>', 'like report-writer')
    .option('--title <words>', 'what it does, in plain words')
    .option('--owner <name>', 'the team or person that answers for it')
    .option('--zone <name>', 'the zone it lives in')
    .option('--action <name>', 'an action it may ask for; repeat for several', collect, [])
    .option('--session-seconds <number>', 'how long one run may last', Number, DEFAULT_SESSION_SECONDS)
    .addOption(new Option('--algorithm <name>', 'of the key').choices(ALGORITHMS).default('ES256'))
    .option('--directory <folder>', 'the scopes folder', directory)
    .option('--key <file>', 'where the private key goes (default: <name>.private.jwk.json)')
    .option('--print', 'print the policy file instead of writing it', false)
    .addOption(new Option('-o, --output <format>', 'how to print').choices(['text', 'json']).default('text'))
    .action((name: string, options: NewOptions, command: Command) => makeAgent(name, options, command));
}

function makeAgent(name: string, options: NewOptions, command: Command): void {
  const { algorithm, output, title, owner, zone, sessionSeconds, action: may } = options;
  const { privateJwk, publicJwk } = makeKeyPair(algorithm);
  const agent: NewAgent = { name, title, owner, zone, sessionSeconds, may, key: publicJwk };
  const complaints = checkNewAgent(agent);
  if (complaints.length > 0) command.error(complaints.join('\n'), { exitCode: EXIT_USAGE });
  const files = filesFor(name, options);
  const yaml = newAgentYaml(agent);
  const obstacle = writeBoth(files, { privateJwk, yaml });
  if (obstacle !== null) command.error(obstacle, { exitCode: EXIT_USAGE });
  const made: Made = { agent: name, ...files, public_jwk: publicJwk, yaml };
  process.stdout.write(output === 'json' ? `${JSON.stringify(made, null, 2)}\n` : summary(made));
}

type Files = { key_file: string; policy_file: string | null };
type Made = Files & { agent: string; public_jwk: NamedJwk; yaml: string };

function filesFor(name: string, { key, directory, print }: NewOptions): Files {
  return {
    key_file: resolve(key ?? `${name}.private.jwk.json`),
    policy_file: print ? null : join(resolve(directory), 'agents', `${name}.yaml`),
  };
}

function makeKeyPair(algorithm: Algorithm): { privateJwk: object; publicJwk: NamedJwk } {
  const { privateKey, publicKey } =
    algorithm === 'ES256'
      ? generateKeyPairSync('ec', { namedCurve: 'P-256' })
      : generateKeyPairSync('ed25519');
  const { jwk, thumbprint } = parseVerificationKey(publicKey.export({ format: 'jwk' }));
  const name = { kid: thumbprint, alg: algorithm };
  return {
    privateJwk: { ...privateKey.export({ format: 'jwk' }), ...name },
    publicJwk: { ...jwk, ...name } as NamedJwk,
  };
}

/** Both files or none; null when written, else what stood in the way. */
function writeBoth(
  { key_file, policy_file }: Files,
  { privateJwk, yaml }: { privateJwk: object; yaml: string },
): string | null {
  const obstacle = create(key_file, `${JSON.stringify(privateJwk, null, 2)}\n`, PRIVATE_MODE);
  if (obstacle !== null || policy_file === null) return obstacle;
  const second = create(policy_file, yaml, POLICY_MODE);
  if (second !== null) rmSync(key_file); // ours: created exclusively a moment ago, and nobody knows its key yet
  return second;
}

/** Creates a file that did not exist; the mode holds from its first byte. */
function create(path: string, text: string, mode: number): string | null {
  try {
    writeFileSync(path, text, { flag: 'wx', mode });
    return null;
  } catch (error) {
    const { code } = error as NodeJS.ErrnoException;
    if (code === 'EEXIST') return `${path} exists, and is left as it is. Remove it or name another file.`;
    if (code === 'ENOENT')
      return `The folder of ${path} does not exist. Make it, or name another: --directory, --key.`;
    return `${path} cannot be written: ${code}.`;
  }
}

function summary({ key_file, policy_file, yaml }: Made): string {
  const written = policy_file === null ? `\n${yaml}` : `Policy file:  ${policy_file}\n`;
  return `Private key:  ${key_file}
              Only its owner can read it. Move it to where the agent runs; never commit it.
${written}
Next: fill in what is empty, run "mayfly scopes check", and have the file reviewed.
`;
}

function collect(value: string, values: string[]): string[] {
  return [...values, value];
}
