/**
 * `npm run bench:verify`: what it costs a resource server to let a request in, beside the two signature verifications
 * that nobody can do without: the token's and the proof's. On one core, in one process, in turn.
 *
 * The bare verifications get imported keys, and bytes that are cut out already. The verifier parses token and proof,
 * compares every member, keeps the proof from being used again, asks ledger and lease, and renews its lease meanwhile.
 */
import { verify as verifySignature } from 'node:crypto';
import { cpus } from 'node:os';
import { parseArgs } from 'node:util';
import { systemClock } from '../../src/time/clock.ts';
import { createProofMemory, createVerifier, type Verifier } from '../../src/verifier/index.ts';
import { newDeclaredKey } from '../test-scopes.ts';
import { startFakeIssuer } from '../verifier/fake-issuer.ts';
import { ACTION, AUDIENCE, type SignedRequest, signRequests } from './resource-requests.ts';

const USAGE = 'npm run bench:verify -- [--requests <1 to 30000>] [--rounds <1 to 100>]';

/** How often each token is used: an agent at work, one that looks something up, and the worst case. */
const USES = [50, 5, 1];
const WARM_UP_REQUESTS = 5_000;

/** Both let the event loop turn as often: without it no lease is renewed, and no server answers anybody. */
const BREATH = 50;
const breathe = () => new Promise((resolve) => setImmediate(resolve));

type Measurement = { uses: number; bareMicroseconds: number; verifierMicroseconds: number };

try {
  process.stdout.write(await run(readOptions(process.argv.slice(2))));
} catch (error) {
  process.stderr.write(`${(error as Error).message}\n`);
  process.exitCode = 1;
}

async function run(options: { requests: number; rounds: number }): Promise<string> {
  const { requests, rounds } = options;
  const now = () => Math.floor(Date.now() / 1_000);
  const issuer = await startFakeIssuer({ now, actions: { [ACTION]: 'MED' } });
  const proofs = createProofMemory({ maxProofs: 100_000_000, clock: systemClock });
  const key = newDeclaredKey().privateJwk as never;
  const verifier = createVerifier({ issuer: issuer.url, resource: AUDIENCE, key, proofs });
  const measurements: Measurement[] = [];
  try {
    await verifier.ready();
    for (let round = 0; round <= rounds; round += 1) {
      for (const uses of USES) {
        const count = round === 0 ? Math.min(requests, WARM_UP_REQUESTS) : requests;
        const signed = signRequests({ uses, count, issuer, nonce: proofs.nonce() });
        const measurement = await measure(signed, { uses, verifier, isBareFirst: round % 2 === 0 });
        if (round > 0) measurements.push(measurement);
      }
    }
    return report(measurements, options);
  } finally {
    await verifier.close();
    await issuer.stop();
  }
}

async function measure(
  signed: readonly SignedRequest[],
  { uses, verifier, isBareFirst }: { uses: number; verifier: Verifier; isBareFirst: boolean },
): Promise<Measurement> {
  const bare = () => verifyBare(signed);
  const whole = () => verifyWhole(signed, verifier);
  const microseconds = async (work: () => Promise<void>) => {
    const start = process.cpuUsage(); // of all threads: what others do on this machine does not count
    await work();
    const { user, system } = process.cpuUsage(start);
    return (user + system) / signed.length;
  };
  const first = await microseconds(isBareFirst ? bare : whole);
  const second = await microseconds(isBareFirst ? whole : bare);
  const [bareMicroseconds, verifierMicroseconds] = isBareFirst ? [first, second] : [second, first];
  return { uses, bareMicroseconds, verifierMicroseconds };
}

async function verifyBare(signed: readonly SignedRequest[]): Promise<void> {
  for (const [index, { token, proof }] of signed.entries()) {
    if (index % BREATH === 0) await breathe();
    const isToken = verifySignature(null, token.bytes, token.key, token.signature);
    const ofProof = { key: proof.key, dsaEncoding: 'ieee-p1363' } as const;
    if (!isToken || !verifySignature('sha256', proof.bytes, ofProof, proof.signature)) {
      throw new Error('a signature of the benchmark is not valid');
    }
  }
}

async function verifyWhole(signed: readonly SignedRequest[], verifier: Verifier): Promise<void> {
  for (const [index, { request }] of signed.entries()) {
    if (index % BREATH === 0) await breathe();
    const verification = await verifier.verify(request, { action: ACTION });
    if (!verification.granted) throw new Error(`the verifier refused: ${verification.reason}`);
  }
}

function report(
  measurements: readonly Measurement[],
  { requests, rounds }: { requests: number; rounds: number },
) {
  const rows = USES.map((uses) => {
    const own = measurements.filter((each) => each.uses === uses);
    const [bare, verifier] = [
      own.map((each) => each.bareMicroseconds),
      own.map((each) => each.verifierMicroseconds),
    ];
    const ratios = own.map((each) => each.bareMicroseconds / each.verifierMicroseconds);
    const range = `${Math.min(...ratios).toFixed(2)}–${Math.max(...ratios).toFixed(2)}`;
    const figures = [perSecond(bare), perSecond(verifier), `**${median(ratios).toFixed(2)}** (${range})`];
    return `| ${uses === 1 ? 'once' : `${uses} times`} | ${figures.join(' | ')} |`;
  });
  return [
    `Machine: ${cpus()[0]?.model.trim()}, Node ${process.versions.node}; one thread. ${rounds} round(s) of ${requests} requests`,
    'for each row, medians; in brackets the lowest and the highest round.',
    '',
    '| each token is used | two signature verifications, a second of processor time | `verify()`, a second | ratio |',
    '|:--|--:|--:|--:|',
    ...rows,
    '',
  ].join('\n');
}

function perSecond(microseconds: readonly number[]): string {
  return String(Math.round(1_000_000 / median(microseconds)));
}

function median(values: readonly number[]): number {
  return values.toSorted((one, other) => one - other)[Math.floor(values.length / 2)] ?? Number.NaN;
}

function readOptions(args: string[]): { requests: number; rounds: number } {
  const { values } = parseArgs({
    args,
    options: {
      requests: { type: 'string', default: '10000' },
      rounds: { type: 'string', default: '7' },
    },
  });
  const [requests, rounds] = [Number(values.requests), Number(values.rounds)];
  const isWithin = (value: number, most: number) =>
    Number.isSafeInteger(value) && value >= 1 && value <= most;
  if (!isWithin(requests, 30_000) || !isWithin(rounds, 100)) throw new Error(USAGE);
  return { requests, rounds };
}
