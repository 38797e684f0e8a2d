/** A resource server's process, as far as verifiers matter: a parent tells it what to decide. */
import { systemClock } from '../../src/time/clock.ts';
import { createVerifier, type VerifierOptions } from '../../src/verifier/index.ts';
import type { Asked, Order, Outcome } from './verifier-process.ts';

const given: Omit<VerifierOptions, 'clock'> & { instances: number } = JSON.parse(process.argv[2] ?? '{}');
let skipped = 0;
let clockSet = 0;

/** It began long ago: what a verifier refuses in its first seconds has its own test. */
let isFirstReading = true;
const clock = {
  milliseconds() {
    const age = isFirstReading ? 60_000 : 0;
    isFirstReading = false;
    return systemClock.milliseconds() + skipped + clockSet - age;
  },
  monotonicMilliseconds: () => systemClock.monotonicMilliseconds() + skipped,
};

const { instances, ...options } = given;
const verifiers = Array.from({ length: instances }, () => {
  isFirstReading = true;
  return createVerifier({ timeoutMilliseconds: 10_000, ...options, clock });
});

async function decide({ request, action }: Asked): Promise<Outcome[]> {
  const decisions = verifiers.map(async (verifier) => {
    const answer = await verifier.verify({ ...request, readArguments: () => undefined }, { action });
    return answer.granted ? 'granted' : answer.reason;
  });
  return Promise.all(decisions);
}

async function obey(order: Order): Promise<unknown> {
  switch (order.do) {
    case 'get ready':
      return Promise.all(verifiers.map((verifier) => verifier.ready()));
    case 'decide':
      return Promise.all(order.asked.map(decide));
    case 'tell':
      return verifiers.map((verifier) => verifier.status());
    case 'give evidence':
      return verifiers.map((verifier) => verifier.evidence());
    case 'skip':
      skipped += order.milliseconds;
      return null;
    case 'set clock':
      clockSet += order.milliseconds;
      return null;
    case 'close':
      return Promise.all(verifiers.map((verifier) => verifier.close()));
  }
}

process.on('message', async ({ id, order }: { id: number; order: Order }) => {
  try {
    process.send?.({ id, result: await obey(order) });
  } catch (error) {
    process.send?.({ id, error: String(error) });
  }
});
process.on('disconnect', () => process.exit());
