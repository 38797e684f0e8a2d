/** Who is asked to cosign the audit log: `MAYFLY_WITNESSES`, a list of `<url> <vkey>`. */
import { createHash } from 'node:crypto';
import { isLoopback } from './network.ts';
import type { SettingReader } from './setting-reader.ts';

/** `url` without a slash at its end, below which `add-checkpoint` is asked; `vkey` as the witness publishes it. */
export type WitnessSetting = { url: string; vkey: string };

const NAME = 'MAYFLY_WITNESSES';
const MAX_WITNESSES = 8;
const VKEY = /^([^\s+]{1,255})\+([0-9a-f]{8})\+([A-Za-z0-9+/]{44})$/;
/** C2SP tlog-cosignature: Ed25519, timestamped. */
const COSIGNATURE_TYPE = 0x04;

export function readWitnesses(read: SettingReader): WitnessSetting[] {
  const text = read.text(NAME);
  if (text === undefined) return [];
  const witnesses = text.split(',').map((each) => readWitness(each.trim(), read));
  if (witnesses.length > MAX_WITNESSES) read.refuse(`${NAME} lists more than ${MAX_WITNESSES} witnesses`);
  for (const [what, of] of [
    ['address', ({ url }: WitnessSetting) => url],
    ['key name', ({ vkey }: WitnessSetting) => vkey.split('+')[0]],
  ] as const) {
    const known = witnesses.filter(({ url }) => url !== '').map(of);
    if (new Set(known).size < known.length) read.refuse(`${NAME} lists two witnesses with one ${what}`);
  }
  return witnesses;
}

function readWitness(text: string, read: SettingReader): WitnessSetting {
  const [address = '', vkey = '', ...rest] = text.split(/\s+/);
  const url = URL.canParse(address) ? new URL(address) : null;
  const isSecure = url?.protocol === 'https:' || (url?.protocol === 'http:' && isLoopback(url.hostname));
  const isPlain = url !== null && `${url.username}${url.password}${url.search}${url.hash}` === '';
  if (rest.length > 0 || !isSecure || !isPlain) {
    read.refuse(
      `${NAME} has to list "<url> <vkey>", separated by commas; the url https unless its host is loopback, and ` +
        `without credentials, query or fragment: not "${address}"`,
    );
  }
  if (!isWitnessKey(vkey)) {
    read.refuse(
      `${NAME}: "${vkey}" is not the verifier key of a witness, <name>+<key id>+<base64> with type 4`,
    );
  }
  return { url: address.replace(/\/$/, ''), vkey };
}

function isWitnessKey(vkey: string): boolean {
  const [, name = '', keyId, base64 = ''] = VKEY.exec(vkey) ?? [];
  const material = Buffer.from(base64, 'base64');
  if (material[0] !== COSIGNATURE_TYPE || material.length !== 33) return false;
  const hash = createHash('sha256').update(`${name}\n`).update(material).digest('hex');
  return hash.slice(0, 8) === keyId;
}
