/**
 * A key pair for a client that policy is to declare, and the file that would declare it. Grants nothing: the file
 * takes effect when it has been reviewed and applied. The private key goes to a file that only its owner can read
 * and is printed nowhere; an existing file is never touched.
 */
import { generateKeyPairSync } from 'node:crypto';
import { rmSync, writeFileSync } from 'node:fs';
import { join, resolve } from 'node:path';
import { type Command, Option } from 'commander';
import type { NamedJwk } from '../catalogue/keys.ts';
import { parseVerificationKey } from '../jws/jwk.ts';
import { EXIT } from './failure.ts';

const PRIVATE_MODE = 0o600;
const POLICY_MODE = 0o644;

const ALGORITHMS = ['ES256', 'Ed25519'] as const;
type Algorithm = (typeof ALGORITHMS)[number];

export type NewClientOptions = {
  algorithm: Algorithm;
  directory: string;
  key?: string;
  print: boolean;
  output: 'text' | 'json';
};

type Declaration = {
  kind: 'agent' | 'operator';
  name: string;
  /** What is wrong with what was said. */
  check: (key: NamedJwk) => string[];
  yaml: (key: NamedJwk) => string;
};

/** @param directory the scopes folder where none is named */
export function addNewClientOptions(command: Command, directory: string): Command {
  return command
    .addOption(new Option('--algorithm <name>', 'of the key').choices(ALGORITHMS).default('ES256'))
    .option('--directory <folder>', 'the scopes folder', directory)
    .option('--key <file>', 'where the private key goes (default: <name>.private.jwk.json)')
    .option('--print', 'print the policy file instead of writing it', false)
    .addOption(new Option('-o, --output <format>', 'how to print').choices(['text', 'json']).default('text'));
}

/** Writes both files, or neither and says why. */
export function makeClient(declaration: Declaration, options: NewClientOptions, command: Command): void {
  const { kind, name } = declaration;
  const { privateJwk, publicJwk } = makeKeyPair(options.algorithm);
  const complaints = declaration.check(publicJwk);
  if (complaints.length > 0) command.error(complaints.join('\n'), { exitCode: EXIT.usage });
  const files = filesFor(declaration, options);
  const yaml = declaration.yaml(publicJwk);
  const obstacle = writeBoth(files, { privateJwk, yaml });
  if (obstacle !== null) command.error(obstacle, { exitCode: EXIT.usage });
  const made = { [kind]: name, ...files, public_jwk: publicJwk, yaml };
  const isJson = options.output === 'json';
  process.stdout.write(isJson ? `${JSON.stringify(made, null, 2)}\n` : summary(kind, made));
}

type Files = { key_file: string; policy_file: string | null };
type Made = Files & { yaml: string };

function filesFor({ kind, name }: Declaration, { key, directory, print }: NewClientOptions): Files {
  return {
    key_file: resolve(key ?? `${name}.private.jwk.json`),
    policy_file: print ? null : join(resolve(directory), `${kind}s`, `${name}.yaml`),
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

function summary(kind: Declaration['kind'], { key_file, policy_file, yaml }: Made): string {
  const written = policy_file === null ? `\n${yaml}` : `Policy file:  ${policy_file}\n`;
  return `Private key:  ${key_file}
              Only its owner can read it. Move it to where the ${kind} ${kind === 'agent' ? 'runs' : 'works'}; never commit it.
${written}
Next: fill in what is empty, run "mayfly scopes check", and have the file reviewed. Then make it the active policy with
"mayfly scopes apply", and give brokers the new files.
`;
}

/** For an option that can be repeated. */
export function collect(value: string, values: string[]): string[] {
  return [...values, value];
}
