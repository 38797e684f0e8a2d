/** The key that a witness cosigns with: a file that only its owner can read, made once. */
import { createPrivateKey, createPublicKey, generateKeyPairSync } from 'node:crypto';
import { z } from 'zod';
import { AuditFormatError } from '../audit/format-error.ts';
import type { SigningKey } from '../audit/sign-note.ts';
import { verifierKeyOf } from '../audit/verifier-key.ts';
import { readFileIfAny, writeDurably } from './durable-file.ts';
import { fail } from './failure.ts';

const FORMAT = 'mayfly-witness-key-v1';
const schema = z.strictObject({ format: z.literal(FORMAT), name: z.string(), private_key: z.string() });

/** Null when there is none yet. @throws {CommandFailure} for a file that is none, or has another name */
export function readWitnessKey(path: string, name: string | undefined): SigningKey | null {
  const text = readFileIfAny(path);
  if (text === null) return null;
  const key = parsed(text, path);
  if (name !== undefined && name !== key.key.name) {
    fail('usage', `The key in ${path} is of ${key.key.name}. A witness keeps its name.`);
  }
  return key;
}

/** @throws {CommandFailure} for a name that cannot be one */
export function makeWitnessKey(path: string, name: string): SigningKey {
  const { publicKey, privateKey } = generateKeyPairSync('ed25519');
  try {
    const key = verifierKeyOf({ name, kind: 'witness', publicKey });
    const pem = privateKey.export({ format: 'pem', type: 'pkcs8' });
    writeDurably(path, `${JSON.stringify({ format: FORMAT, name, private_key: pem }, null, 2)}\n`);
    return { key, privateKey };
  } catch (error) {
    if (error instanceof AuditFormatError) return fail('usage', `${error.message}.`);
    throw error;
  }
}

function parsed(text: string, path: string): SigningKey {
  try {
    const { name, private_key: pem } = schema.parse(JSON.parse(text));
    const privateKey = createPrivateKey(pem);
    return {
      key: verifierKeyOf({ name, kind: 'witness', publicKey: createPublicKey(privateKey) }),
      privateKey,
    };
  } catch {
    return fail('usage', `${path} is no key of a witness.`);
  }
}
