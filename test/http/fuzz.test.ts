import assert from 'node:assert/strict';
import { describe, test } from 'node:test';
import { fc } from '../properties.ts';
import { soakFactor } from '../soak.ts';
import { assertOracle, FORM, JSON_TYPE, openClient, request, startEdge } from './wire.ts';

const SEEDS = [
  request('POST /oauth/token', {
    headers: [FORM, ['DPoP', 'a.b.c'], ['Authorization', 'DPoP x'], ['Connection', 'close']],
    body: 'grant_type=client_credentials&scope=db%3Aread%3Acustomers&resource=https%3A%2F%2Fa.test',
  }),
  request('POST /v1/things/a', {
    headers: [JSON_TYPE, ['Connection', 'close']],
    body: '{"a":[1,{"b":"\\u00e9"}],"c":null}',
  }),
  request('POST /oauth/token', {
    headers: [FORM, ['Transfer-Encoding', 'chunked'], ['Connection', 'close']],
    body: '5\r\nscope\r\n2;x=y\r\n=a\r\n0\r\nX-Trailer: 1\r\n\r\n',
  }),
  request('GET /metadata?a=b%20c', {
    headers: [
      ['X-Forwarded-For', '1.1.1.1'],
      ['Connection', 'close'],
    ],
  }),
];

const PIECES = [
  '\r\n',
  '\n',
  '\r',
  '\0',
  ' ',
  ':',
  '%',
  '%00',
  '%ED%A0%80',
  'Host: b\r\n',
  'DPoP: x\r\n',
  'Content-Length: 5\r\n',
];

type Change = {
  kind: 'replace' | 'insert' | 'remove' | 'double';
  place: number;
  byte: number;
  piece: string;
};

const change: fc.Arbitrary<Change> = fc.record({
  kind: fc.constantFrom('replace', 'insert', 'remove', 'double'),
  place: fc.nat(),
  byte: fc.nat(255),
  piece: fc.constantFrom(...PIECES),
});

function changed(seed: Buffer, changes: readonly Change[]): Buffer {
  return changes.reduce((bytes, { kind, place, byte, piece }) => {
    const at = place % (bytes.length + 1);
    const before = bytes.subarray(0, at);
    if (kind === 'replace') return Buffer.concat([before, Buffer.from([byte]), bytes.subarray(at + 1)]);
    if (kind === 'insert') return Buffer.concat([before, Buffer.from(piece), bytes.subarray(at)]);
    if (kind === 'remove') return Buffer.concat([before, bytes.subarray(at + 1 + (byte % 8))]);
    return Buffer.concat([before, bytes.subarray(Math.max(0, at - byte))]);
  }, seed);
}

describe('Whatever arrives', () => {
  test('is answered with success or a refusal in JSON, or not at all; never with a 500, and it harms nobody', async (context) => {
    const edge = await startEdge(context);
    await fc.assert(
      fc.asyncProperty(
        fc.constantFrom(...SEEDS),
        fc.array(change, { maxLength: 4 }),
        async (seed, changes) => {
          const client = openClient(edge.port);
          client.write(changed(seed, changes));
          client.socket.end();
          await client.closed();
          for (const status of statusesOf(client.received())) {
            assert.ok([100, 200, 400, 404, 405, 413, 415, 431].includes(status), `${status}`);
          }
        },
      ),
      { numRuns: 1_500 * soakFactor() },
    );
    await assertOracle(edge, null);
  });
});

function statusesOf(received: string): number[] {
  return [...received.matchAll(/HTTP\/1\.1 (\d{3}) /g)].map(([, status]) => Number(status));
}
