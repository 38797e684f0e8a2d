/**
 * Verifiers in a process of their own, and what a test says to them:
 *
 *   const customers = startVerifierProcess({ issuer, brokers, resource, key, instances: 1 });
 *   await customers.ready();
 *   await customers.decide([{ request, action }]);   // for each request, what each instance says
 */
import { type ChildProcess, fork } from 'node:child_process';
import { once } from 'node:events';
import { fileURLToPath } from 'node:url';
import type { ResourceRequest, Verifier, VerifierOptions } from '../../src/verifier/index.ts';
import { cleanEnvironment } from '../broker-process.ts';

/** `granted`, or the reason of the refusal. */
export type Outcome = string;

export type Asked = { request: Omit<ResourceRequest, 'readArguments'>; action: string };

export type Order =
  | { do: 'get ready' }
  | { do: 'decide'; asked: readonly Asked[] }
  | { do: 'tell' }
  | { do: 'give evidence' }
  /** Both clocks of the process go on by so much. */
  | { do: 'skip'; milliseconds: number }
  /** Somebody sets the time of day, from what it is. */
  | { do: 'set clock'; milliseconds: number }
  | { do: 'close' };

export type VerifierProcess = {
  child: ChildProcess;
  resource: string;
  ready(): Promise<void>;
  /** For each request what each instance says; nothing of it repeats a proof, for instances have their own memory. */
  decide(asked: readonly Asked[]): Promise<Outcome[][]>;
  status(): Promise<ReturnType<Verifier['status']>[]>;
  /** Of each instance, one JWS for each element. */
  evidence(): Promise<string[][]>;
  skip(milliseconds: number): Promise<void>;
  setClock(milliseconds: number): Promise<void>;
  close(): Promise<void>;
  kill(): Promise<void>;
};

const PROGRAM = fileURLToPath(new URL('verifier-program.ts', import.meta.url));

export function startVerifierProcess(
  options: Omit<VerifierOptions, 'clock' | 'log' | 'fetch' | 'proofs'> & { instances?: number },
  environment: Readonly<Record<string, string>> = {},
): VerifierProcess {
  const settings = JSON.stringify({ instances: 1, ...options });
  const child = fork(PROGRAM, [settings], {
    env: cleanEnvironment(environment),
    execArgv: [],
    stdio: 'inherit',
  });
  const waiting = new Map<number, (answer: { result?: unknown; error?: string }) => void>();
  let orders = 0;
  child.on('message', (answer: { id: number; result?: unknown; error?: string }) => {
    waiting.get(answer.id)?.(answer);
    waiting.delete(answer.id);
  });
  child.on('exit', () => {
    for (const answer of waiting.values()) answer({ error: 'the process of the verifiers has ended' });
  });

  async function tell(order: Order): Promise<unknown> {
    orders += 1;
    const id = orders;
    const { result, error } = await new Promise<{ result?: unknown; error?: string }>((resolve) => {
      waiting.set(id, resolve);
      child.send({ id, order });
    });
    if (error !== undefined) throw new Error(error);
    return result;
  }

  return {
    child,
    resource: options.resource,
    ready: async () => void (await tell({ do: 'get ready' })),
    decide: async (asked) => (await tell({ do: 'decide', asked })) as Outcome[][],
    status: async () => (await tell({ do: 'tell' })) as ReturnType<Verifier['status']>[],
    evidence: async () => (await tell({ do: 'give evidence' })) as string[][],
    skip: async (milliseconds) => void (await tell({ do: 'skip', milliseconds })),
    setClock: async (milliseconds) => void (await tell({ do: 'set clock', milliseconds })),
    async close() {
      await tell({ do: 'close' });
      child.disconnect();
      await once(child, 'exit');
    },
    async kill() {
      if (child.exitCode !== null || child.signalCode !== null) return;
      child.kill('SIGKILL');
      await once(child, 'exit');
    },
  };
}
