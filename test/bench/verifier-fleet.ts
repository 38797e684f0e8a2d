/**
 * Many verifiers in one process, so that what they cost can be told apart from what they cost the broker. Each has a
 * connection of its own, on which it renews each second, at a moment of its own, and reads the feed on another.
 */
import { createPrivateKey, type KeyObject, randomBytes, randomUUID, type webcrypto } from 'node:crypto';
import { Agent, request } from 'node:http';
import { encodeHeader, signCompactJws } from '../../src/jws/compact-jws.ts';
import type { Lease } from '../../src/revocations/ledger-message.ts';
import { systemClock } from '../../src/time/clock.ts';
import { newIdentifier } from '../../src/time/identifier.ts';
import { nowSeconds } from '../test-agent.ts';

export type FleetOrder =
  | {
      kind: 'start';
      port: number;
      issuer: string;
      audience: string;
      key: webcrypto.JsonWebKey & { kid?: string };
      verifiers: number;
    }
  | { kind: 'watch' }
  | { kind: 'report' };

export type FleetReport = {
  renewals: number;
  failures: number;
  p50Milliseconds: number;
  p95Milliseconds: number;
  p99Milliseconds: number;
  maxMilliseconds: number;
  processorSeconds: number;
  /** Pages that came over the streams. */
  events: number;
};

type Start = FleetOrder & { kind: 'start' };

let latencies: number[] = [];
let failures = 0;
let events = 0;
let cpuBefore = process.cpuUsage();

process.channel?.ref();
process.on('message', async (order: FleetOrder) => {
  try {
    process.send?.(await carryOut(order));
  } catch (error) {
    process.send?.({ error: (error as Error).message });
  }
});

async function carryOut(order: FleetOrder): Promise<FleetReport | object> {
  if (order.kind === 'start') {
    await startFleet(order);
    return {};
  }
  if (order.kind === 'watch') {
    [latencies, failures, events, cpuBefore] = [[], 0, 0, process.cpuUsage()];
    return {};
  }
  const { user, system } = process.cpuUsage(cpuBefore);
  const sorted = Float64Array.from(latencies).sort();
  const percentile = (share: number) => sorted[Math.max(0, Math.ceil(share * sorted.length) - 1)] ?? 0;
  return {
    renewals: sorted.length,
    failures,
    events,
    p50Milliseconds: percentile(0.5),
    p95Milliseconds: percentile(0.95),
    p99Milliseconds: percentile(0.99),
    maxMilliseconds: percentile(1),
    processorSeconds: (user + system) / 1e6,
  };
}

async function startFleet(start: Start): Promise<void> {
  const privateKey = createPrivateKey({ key: start.key, format: 'jwk' });
  const agent = new Agent({ keepAlive: true, maxSockets: start.verifiers, maxFreeSockets: start.verifiers });
  const fleet = Array.from({ length: start.verifiers }, () => createMember(start, { privateKey, agent }));
  // Not all at once: a broker that has just started takes connections one after the other.
  for (let first = 0; first < fleet.length; first += 50) {
    await Promise.all(fleet.slice(first, first + 50).map((member) => member.begin()));
  }
  for (const [index, member] of fleet.entries()) member.keepRenewing((index * 1_000) / fleet.length);
}

function createMember(start: Start, { privateKey, agent }: { privateKey: KeyObject; agent: Agent }) {
  const { port, issuer, audience, key } = start;
  const alg = privateKey.asymmetricKeyType === 'ed25519' ? 'EdDSA' : 'ES256';
  const questionHeader = encodeHeader({ alg, typ: 'mayfly-question+jwt', ...(key.kid && { kid: key.kid }) });
  const instance = newIdentifier('ver', systemClock);
  let known = { generation: 0, applied_epoch: 0, digest: null as string | null, catalogue: 0 };

  function question(): string {
    const iat = nowSeconds();
    const claims = { iss: audience, sub: audience, aud: issuer, iat, exp: iat + 30, instance };
    const nonce = randomBytes(16).toString('base64url');
    return signCompactJws(
      questionHeader,
      { ...claims, nonce, ...known, sensitivities: ['LOW', 'MED', 'HIGH'] },
      privateKey,
    );
  }

  async function renew(): Promise<void> {
    const body = JSON.stringify({ question: question() });
    const startedAt = performance.now();
    const text = await post({ port, agent, body });
    latencies.push(performance.now() - startedAt);
    const lease = leaseIn(text);
    const { generation, through, head } = lease.page;
    if (through === head.epoch) {
      known = { ...known, generation, applied_epoch: through, digest: head.digest };
    }
    if (lease.catalogue !== undefined) known.catalogue = lease.catalogue.version;
  }

  return {
    async begin() {
      await renew();
      await openStream({ port, assertion: assertionOf(start, privateKey) });
    },
    keepRenewing(phaseMilliseconds: number) {
      const once = () =>
        renew().catch(() => {
          failures += 1;
        });
      setTimeout(() => setInterval(once, 1_000), phaseMilliseconds);
    },
  };
}

function assertionOf({ audience, issuer, key }: Start, privateKey: KeyObject): string {
  const alg = privateKey.asymmetricKeyType === 'ed25519' ? 'EdDSA' : 'ES256';
  const iat = nowSeconds();
  return signCompactJws(
    encodeHeader({ alg, typ: 'client-authentication+jwt', ...(key.kid && { kid: key.kid }) }),
    { iss: audience, sub: audience, aud: issuer, iat, exp: iat + 60, jti: randomUUID() },
    privateKey,
  );
}

function leaseIn(text: string): Lease {
  const [, claims = ''] = String(JSON.parse(text).answer).split('.');
  return JSON.parse(Buffer.from(claims, 'base64url').toString('utf8'));
}

function post({ port, agent, body }: { port: number; agent: Agent; body: string }): Promise<string> {
  return new Promise((resolve, reject) => {
    const sent = request(
      {
        host: '127.0.0.1',
        port,
        agent,
        method: 'POST',
        path: '/v1/verifiers/current/lease',
        headers: { 'Content-Type': 'application/json', 'Content-Length': Buffer.byteLength(body) },
      },
      (response) => {
        let text = '';
        response.setEncoding('utf8').on('data', (chunk: string) => {
          text += chunk;
        });
        response.on('end', () =>
          response.statusCode === 200 ? resolve(text) : reject(new Error(`${response.statusCode}: ${text}`)),
        );
      },
    );
    sent.on('error', reject);
    sent.end(body);
  });
}

/** Resolves with the first page. */
function openStream({ port, assertion }: { port: number; assertion: string }): Promise<void> {
  return new Promise((resolve, reject) => {
    const sent = request(
      {
        host: '127.0.0.1',
        port,
        agent: false,
        path: '/v1/revocations?since=0',
        headers: { Accept: 'text/event-stream', Authorization: `Bearer ${assertion}` },
      },
      (response) => {
        if (response.statusCode !== 200) reject(new Error(`the feed answered ${response.statusCode}`));
        response.setEncoding('utf8').on('data', (chunk: string) => {
          if (chunk.includes('event: ledger')) events += 1;
          resolve();
        });
      },
    );
    sent.on('error', reject);
    sent.end();
  });
}
