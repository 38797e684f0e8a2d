/** What goes to a witness and what comes back, byte by byte: nothing of ours stands on the other side. */
import assert from 'node:assert/strict';
import { once } from 'node:events';
import { createServer } from 'node:http';
import type { AddressInfo } from 'node:net';
import { after, test } from 'node:test';
import { formatHash } from '../../src/audit/note-text.ts';
import { cosignNote } from '../../src/audit/sign-note.ts';
import { formatSignatureLine, parseSignedNote } from '../../src/audit/signed-note.ts';
import { submitCheckpoint } from '../../src/audit/submit-checkpoint.ts';
import { createSampleLog, newSigningKey, sampleEntries } from './sample-log.ts';

type Answer = { status: number; type?: string; body?: string };

const TLOG_SIZE = 'text/x.tlog.size';
const witness = newSigningKey('witness.example.com/w1', 'witness');
const other = newSigningKey('other.example.com/w2', 'witness');
const log = createSampleLog(sampleEntries(30), newSigningKey());
const asked: { method: string | undefined; url: string | undefined; body: string }[] = [];
let answers: Answer[] = [];
const server = createServer(async (request, response) => {
  const chunks: Buffer[] = [];
  for await (const chunk of request) chunks.push(chunk);
  asked.push({ method: request.method, url: request.url, body: Buffer.concat(chunks).toString() });
  const { status, type = 'text/plain; charset=utf-8', body = '' } = answers.shift() ?? { status: 500 };
  response.writeHead(status, { 'Content-Type': type }).end(body);
});
server.listen(0, '127.0.0.1');
await once(server, 'listening');
after(() => server.close());
const url = `http://127.0.0.1:${(server.address() as AddressInfo).port}/prefix`;

function cosigned(size: number, signer = witness): string {
  const { text } = parseSignedNote(log.checkpoint(size));
  return formatSignatureLine(cosignNote(text, { signer, timestampSeconds: 1_795_000_000 }));
}

async function submit(oldSize: number, size: number, ...given: Answer[]) {
  answers = given;
  asked.length = 0;
  return submitCheckpoint({
    url,
    key: witness.key,
    oldSize,
    newest: async () => ({ size, note: log.checkpoint(size) }),
    tree: { consistency: async ({ first, second }) => log.consistency(first, second) },
    signal: new AbortController().signal,
  });
}

test('WIT-01: the request is the old size, the proof, an empty line and the signed note, and nothing else', async () => {
  const proof = log.consistency(12, 30).map((hash) => `${formatHash(hash)}\n`);
  const answer = { status: 200, body: cosigned(30) };
  assert.deepEqual(await submit(12, 30, answer), { outcome: 'cosigned', size: 30, line: cosigned(30) });
  assert.deepEqual(asked, [
    {
      method: 'POST',
      url: '/prefix/add-checkpoint',
      body: `old 12\n${proof.join('')}\n${log.checkpoint(30)}`,
    },
  ]);
  await submit(0, 30, answer);
  assert.equal(asked[0]?.body, `old 0\n\n${log.checkpoint(30)}`);
  await submit(30, 30, answer);
  assert.equal(asked[0]?.body, `old 30\n\n${log.checkpoint(30)}`);
});

test('WIT-02: of several signatures the one of the key that is known counts, wherever it stands', async () => {
  const answer = { status: 200, body: `${cosigned(30, other)}${cosigned(30)}` };
  assert.deepEqual(await submit(12, 30, answer), { outcome: 'cosigned', size: 30, line: cosigned(30) });
  const foreign = await submit(12, 30, { status: 200, body: cosigned(30, other) });
  assert.equal(foreign.outcome, 'failed');
  assert.equal((await submit(12, 30, { status: 200, body: cosigned(29) })).outcome, 'failed');
});

test('WIT-02: a 409 says where the witness is, and the proof is made from there', async () => {
  const stale = { status: 409, type: TLOG_SIZE, body: '20\n' };
  const result = await submit(12, 30, stale, { status: 200, body: cosigned(30) });
  assert.equal(result.outcome, 'cosigned');
  assert.match(asked[1]?.body ?? '', /^old 20\n/);
});

test('WIT-02: a witness that cosigned more than was ever signed here saw another log', async () => {
  const { outcome } = await submit(12, 30, { status: 409, type: TLOG_SIZE, body: '31\n' });
  assert.equal(outcome, 'forked');
  assert.equal((await submit(0, 0, { status: 409, type: TLOG_SIZE, body: '31\n' })).outcome, 'forked');
});

for (const [what, answer] of [
  ['409 without a size (version 1.0.0)', { status: 409, body: 'root mismatch\n' }],
  ['409 with the same size', { status: 409, type: TLOG_SIZE, body: '30\n' }],
  ['422', { status: 422 }],
] as const) {
  test(`WIT-02: ${what} for a checkpoint of the size that it cosigned last: it saw another root`, async () => {
    assert.equal((await submit(30, 30, answer)).outcome, 'forked');
    const stale = { status: 409, type: TLOG_SIZE, body: '30\n' };
    assert.equal(
      (await submit(12, 30, stale, answer)).outcome,
      'forked',
      'also when it had to say its size first',
    );
  });
}

test('WIT-02: a 422 for a proof that leads from what it cosigned last is another history', async () => {
  assert.equal((await submit(12, 30, { status: 422 })).outcome, 'forked');
});

test('what says nothing of the log raises no alarm', async () => {
  for (const answer of [
    { status: 409, body: '20\n' },
    { status: 409, type: TLOG_SIZE, body: '20' },
    { status: 409, type: TLOG_SIZE, body: '020\n' },
    { status: 400 },
    { status: 403 },
    { status: 429 },
    { status: 503 },
    { status: 302 },
    { status: 200, body: '' },
    { status: 200, body: 'x'.repeat(9_000) },
  ]) {
    assert.equal((await submit(12, 30, answer)).outcome, 'failed', JSON.stringify(answer).slice(0, 80));
  }
  assert.equal((await submit(12, 30, { status: 404 })).outcome, 'unknown');
  assert.equal((await submit(0, 0, { status: 422 })).outcome, 'failed', 'not everybody takes an empty log');
});

test('a witness that names another size each time is asked three times', async () => {
  const stale = ['1\n', '2\n', '3\n', '4\n'].map((body) => ({ status: 409, type: TLOG_SIZE, body }));
  assert.equal((await submit(12, 30, ...stale)).outcome, 'failed');
  assert.equal(asked.length, 3);
});
