/** `mayfly ledger recover`: what verifiers hold of the ledger, given back to a database that lost it. */
import { closeSync, fstatSync, openSync, readFileSync } from 'node:fs';
import { readConfiguration } from '../config/configuration.ts';
import { parseConnectionUrl } from '../config/connection-url.ts';
import type { Environment } from '../config/environment.ts';
import { EvidenceError } from '../revocations/evidence.ts';
import { type Recovery, recoverRevocations } from '../revocations/recovery-store.ts';
import { systemClock } from '../time/clock.ts';
import { asOwner, ownerUrlOf } from './own-database.ts';
import { print, say } from './print.ts';
import { table } from './table.ts';

export type RecoverOptions = { issuer: string | undefined; actor: string; dryRun: boolean };

/** What one verifier keeps, ten times over. */
const MAX_FILE_BYTES = 180_000_000;

export async function recoverLedger(
  path: string,
  { databaseUrl, issuer, ...options }: RecoverOptions & { databaseUrl: string | undefined },
  environment: Environment,
): Promise<void> {
  const evidence = readEvidenceFile(path);
  if (databaseUrl !== undefined) parseConnectionUrl(databaseUrl);
  const configuration = () => readConfiguration(environment, { as: 'owner' });
  const url = databaseUrl ?? ownerUrlOf(configuration());
  await asOwner({ url, applicationName: 'mayfly ledger recover' }, async (owner) => {
    const recovery = await recoverRevocations({
      owner,
      evidence,
      issuer: issuer ?? configuration().issuer,
      clock: systemClock,
      ...options,
    });
    tell(recovery, options);
  });
}

function readEvidenceFile(path: string): string {
  let file: number;
  try {
    file = openSync(path, 'r');
  } catch (error) {
    throw new EvidenceError(`${path} cannot be read (${(error as NodeJS.ErrnoException).code}).`);
  }
  try {
    const stat = fstatSync(file);
    if (!stat.isFile()) throw new EvidenceError(`${path} is no file.`);
    if (stat.size > MAX_FILE_BYTES) {
      throw new EvidenceError(`${path} is larger than ${MAX_FILE_BYTES} bytes: give a part at a time.`);
    }
    return readFileSync(file, 'utf8');
  } finally {
    closeSync(file);
  }
}

function tell({ evidenced, present, recovered }: Recovery, { dryRun }: { dryRun: boolean }): void {
  if (recovered.length > 0) print(table(['kind', 'target', 'standing', 'lost', 'epoch'], recovered));
  const done = dryRun ? 'would be revoked again' : 'revoked again';
  say(`Of ${evidenced} entries ${present} are in this ledger; ${recovered.length} ${done}.`);
  for (const { kind, target } of recovered) {
    if (kind === 'signing-key') say(`Now take ${target} out of use: mayfly keys revoke ${target} --yes`);
  }
}
