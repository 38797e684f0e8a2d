/**
 * The clients, in a process of their own, so that what they cost can be told apart. It is asked twice a round: to
 * sign, and, once the processors have been looked at, to send.
 */
import type { BenchClient } from './bench-client.ts';
import { askOnce, sendAll } from './connections.ts';
import { headerOf } from './http-answer.ts';
import { createRequestSigner, type RequestSigner, type Target } from './signed-requests.ts';

export type Order =
  | { kind: 'clients'; clients: readonly BenchClient[] }
  | { kind: 'sign'; target: Target; count: number }
  | { kind: 'send'; port: number; connections: number };

export type Delivery = {
  seconds: number;
  p50Milliseconds: number;
  p95Milliseconds: number;
  p99Milliseconds: number;
  /** Of this process alone. */
  processorSeconds: number;
};

export type Reply = { delivery?: Delivery; error?: string };

let signer: RequestSigner | undefined;
let requests: Buffer[] = [];

process.channel?.ref();
process.on('message', async (order: Order) => {
  process.send?.(await carryOut(order).catch((error: Error): Reply => ({ error: error.message })));
});

async function carryOut(order: Order): Promise<Reply> {
  if (order.kind === 'clients') {
    signer = createRequestSigner(order.clients);
    return {};
  }
  if (order.kind === 'sign') {
    requests = await sign(order.target, order.count);
    return {};
  }
  return { delivery: await send(order) };
}

async function sign(target: Target, count: number): Promise<Buffer[]> {
  if (signer === undefined) throw new Error('the clients have to come first');
  if (!target.nonce) return signer.sign(target, count, undefined);
  const [request] = signer.sign(target, 1, undefined);
  const answer = await askOnce(request as Buffer, target.port);
  return signer.sign(target, count, headerOf(answer, 'dpop-nonce'));
}

async function send({ port, connections }: { port: number; connections: number }): Promise<Delivery> {
  const before = process.cpuUsage();
  const { seconds, latenciesMilliseconds } = await sendAll(requests, { port, connections });
  const { user, system } = process.cpuUsage(before);
  const sorted = latenciesMilliseconds.toSorted();
  const percentile = (share: number) => sorted[Math.ceil(share * sorted.length) - 1] ?? 0;
  return {
    seconds,
    p50Milliseconds: percentile(0.5),
    p95Milliseconds: percentile(0.95),
    p99Milliseconds: percentile(0.99),
    processorSeconds: (user + system) / 1e6,
  };
}
