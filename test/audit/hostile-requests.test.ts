/** What a stranger sends does not get into the record, and what gets into it stays one line of it. */
import assert from 'node:assert/strict';
import { connect } from 'node:net';
import { test } from 'node:test';
import { createAuditStore } from '../../src/audit/audit-store.ts';
import { leafOfDocument } from '../../src/audit/entry-document.ts';
import { faultOfDetails } from '../../src/audit/entry-schemas.ts';
import { createTestWorld } from '../test-broker.ts';

const world = await createTestWorld();
const broker = await world.startBroker();
const CANARY = 'canary7f3a9c';
const MAX_LINE_BYTES = 1_024;

/** Bytes as they are, past what fetch would let through. */
function sendRaw(text: string | Buffer): Promise<void> {
  const { hostname, port } = new URL(broker.url);
  return new Promise((resolve) => {
    const socket = connect({ host: hostname, port: Number(port) }, () => socket.end(text));
    socket.on('error', () => resolve());
    socket.on('close', () => resolve());
    socket.resume();
  });
}

test('AUD-06: malformed and binary bodies, injected headers and huge fields leave small lines, with nothing of theirs in them', async () => {
  const form = 'application/x-www-form-urlencoded';
  const bodies: readonly [string, string, string | Uint8Array][] = [
    ['/oauth/token', form, Buffer.from([0xff, 0xfe, 0, 1, 2, ...Buffer.from(CANARY)])],
    ['/oauth/token', form, `grant_type=${CANARY}&client_id=${CANARY.repeat(500)}`],
    ['/oauth/token', form, `client_assertion=${CANARY}.${CANARY}.${CANARY}&grant_type=client_credentials`],
    ['/oauth/token', 'application/json', `{"client_id":"${CANARY}`],
    ['/oauth/introspect', form, `token=${CANARY}%0d%0aX-Injected:%20yes`],
    ['/oauth/revoke', form, `token=${CANARY}&token=${CANARY}`],
    ['/v1/kill-switch', 'application/json', `{"target":{"kind":"all"},"reason":"${CANARY}"}`],
    ['/v1/proofs/spend', 'application/json', `["${CANARY}"`],
  ];
  for (const [path, type, body] of bodies) {
    const headers = { 'Content-Type': type, 'Request-Id': `<${CANARY}>`, 'User-Agent': CANARY, DPoP: CANARY };
    const { status } = await fetch(`${broker.url}${path}`, {
      method: 'POST',
      body: Buffer.from(body),
      headers,
    });
    assert.ok(status >= 400 && status < 500, `${path}: ${status}`);
  }
  const start = 'POST /oauth/token HTTP/1.1\r\nHost: broker.example.com\r\n';
  await sendRaw(`${start}X-Name: a\r\n b${CANARY}\r\nContent-Length: 0\r\n\r\n`);
  await sendRaw(`${start}X-Name: a\rX-${CANARY}: b\r\nContent-Length: 0\r\n\r\n`);
  await sendRaw(`GET /v1/${CANARY}\0 HTTP/1.1\r\nHost: x\r\n\r\n`);
  await sendRaw(
    Buffer.concat([Buffer.from(`${start}Content-Length: 4\r\n\r\n`), Buffer.from([0, 255, 13, 10])]),
  );

  const rows = await world.query<{ line: string; action: string; details: unknown }>(
    `select e::text as line, action, details from audit_entries e where outcome = 'refused'`,
  );
  assert.ok(rows.length >= 5, 'refusals are on record');
  for (const { line, action, details } of rows) {
    assert.ok(!line.includes(CANARY), line);
    assert.ok(Buffer.byteLength(line) <= MAX_LINE_BYTES, line);
    assert.equal(faultOfDetails(action, details), null);
  }
});

test('AUD-10: line feeds, escapes, bidi marks, HTML and JSON in a name stay in that name: one entry, one line, and what came in comes out', async () => {
  const hostile = [
    'a\r\nb',
    'a\u2028b\u2029c\u0085d',
    '\u001b[2Jgone',
    'a\u202eb\u2066c',
    '<script>alert(1)</script>',
    '","outcome":"allowed","x":"',
    '{"id":"aud_forged"}\n{"id":"aud_other"}',
    '\ufeff\u200b',
  ];
  const store = createAuditStore(world.owner);
  await store.append(
    hostile.map((actor, n) => ({
      id: `aud_hostile_${n}`,
      action: 'request.refused',
      outcome: 'refused',
      actor,
      details: { route: actor, source: '192.0.2.1' },
    })),
  );
  const auditor = world.operator(broker, 'olivia');
  for (const [n, actor] of hostile.entries()) {
    const { body, status } = await auditor.get(`/v1/audit/entries/aud_hostile_${n}`, 'mayfly:read:audit');
    assert.equal(status, 200);
    assert.deepEqual(
      [body.entry.actor, body.entry.outcome, body.entry.details.route],
      [actor, 'refused', actor],
    );
    const bytes = leafOfDocument(body.entry, { isParsed: true }).bytes;
    const isOneLine = bytes.every((byte) => byte >= 0x20 && byte !== 0x7f);
    assert.ok(isOneLine, JSON.stringify(actor));
    assert.deepEqual(JSON.parse(bytes.toString()), body.entry);
  }
});
