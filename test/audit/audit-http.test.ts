/** The log as anybody watches it over HTTP, and as auditors read it. */
import assert from 'node:assert/strict';
import { test } from 'node:test';
import { openCheckpoint } from '../../src/audit/checkpoint.ts';
import { parseEntryBundle } from '../../src/audit/entry-bundle.ts';
import { parseLogProof } from '../../src/audit/log-proof.ts';
import { verifyConsistency } from '../../src/audit/merkle-proof.ts';
import { leafHash } from '../../src/audit/merkle-tree.ts';
import { parseHash } from '../../src/audit/note-text.ts';
import { formatTilePath, rootOfTiles, tilesOfGrowth } from '../../src/audit/tiles.ts';
import { parseVerifierKey, type VerifierKey } from '../../src/audit/verifier-key.ts';
import { canonicalJson } from '../../src/json/canonical-json.ts';
import { newSessionKey } from '../test-agent.ts';
import { createTestWorld } from '../test-broker.ts';
import { asSuperuser } from '../test-cluster.ts';
import { verifyLogProof } from './verify-log-proof.ts';

const ORIGIN = 'broker.example.com/v1/audit';
const READ = 'mayfly:read:audit';

const world = await createTestWorld();
const broker = await world.startBroker();
const auditor = world.operator(broker, 'olivia');
const agent = world.agent(broker, 'report-writer');

async function fetchText(path: string): Promise<string> {
  const response = await fetch(`${broker.url}/v1/audit/${path}`);
  assert.equal(response.status, 200, path);
  return response.text();
}

async function fetchBytes(path: string): Promise<Buffer> {
  const response = await fetch(`${broker.url}/v1/audit/${path}`);
  assert.equal(response.status, 200, path);
  return Buffer.from(await response.arrayBuffer());
}

async function publishedKeys(): Promise<VerifierKey[]> {
  const { keys, origin } = JSON.parse(await fetchText('keys'));
  assert.equal(origin, ORIGIN);
  return keys.map(({ vkey }: { vkey: string }) => parseVerifierKey(vkey));
}

async function newestCheckpoint() {
  const opened = openCheckpoint(await fetchText('checkpoint'), {
    origin: ORIGIN,
    keys: await publishedKeys(),
  });
  assert.ok(opened.outcome === 'verified', opened.outcome);
  return opened.checkpoint;
}

/** The entry of a token that is minted now, once the log has a signed head over it. */
async function mintedAndLogged() {
  const { body } = await agent.token(newSessionKey());
  const jti = JSON.parse(Buffer.from(body.access_token.split('.')[1], 'base64url').toString()).jti;
  const id = `aud_${jti.slice(4)}`;
  for (;;) {
    const answer = await auditor.get(`/v1/audit/entries/${id}`, READ);
    assert.equal(answer.status, 200, answer.text);
    if (answer.body.proof !== null) return { jti, id, found: answer.body };
  }
}

test('an entry is proved to be in the log by nothing but the published key', async () => {
  const { id, jti, found } = await mintedAndLogged();
  assert.deepEqual([found.entry.id, found.entry.token_id, found.entry.action], [id, jti, 'token.minted']);
  const leaf = leafHash(Buffer.from(canonicalJson(found.entry)));
  assert.deepEqual(leaf, parseHash(found.leaf_hash));
  const trust = { leaf, origin: ORIGIN, keys: await publishedKeys() };
  const proof = parseLogProof(found.proof);
  assert.equal(verifyLogProof(proof, trust).outcome, 'verified');
  const forged = leafHash(Buffer.from(canonicalJson({ ...found.entry, actor: 'somebody-else' })));
  assert.equal(verifyLogProof(proof, { ...trust, leaf: forged }).outcome, 'not-included');
});

test('tiles alone lead to the root that was signed', async () => {
  const { size, root } = await newestCheckpoint();
  const tiles = new Map<string, Buffer>();
  for (const tile of tilesOfGrowth({ from: 0, to: size })) {
    const path = formatTilePath(tile);
    tiles.set(path, await fetchBytes(path));
  }
  const read = (tile: Parameters<typeof formatTilePath>[0]) => tiles.get(formatTilePath(tile)) ?? Buffer.of();
  assert.deepEqual(rootOfTiles({ size, read }), root);
});

test('a later head continues an earlier one, and the proof of it is served', async () => {
  const first = await newestCheckpoint();
  await mintedAndLogged();
  const second = await newestCheckpoint();
  assert.ok(second.size > first.size);
  const told = JSON.parse(await fetchText(`consistency?from=${first.size}&to=${second.size}`));
  const cachingOf = async (query: string) =>
    (await fetch(`${broker.url}/v1/audit/consistency?from=${first.size}${query}`)).headers.get(
      'cache-control',
    );
  assert.equal(await cachingOf(`&to=${second.size}`), 'public, max-age=31536000, immutable');
  assert.equal(await cachingOf(''), 'no-store');
  const proof = told.proof.map(parseHash);
  const claim = {
    first: first.size,
    second: second.size,
    firstRoot: first.root,
    secondRoot: second.root,
    proof,
  };
  assert.ok(verifyConsistency(claim));
});

test('what entries say is for those who may read the record', async () => {
  const { size } = await newestCheckpoint();
  const path = `/v1/audit/tile/entries/000${size < 256 ? `.p/${size}` : ''}`;
  assert.equal((await fetch(`${broker.url}${path}`)).status, 401);
  assert.equal((await fetch(`${broker.url}/v1/audit/entries`)).status, 401);
  const token = await auditor.token(READ);
  const response = await fetch(`${broker.url}${path}`, {
    headers: { Authorization: `DPoP ${token}`, DPoP: auditor.proof({ method: 'GET', path, token }) },
  });
  assert.equal(response.status, 200);
  const entries = parseEntryBundle(Buffer.from(await response.arrayBuffer()), Math.min(size, 256));
  const hashes = await fetchBytes(path.slice('/v1/audit/'.length).replace('tile/entries', 'tile/0'));
  assert.deepEqual(Buffer.concat(entries.map(leafHash)), hashes);
});

test('a bundle has a JSON form, with a place for what has no text any more', async () => {
  const { size } = await newestCheckpoint();
  const width = Math.min(size, 256);
  const path = `/v1/audit/tile/entries/000${size < 256 ? `.p/${size}` : ''}`;
  const token = await auditor.token(READ);
  const ask = (accept: string) =>
    fetch(`${broker.url}${path}`, {
      headers: {
        Accept: accept,
        Authorization: `DPoP ${token}`,
        DPoP: auditor.proof({ method: 'GET', path, token }),
      },
    });
  const read = async () => JSON.parse(await (await ask('text/html, application/json;q=0.9')).text()).data;
  const whole = await read();
  assert.deepEqual(
    whole.map(({ index }: { index: number }) => index),
    Array.from({ length: width }, (_, index) => index),
  );
  for (const { leaf_hash: hash, document } of whole)
    assert.deepEqual(leafHash(Buffer.from(document)), parseHash(hash));
  for (const accept of ['*/*', 'application/*', 'application/jsonl'])
    assert.equal((await ask(accept)).headers.get('content-type'), 'application/octet-stream', accept);
  const { id } = JSON.parse(whole[1].document);
  await asSuperuser(
    world.database.socketDirectory,
    async (client) => {
      await client.query('set session_replication_role = replica');
      await client.query('delete from audit_entries where id = $1', [id]);
    },
    world.database.name,
  );
  assert.equal((await ask('*/*')).status, 404);
  assert.deepEqual(await read(), whole.with(1, { ...whole[1], document: null }));
});

test('entries are listed newest first, by what they are about, page by page', async () => {
  const { found } = await mintedAndLogged();
  const session = found.entry.session_id;
  const listed = await auditor.get(`/v1/audit/entries?session=${session}`, READ);
  assert.deepEqual(
    listed.body.data.map(({ id }: { id: string }) => id),
    [found.entry.id],
  );
  const pages: number[] = [];
  let query = '?action=token.minted&limit=2';
  for (;;) {
    const { body } = await auditor.get(`/v1/audit/entries${query}`, READ);
    assert.ok(body.data.every(({ action }: { action: string }) => action === 'token.minted'));
    pages.push(...body.data.map(({ index }: { index: number }) => index));
    if (body.next_cursor === null) break;
    query = `?action=token.minted&limit=2&cursor=${body.next_cursor}`;
  }
  assert.deepEqual(
    pages,
    [...new Set(pages)].toSorted((a, b) => b - a),
  );
  const agentsOwn = await auditor.get(`/v1/audit/entries?agent=${found.entry.details.agent}&limit=1`, READ);
  assert.equal(agentsOwn.body.data[0].id, found.entry.id);
  const none = await auditor.get(`/v1/audit/entries?since=2999-01-01T00:00:00Z`, READ);
  assert.deepEqual(none.body, { data: [], next_cursor: null });
});

test('a time is what it says, to the microsecond, and no day that does not exist', async () => {
  const { body } = await auditor.get('/v1/audit/entries?action=token.minted&limit=1', READ);
  const [{ id, at }] = body.data;
  const idsWith = async (query: string): Promise<string[]> => {
    const answer = await auditor.get(`/v1/audit/entries?action=token.minted&limit=200&${query}`, READ);
    return answer.body.data.map((entry: { id: string }) => entry.id);
  };
  const after = `${at.slice(0, -7)}${String(Math.min(999_999, Number(at.slice(-7, -1)) + 1)).padStart(6, '0')}Z`;
  assert.ok((await idsWith(`since=${at}`)).includes(id));
  assert.equal((await idsWith(`until=${at}`)).includes(id), false);
  assert.equal((await idsWith(`since=${after}`)).includes(id), false);
  assert.ok((await idsWith(`until=${after}`)).includes(id));
  for (const none of ['2026-02-30T00:00:00Z', '2026-04-31T10:00:00.5Z', '2026-01-01T24:00:00Z']) {
    assert.equal((await auditor.get(`/v1/audit/entries?since=${none}`, READ)).status, 400, none);
  }
});

test('an action that no entry has is refused with the one that was meant', async () => {
  for (const [action, hint] of [
    ['token.mintd', /^Did you mean token\.minted\? The actions of entries are token\.minted, /],
    ['kill_switch.engage', /^Did you mean kill_switch\.engaged\? /],
    ['__proto__', /^The actions of entries are /],
  ] as const) {
    const { status, body } = await auditor.get(`/v1/audit/entries?action=${action}`, READ);
    assert.equal(status, 400, action);
    assert.match(body.hint, hint);
  }
});

test('what does not exist, or is not covered by a signed head yet, is not found', async () => {
  const { size } = await newestCheckpoint();
  for (const path of [
    'tile/0/900',
    'tile/0/900.p/3',
    'tile/0/0',
    'tile/0/x000/000',
    'tile/00/000',
    'tile/64/000',
    'tile/0/000.p/0',
    'tile/0/000.p/256',
    'tile/0',
    'tile/..%2fentries/000',
    'tile/entries/',
  ]) {
    const response = await fetch(`${broker.url}/v1/audit/${path}`);
    assert.ok([400, 401, 404].includes(response.status), `${path} ${response.status}`);
  }
  const missing = await auditor.get('/v1/audit/entries/aud_01m83nv00h8jepy25xa5p45a5c', READ);
  assert.deepEqual([missing.status, missing.body.code], [404, 'not_found']);
  const beyond = await fetch(`${broker.url}/v1/audit/consistency?from=1&to=${size + 100_000}`);
  assert.equal(beyond.status, 400);
});
