/** The log of a running broker: its head against the memory, and every hash of it against the head. */
import { originOf } from '../audit/log-key.ts';
import { formatHash } from '../audit/note-text.ts';
import type { TreeHead } from '../audit/trusted-log.ts';
import type { Environment } from '../config/environment.ts';
import { type Finding, trustOptions, type VerifyOptions } from './audit-verify-command.ts';
import { type Bundle, entryTexts } from './entry-texts.ts';
import { type Accepted, judgeLive } from './live-log.ts';
import { groundsOf, type LogTrust, openTrust } from './log-trust.ts';
import { createOperatorClient, type OperatorClient } from './operator-client.ts';
import { type ConnectionOptions, readConnection, readIdentity } from './operator-identity.ts';
import { OWN_ENTRY_SECONDS, placeOfOwnEntry } from './own-entry.ts';
import { openPublicLog, type PublicLog } from './public-log.ts';
import { evidenceOf, wordsFor } from './refused-checkpoint.ts';
import { type LogWalk, walkLog } from './walk-log.ts';

/** @throws {CommandFailure} when the broker cannot be asked, or nothing is pinned */
export async function verifyLiveLog(options: VerifyOptions, environment: Environment): Promise<Finding> {
  const { issuer } = readConnection(environment, options);
  const log = openPublicLog(issuer);
  const [checkpoint, { keys, handOvers }] = [await log.checkpoint(), await log.keys()];
  const told = { origin: originOf(issuer), keys, checkpoint };
  const trust = openTrust(environment, trustOptions(options), told);
  const judgement = await judgeLive(log, trust, { checkpoint, handOvers });
  if (judgement.outcome === 'not-consistent') {
    // The proof was made of what the log serves: only when that leads to the signed root, two trees were signed.
    const walk = await walked(log, judgement.offered, { seen: null, options, reader: null });
    if (walk.outcome !== 'sound') return flawOf(walk);
  }
  if (judgement.outcome !== 'accepted') {
    return { facts: { reason: judgement.outcome, ...evidenceOf(judgement) }, why: wordsFor(judgement) };
  }
  await trust.memory.keep(judgement.trusted);
  const reader = options.entries ? createReader(options, environment) : null;
  const { checkpoint: head } = judgement;
  const walk = await walked(log, head, { seen: trust.trusted.newest, options, reader });
  if (walk.outcome !== 'sound') return flawOf(walk);
  if (reader === null) return soundness(judgement, trust, {});
  const ownEntry = await placeOfOwnEntry({ client: reader.client, log }, { ...reader.last, from: head.size });
  if (ownEntry === null) return stalled();
  return soundness(judgement, trust, { texts_past_retention: walk.bodiesAbsent, own_entry: ownEntry });
}

/** Who reads entries, and the request by which this was done last. */
type Reader = { client: OperatorClient; last: { requestId: string } };

function createReader(options: VerifyOptions, environment: Environment): Reader {
  const client = createOperatorClient(readIdentity(environment, identityOf(options)));
  return { client, last: { requestId: '' } };
}

type Walking = { seen: TreeHead | null; options: VerifyOptions; reader: Reader | null };

function walked(log: PublicLog, head: TreeHead, { seen, options, reader }: Walking): Promise<LogWalk> {
  const { bodiesFrom } = options;
  const bundles = reader === null ? {} : { bundles: bundlesFor(reader, head.size) };
  return walkLog({ head, seen, fetchTile: log.tile, bodiesFrom, ...bundles });
}

async function* bundlesFor({ client, last }: Reader, size: number): AsyncGenerator<Bundle> {
  for await (const bundle of entryTexts(client, { from: 0, to: size, size })) {
    last.requestId = bundle.requestId ?? '';
    yield bundle;
  }
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

function flawOf(walk: Exclude<LogWalk, { outcome: 'sound' }>): Finding {
  if (walk.outcome !== 'leaves-changed') {
    const { outcome, index } = walk;
    const what = outcome === 'body-absent' ? 'its text is not there' : 'it is not what was signed';
    return {
      facts: { reason: outcome, index },
      why: `The first bad entry is ${index}, ${outcome}: ${what}.`,
    };
  }
  const { outcome, from, to } = walk;
  return {
    facts: { reason: outcome, from, to },
    why: `The hashes of the log do not lead to its signed root: the first bad entry is one of ${from} to ${to - 1}.`,
  };
}
