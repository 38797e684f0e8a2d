import assert from 'node:assert/strict';
import { once } from 'node:events';
import { mkdtempSync, rmSync, writeFileSync } from 'node:fs';
import { connect, createServer, type Socket } from 'node:net';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { type TestContext, test } from 'node:test';
import { TLSSocket } from 'node:tls';
import { ConnectionUrlError, parseConnectionUrl } from '../../src/config/connection-url.ts';
import { databaseUnavailable } from '../../src/database/database-error.ts';
import { createPool } from '../../src/database/pool.ts';
import { silentLog } from '../../src/errors/log.ts';
import { fc } from '../properties.ts';
import { makeCertificate, type TestCertificate } from '../test-certificate.ts';
import { createTestDatabase } from '../test-database.ts';

const STRICT_TLS = { rejectUnauthorized: true, minVersion: 'TLSv1.2' };

test('every part is read from the URL, decoded once', () => {
  assert.deepEqual(parseConnectionUrl('postgresql://us%2Fer:p%40ss%2525@db.example.com:6543/na%20me'), {
    host: 'db.example.com',
    port: 6543,
    user: 'us/er',
    password: 'p@ss%25',
    database: 'na me',
    ssl: STRICT_TLS,
  });
});

test('Unix sockets are read in both spellings, without TLS', () => {
  for (const url of ['postgres://me@%2Frun%2Fp%20g/db', 'postgres://me@/db?host=/run/p%20g']) {
    assert.deepEqual(parseConnectionUrl(url), {
      host: '/run/p g',
      port: 5432,
      user: 'me',
      password: undefined,
      database: 'db',
      ssl: false,
    });
  }
});

test('TLS is strict to other machines by default, whatever the name looks like', () => {
  for (const host of [
    'db',
    'db.example.com',
    '10.0.0.1',
    '[2001:db8::1]',
    'localhost.example.com',
    '128.0.0.1',
  ]) {
    assert.deepEqual(parseConnectionUrl(`postgres://me@${host}/db`).ssl, STRICT_TLS, host);
  }
  for (const host of ['localhost', '127.0.0.1', '127.8.9.1', '[::1]']) {
    assert.equal(parseConnectionUrl(`postgres://me@${host}/db`).ssl, false, host);
  }
  assert.equal(parseConnectionUrl('postgres://me@[::1]/db').host, '::1');
  assert.deepEqual(parseConnectionUrl('postgres://me@db/db?sslmode=require').ssl, STRICT_TLS);
  assert.deepEqual(parseConnectionUrl('postgres://me@localhost/db?sslmode=verify-full').ssl, STRICT_TLS);
});

test('what would weaken the connection or is not understood is refused, in a sentence that says what to do', () => {
  const refused: [string, RegExp][] = [
    ['postgres://me@db/x?sslmode=disable', /plaintext=accepted/],
    ['postgres://me@db/x?sslmode=disable&plaintext=yes', /plaintext=accepted/],
    ['postgres://me@db/x?sslmode=prefer', /verify-full/],
    ['postgres://me@db/x?sslmode=allow', /verify-full/],
    ['postgres://me@db/x?sslmode=no-verify', /verify-full/],
    ['postgres://me@localhost/x?sslmode=no-verify', /verify-full/],
    ['postgres://me@db/x?sslmode=verify-ca', /needs sslrootcert/],
    ['postgres://me@db/x?sslmode=verify-full&sslmode=disable', /repeated/],
    ['postgres://me@db/x?sslrootcert=/no/such/file', /sslrootcert cannot be read \(ENOENT\)/],
    ['postgres://me@db/x?ssl=0', /"ssl" is not known/],
    ['postgres://me@db/x?options=-csearch_path%3Devil', /"options" is not known/],
    ['postgres://me@db/x?uselibpqcompat=true', /not known/],
    ['postgres://me@db/x?target_session_attrs=any', /read-write/],
    ['postgres://me@db/x?target_session_attrs=standby', /read-write/],
    ['postgres://me@one,two/x', /one host only/],
    ['postgres://db/x', /has to look like/],
    ['postgres://me@db', /has to look like/],
    ['postgres://me@db/', /has to look like/],
    ['mysql://me@db/x', /has to look like/],
    ['/var/run/postgresql', /has to look like/],
    ['', /has to look like/],
    ['postgres://me@db/%zz', /"%25"/],
  ];
  for (const [url, problem] of refused) {
    assert.throws(() => parseConnectionUrl(url), { name: 'ConnectionUrlError', message: problem }, url);
  }
});

test('all mistakes are told at once', () => {
  assert.throws(
    () => parseConnectionUrl('postgres://me@a,b/x?sslmode=prefer&wat=1'),
    (error: ConnectionUrlError) => error.problems.length === 3,
  );
});

test('no error repeats the password', () => {
  fc.assert(
    fc.property(
      // Nothing that a stack could hold by chance, like a name of JavaScript's own.
      fc.stringMatching(/^[a-zA-Z0-9]{8,20}$/).map((text) => `Zq7${text}`),
      fc.constantFrom(
        '@db/x?sslmode=prefer',
        '@/x',
        ' @db/x',
        '@db/%zz',
        '@db:port/x',
        '@db/x?sslrootcert=/no',
      ),
      (password, rest) => {
        try {
          parseConnectionUrl(`postgres://me:${password}${rest}`);
        } catch (error) {
          assert.ok(error instanceof ConnectionUrlError);
          assert.equal(`${error.stack}${JSON.stringify(error)}`.includes(password), false);
        }
      },
    ),
  );
});

test('nothing but a target or a ConnectionUrlError comes out, whatever goes in', () => {
  fc.assert(
    fc.property(
      fc.oneof(
        fc.string(),
        fc.webUrl(),
        fc.string().map((s) => `postgres://${s}`),
      ),
      (text) => {
        try {
          const { host, user, database } = parseConnectionUrl(text);
          assert.ok(host !== '' && user !== '' && database !== '');
        } catch (error) {
          assert.ok(error instanceof ConnectionUrlError);
        }
      },
    ),
  );
});

test('with a certificate that fits, the database is reached over TLS', async (t) => {
  const made = makeCertificate(['127.0.0.1']);
  const { url } = await tlsFront(t, made);
  assert.equal(await answerOf(`${url}?sslmode=verify-full&sslrootcert=${fileOf(t, made.certificate)}`), 1);
});

test('a server with a certificate of an unknown authority gets no password', async (t) => {
  const { url, received } = await tlsFront(t, makeCertificate(['127.0.0.1']));
  for (const mode of ['verify-full', 'require']) {
    await assert.rejects(answerOf(`${url}?sslmode=${mode}`), (error: Error) => databaseUnavailable(error));
  }
  const other = fileOf(t, makeCertificate(['127.0.0.1']).certificate);
  await assert.rejects(answerOf(`${url}?sslmode=verify-ca&sslrootcert=${other}`));
  assert.equal(received(), '');
});

test('a certificate of another host is refused by verify-full and accepted by verify-ca', async (t) => {
  const made = makeCertificate(['other.example.com', '127.0.0.2']);
  const { url, received } = await tlsFront(t, made);
  const authority = fileOf(t, made.certificate);
  await assert.rejects(
    answerOf(`${url}?sslmode=verify-full&sslrootcert=${authority}`),
    (error: Error & { code?: string }) =>
      error.code === 'ERR_TLS_CERT_ALTNAME_INVALID' && databaseUnavailable(error),
  );
  assert.equal(received(), '');
  assert.equal(await answerOf(`${url}?sslmode=verify-ca&sslrootcert=${authority}`), 1);
});

test('an expired certificate is refused', async (t) => {
  const made = makeCertificate(['127.0.0.1'], Date.now() - 10 * 86_400_000);
  const { url } = await tlsFront(t, made);
  const wanted = `${url}?sslmode=verify-full&sslrootcert=${fileOf(t, made.certificate)}`;
  await assert.rejects(answerOf(wanted), { code: 'CERT_HAS_EXPIRED' });
});

async function answerOf(url: string): Promise<number | undefined> {
  const pool = createPool({ url, size: 1, applicationName: 'tls', log: silentLog });
  try {
    return (await pool.query<{ one: number }>('select 1 as one')).rows[0]?.one;
  } finally {
    await pool.end();
  }
}

function fileOf(t: TestContext, text: string): string {
  const directory = mkdtempSync(join(tmpdir(), 'mayfly-certificate-'));
  t.after(() => rmSync(directory, { recursive: true, force: true }));
  writeFileSync(join(directory, 'root.pem'), text);
  return join(directory, 'root.pem');
}

/** Speaks TLS the way Postgres does (after an SSLRequest) in front of the real database of this file. */
async function tlsFront(t: TestContext, { certificate, privateKey }: TestCertificate) {
  const { socketDirectory, name } = await createTestDatabase(t);
  let clear = '';
  const sockets = new Set<Socket>();
  const server = createServer((raw) => {
    sockets.add(raw);
    raw.on('error', () => {});
    raw.once('data', () => {
      raw.write('S');
      const inner = new TLSSocket(raw, { isServer: true, cert: certificate, key: privateKey });
      const behind = connect(join(socketDirectory, '.s.PGSQL.5432'));
      sockets.add(behind);
      for (const socket of [inner, behind]) socket.on('error', () => raw.destroy());
      inner.on('data', (bytes) => {
        clear += bytes.toString('latin1');
      });
      inner.pipe(behind).pipe(inner);
    });
  });
  server.listen(0, '127.0.0.1');
  await once(server, 'listening');
  t.after(() => {
    for (const socket of sockets) socket.destroy();
    server.close();
  });
  const address = server.address();
  assert.ok(address !== null && typeof address === 'object');
  return { url: `postgres://mayfly_app:secret@127.0.0.1:${address.port}/${name}`, received: () => clear };
}
