/** Who uses the command line, when that is not said on it. A broker reads none of this. */
import { resolve } from 'node:path';
import type { SettingReader } from './setting-reader.ts';

export type ClientSetting = {
  name: string | undefined;
  /** The private key itself, or the file that it is in. */
  key: string | undefined;
  keyFile: string | undefined;
};

export const NO_CLIENT: ClientSetting = { name: undefined, key: undefined, keyFile: undefined };

/** An operator's private JWK, wherever it is. */
export function readOperator(read: SettingReader): ClientSetting {
  const key = read.secret('MAYFLY_OPERATOR_KEY');
  return { name: read.text('MAYFLY_OPERATOR'), key, keyFile: undefined };
}

/** The key of an agent stays in its file until it is turned into one that cannot be printed. */
export function readAgent(read: SettingReader): ClientSetting {
  const key = read.text('MAYFLY_AGENT_KEY');
  const path = read.text('MAYFLY_AGENT_KEY_FILE');
  if (key !== undefined && path !== undefined) {
    read.refuse('MAYFLY_AGENT_KEY and MAYFLY_AGENT_KEY_FILE are both set; keep one');
  }
  return { name: read.text('MAYFLY_AGENT'), key, keyFile: path === undefined ? undefined : resolve(path) };
}
