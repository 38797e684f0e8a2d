/** A witness on a real socket, with the rules of witness.ts and its memory in memory. */
import { once } from 'node:events';
import { createServer } from 'node:http';
import type { AddressInfo } from 'node:net';
import type { SigningKey } from '../../src/audit/sign-note.ts';
import type { TreeHead } from '../../src/audit/trusted-log.ts';
import type { VerifierKey } from '../../src/audit/verifier-key.ts';
import { decideAddCheckpoint, formatCosignature, TREE_SIZE_TYPE } from '../../src/audit/witness.ts';
import { newSigningKey } from './sample-log.ts';

export type TestWitness = {
  url: string;
  key: SigningKey['key'];
  /** The setting that names it. */
  setting: string;
  latest(): TreeHead | null;
  /** What it is to believe that it saw last. */
  remember(latest: TreeHead | null): void;
  /** Statuses of its answers, in order. */
  answers: number[];
  /** Answers everything with this, or with what the rules say when null. */
  insist(status: number | 'silence' | 'nonsense' | null): void;
  close(): Promise<void>;
};

export async function startTestWitness(
  name: string,
  { origin, logKeys }: { origin: string; logKeys: () => readonly VerifierKey[] },
): Promise<TestWitness> {
  const signer = newSigningKey(name, 'witness');
  let latest: TreeHead | null = null;
  let insisted: number | 'silence' | 'nonsense' | null = null;
  const answers: number[] = [];
  const server = createServer(async (request, response) => {
    const chunks: Buffer[] = [];
    for await (const chunk of request) chunks.push(chunk);
    if (insisted === 'silence') return;
    const decision = decideAddCheckpoint(Buffer.concat(chunks), (asked) =>
      asked === origin && logKeys().length > 0 ? { keys: logKeys(), latest } : null,
    );
    if (insisted === 'nonsense') {
      answers.push(200);
      const other = newSigningKey(name, 'witness');
      const note = decision.status === 200 ? decision.text : 'nothing\n';
      return response.writeHead(200).end(formatCosignature(note, { signer: other, timestampSeconds: 1 }));
    }
    const status = insisted ?? decision.status;
    answers.push(status);
    if (status !== decision.status) return response.writeHead(status).end();
    if (decision.status === 409) {
      return response.writeHead(409, { 'Content-Type': TREE_SIZE_TYPE }).end(`${decision.latestSize}\n`);
    }
    if (decision.status !== 200) return response.writeHead(decision.status).end(decision.why);
    latest = { size: decision.checkpoint.size, root: decision.checkpoint.root };
    const timestampSeconds = Math.floor(Date.now() / 1_000);
    return response.writeHead(200).end(formatCosignature(decision.text, { signer, timestampSeconds }));
  });
  server.listen(0, '127.0.0.1');
  await once(server, 'listening');
  const url = `http://127.0.0.1:${(server.address() as AddressInfo).port}`;
  return {
    url,
    key: signer.key,
    setting: `${url} ${signer.key.vkey}`,
    latest: () => latest,
    remember(tree) {
      latest = tree;
    },
    answers,
    insist(status) {
      insisted = status;
    },
    async close() {
      server.closeAllConnections();
      server.close();
      await once(server, 'close');
    },
  };
}
