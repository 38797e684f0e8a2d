/** The log of a running broker: its head against the memory, and every hash of it against the head. */
import type { BadEntry } from '../audit/check-entries.ts';
import type { RefusedCheckpoint } from '../audit/judge-checkpoint.ts';
import { originOf } from '../audit/log-key.ts';
import { formatHash } from '../audit/note-text.ts';
import type { TrustedLog } from '../audit/trusted-log.ts';
import { type Accepted, verifyLog } from '../audit/verify-log.ts';
import type { Environment } from '../config/environment.ts';
import { type Finding, trustOptions, type VerifyOptions } from './audit-verify-command.ts';
import { type ConnectionOptions, readConnection } from './connection.ts';
import { shownTexts } from './entry-texts.ts';
import { CommandFailure } from './failure.ts';
import { groundsOf, type LogTrust, openTrust } from './log-trust.ts';
import { createOperatorClient } from './operator-client.ts';
import { readIdentity } from './operator-identity.ts';
import { OWN_ENTRY_SECONDS, placeOfOwnEntry } from './own-entry.ts';
import { isHeadMissing, openPublicLog, type PublicLog } from './public-log.ts';
import { type Departure, evidenceOf, wordsFor } from './refused-checkpoint.ts';
import { witnessedHead } from './witnessed-head.ts';

/** @throws {CommandFailure} when the broker cannot be asked, or nothing is pinned */
export async function verifyLiveLog(options: VerifyOptions, environment: Environment): Promise<Finding> {
  const { issuer } = readConnection(environment, options);
  const log = openPublicLog(issuer);
  const [head, { keys, handOvers }] = [await headOf(log), await log.keys()];
  const told = { origin: originOf(issuer), keys, checkpoint: head instanceof CommandFailure ? '' : head };
  const trust = openTrust(environment, trustOptions(options), told);
  if (head instanceof CommandFailure) return headless(head, trust.trusted);
  const checkpoint = (await witnessedHead(log, trust)) ?? head;
  const reader = options.entries ? createReader(options, environment) : null;
  const { bodiesFrom } = options;
  const verdict = await verifyLog(
    { tile: log.tile, checkpoint, handOvers, ...(reader !== null && { texts: reader.texts }) },
    { ...trust.policy, trusted: trust.trusted, bodiesFrom },
  );
  if (verdict.outcome === 'not-trusted') return refusalOf(verdict.judgement, verdict.departure);
  if (verdict.outcome === 'bad-entry') {
    if (verdict.trusted !== undefined) await trust.memory.keep(verdict.trusted);
    return flawOf(verdict.bad);
  }
  const { accepted, bodiesAbsent } = verdict;
  await trust.memory.keep(accepted.trusted);
  if (reader === null) return soundness(accepted, trust, {});
  const requestId = reader.requestId();
  const from = accepted.checkpoint.size;
  const ownEntry = await placeOfOwnEntry({ client: reader.client, log }, { requestId, from });
  if (ownEntry === null) return stalled();
  return soundness(accepted, trust, { texts_past_retention: bodiesAbsent, own_entry: ownEntry });
}

/** The refusal of a log that has no signed head. */
async function headOf(log: PublicLog): Promise<string | CommandFailure> {
  try {
    return await log.checkpoint();
  } catch (error) {
    if (isHeadMissing(error)) return error;
    throw error;
  }
}

/** Nothing to verify in a log that has just begun; and in one that was there before everything is gone. */
function headless(refusal: CommandFailure, { newest }: TrustedLog): Finding {
  if (newest === null || newest.size === 0) throw refusal;
  const { size } = newest;
  return {
    facts: { reason: 'rollback', first_bad_entry: { from: 0, to: 1 } },
    why: `rollback: this log has no signed head, and one of ${size} entries was seen before. Entry 0, which was there, is missing.`,
  };
}

/** Who reads entries, and the request by which this was done last. */
function createReader(options: VerifyOptions, environment: Environment) {
  const client = createOperatorClient(readIdentity(environment, identityOf(options)));
  let last = '';
  return {
    client,
    requestId: () => last,
    async *texts(size: number) {
      for await (const { entries, requestId } of shownTexts(client, { from: 0, to: size, size })) {
        last = requestId ?? '';
        yield entries;
      }
    },
  };
}

function refusalOf(judgement: RefusedCheckpoint, departure: Departure): Finding {
  const why = wordsFor(judgement, departure);
  return { facts: { reason: judgement.outcome, ...evidenceOf(judgement, departure) }, why };
}

function stalled(): Finding {
  return {
    facts: { reason: 'entries-wait' },
    why:
      `The entry of this very reading has waited for ${OWN_ENTRY_SECONDS} s without a place in the signed log. Nobody ` +
      'keeps the log now, or an old head is shown: nothing new is proved.',
  };
}

function identityOf({ url, as, operatorKey }: VerifyOptions): ConnectionOptions {
  return {
    ...(url !== undefined && { url }),
    ...(as !== undefined && { as }),
    ...(operatorKey !== undefined && { key: operatorKey }),
  };
}

function soundness(accepted: Accepted, trust: LogTrust, texts: object): Finding {
  const { checkpoint } = accepted;
  const facts = {
    origin: checkpoint.origin,
    log_size: checkpoint.size,
    root: formatHash(checkpoint.root),
    seen_before: trust.trusted.newest?.size ?? null,
    ...texts,
    ...groundsOf(accepted, trust),
  };
  return { facts, why: null };
}

function flawOf({ flaw, index, until, why }: BadEntry): Finding {
  if (until === index + 1) {
    return { facts: { reason: flaw, index }, why: `The first bad entry is ${index}, ${flaw}: ${why}.` };
  }
  return {
    facts: { reason: flaw, from: index, to: until },
    why: `The first bad entry is one of ${index} to ${until - 1}, ${flaw}: ${why}.`,
  };
}
