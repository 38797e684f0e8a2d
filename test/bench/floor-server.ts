/**
 * The floor: what minting costs at the least with this stack. Express, its form parser, the two signatures that
 * have to be checked, the one that has to be made, and one insert for as many tokens as are waiting. It checks
 * nothing else, so it must never be used for anything but to be compared with.
 */
import { createPublicKey, generateKeyPairSync, type KeyObject, verify, type webcrypto } from 'node:crypto';
import express from 'express';
import pg from 'pg';
import { createLanes } from '../../src/bounds/lanes.ts';
import { encodeHeader, signCompactJws } from '../../src/jws/compact-jws.ts';
import { thumbprintOf } from '../../src/jws/jwk.ts';
import { systemClock } from '../../src/time/clock.ts';
import { newIdentifier } from '../../src/time/identifier.ts';
import { type ServerArguments, TOKEN_SECONDS } from './bench-client.ts';

const { port, databaseUrl, clients } = JSON.parse(process.argv[2] ?? '') as ServerArguments;
const issuer = `http://127.0.0.1:${port}`;

type Jwt = {
  header: { jwk: webcrypto.JsonWebKey };
  claims: { iss: string };
  input: Buffer;
  signature: Buffer;
};
type Row = {
  jti: string;
  session_id: string;
  client_id: string;
  resource: string;
  scope: string;
  jkt: string;
};

// As many lanes, connections and tokens at once as mayfly has.
const LANES = 2;
const MAX_BATCH = 64;

const pool = new pg.Pool({ connectionString: databaseUrl, ssl: false, max: LANES });
await pool.query(`create table tokens (
  jti text not null primary key, session_id text not null, client_id text not null, resource text not null,
  scope text not null, jkt text not null, issued_at timestamptz not null, expires_at timestamptz not null)`);

const INSERT = `
  insert into tokens (jti, session_id, client_id, resource, scope, jkt, issued_at, expires_at)
  select jti, session_id, client_id, resource, scope, jkt, now(), now() + interval '${TOKEN_SECONDS} seconds'
    from json_to_recordset($1::json) as r (
      jti text, session_id text, client_id text, resource text, scope text, jkt text)`;

const lanes = createLanes<Row, void>({
  lanes: LANES,
  maxBatch: MAX_BATCH,
  maxWaiting: 4_096,
  async run(rows) {
    await pool.query({ name: 'insert', text: INSERT, values: [JSON.stringify(rows)] });
    return rows.map(() => ({ status: 'fulfilled', value: undefined }));
  },
});

const { privateKey } = generateKeyPairSync('ed25519');
const tokenHeader = encodeHeader({ alg: 'EdDSA', typ: 'at+jwt', kid: 'floor' });
const clientKeys = new Map(clients.map(({ clientId, publicJwk }) => [clientId, importKey(publicJwk)]));
const sessionKeys = new Map<string, { key: KeyObject; jkt: string; sessionId: string }>();

const app = express();
app.disable('x-powered-by');
app.disable('etag');
app.post('/token', express.urlencoded({ extended: false }), async (request, response) => {
  const assertion = readJwt(request.body.client_assertion);
  const proof = readJwt(request.headers.dpop as string);
  const clientKey = clientKeys.get(assertion.claims.iss);
  const session = sessionOf(proof.header.jwk);
  if (clientKey === undefined || !verifies(assertion, clientKey) || !verifies(proof, session.key)) {
    response.status(401).json({ error: 'invalid_client' });
    return;
  }
  const row: Row = {
    jti: newIdentifier('tok', systemClock),
    session_id: session.sessionId,
    client_id: assertion.claims.iss,
    resource: request.body.resource,
    scope: request.body.scope,
    jkt: session.jkt,
  };
  await lanes.submit(row);
  response.set('Cache-Control', 'no-store').json({
    access_token: signToken(row),
    token_type: 'DPoP',
    expires_in: TOKEN_SECONDS,
    scope: row.scope,
    session_id: row.session_id,
  });
});
app.listen(port, '127.0.0.1');
process.once('SIGTERM', () => process.exit());

function readJwt(text: string): Jwt {
  const [header = '', claims = '', signature = ''] = text.split('.');
  return {
    header: JSON.parse(Buffer.from(header, 'base64url').toString()),
    claims: JSON.parse(Buffer.from(claims, 'base64url').toString()),
    input: Buffer.from(`${header}.${claims}`, 'latin1'),
    signature: Buffer.from(signature, 'base64url'),
  };
}

function verifies({ input, signature }: Jwt, key: KeyObject): boolean {
  return verify('sha256', input, { key, dsaEncoding: 'ieee-p1363' }, signature);
}

function sessionOf(jwk: webcrypto.JsonWebKey) {
  const name = String(jwk.x);
  const known = sessionKeys.get(name);
  if (known !== undefined) return known;
  const session = {
    key: importKey(jwk),
    jkt: thumbprintOf({ kty: 'EC', crv: 'P-256', x: name, y: String(jwk.y) }),
    sessionId: newIdentifier('ses', systemClock),
  };
  sessionKeys.set(name, session);
  return session;
}

function importKey(jwk: webcrypto.JsonWebKey): KeyObject {
  return createPublicKey({ key: jwk, format: 'jwk' });
}

function signToken({ jti, session_id, client_id, resource, scope, jkt }: Row): string {
  const iat = Math.floor(systemClock.milliseconds() / 1_000);
  return signCompactJws(
    tokenHeader,
    {
      iss: issuer,
      sub: client_id,
      client_id,
      aud: resource,
      iat,
      exp: iat + TOKEN_SECONDS,
      jti,
      scope,
      cnf: { jkt },
      sid: session_id,
    },
    privateKey,
  );
}
