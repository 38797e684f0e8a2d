/** A witness in a process of its own: what it signs, what it never signs, and what it remembers after kill -9. */
import assert from 'node:assert/strict';
import { once } from 'node:events';
import { mkdirSync, mkdtempSync, readFileSync, rmdirSync, rmSync, statSync, writeFileSync } from 'node:fs';
import { connect } from 'node:net';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { after, afterEach, test } from 'node:test';
import { openNote, parseSignatureLines, parseSignedNote } from '../../src/audit/signed-note.ts';
import { parseVerifierKey } from '../../src/audit/verifier-key.ts';
import { formatAddCheckpoint, MAX_ADD_CHECKPOINT_BYTES } from '../../src/audit/witness.ts';
import { addSignatures } from '../audit/add-signatures.ts';
import { createSampleLog, newSigningKey, sampleEntries } from '../audit/sample-log.ts';
import { packHeader, packOf } from '../audit/sample-pack.ts';
import { until } from '../broker-process.ts';
import { textOf } from '../documents/documents.ts';
import { commandLine, startCommand } from './command-line.ts';

const NAME = 'witness.example.com/w1';
const signer = newSigningKey();
const log = createSampleLog(sampleEntries(60), signer);
const fork = createSampleLog([...sampleEntries(20), ...sampleEntries(120).slice(60)], signer);
const folder = mkdtempSync(join(tmpdir(), 'mayfly-witness-'));
const mayfly = commandLine({});
const running: Witness[] = [];
let witnesses = 0;

type Files = { key: string; state: string };
type Witness = {
  url: string;
  port: number;
  vkey: string;
  stop(signal?: NodeJS.Signals): Promise<number | null>;
};

afterEach(() => Promise.all(running.splice(0).map((witness) => witness.stop('SIGKILL'))));
after(() => rmSync(folder, { recursive: true, force: true }));

function newFiles(): Files {
  witnesses += 1;
  return { key: join(folder, `${witnesses}.key`), state: join(folder, `${witnesses}.json`) };
}

const lineOf = ({ key, state }: Files, more = `--name ${NAME}`) =>
  `audit witness --listen 127.0.0.1:0 --log ${signer.key.vkey} --key-file ${key} --state ${state} ${more}`.trim();

async function startWitness(files: Files, more?: string): Promise<Witness> {
  const child = startCommand(lineOf(files, more), {});
  const closed = once(child, 'close');
  let [vkey, said] = ['', ''];
  child.stdout.setEncoding('utf8').on('data', (part: string) => {
    vkey += part;
  });
  child.stderr.setEncoding('utf8').on('data', (part: string) => {
    said += part;
  });
  await until(() => said.includes('listens at') || child.exitCode !== null, 'a witness that listens', 60_000);
  const [url = assert.fail(said)] = /http:\S+(?=\.\n)/.exec(said) ?? [];
  const witness: Witness = {
    url,
    port: Number(new URL(url).port),
    vkey: vkey.trim(),
    async stop(signal = 'SIGTERM') {
      child.kill(signal);
      await closed;
      return child.exitCode;
    },
  };
  running.push(witness);
  return witness;
}

async function add({ url }: Witness, oldSize: number, size: number, of = log) {
  const proof = oldSize <= size ? of.consistency(oldSize, size) : [];
  return send(url, formatAddCheckpoint({ oldSize, proof, checkpoint: of.checkpoint(size) }));
}

async function send(url: string, body: string) {
  const answer = await fetch(`${url}/add-checkpoint`, { method: 'POST', body });
  return { status: answer.status, type: answer.headers.get('content-type'), text: await answer.text() };
}

const stateOf = ({ state }: Files) => JSON.parse(readFileSync(state, 'utf8')).logs[0];

test('witnesses are started here as the README starts one', () => {
  const [, told = ''] = /`mayfly (audit witness [^`]+)`/.exec(textOf('README.md')) ?? [];
  const ours = lineOf({ key: 'witness.key', state: 'witness.json' });
  assert.equal(
    told.replaceAll(/\s+/g, ' ').replace('<vkey>', signer.key.vkey),
    ours.replace('--listen 127.0.0.1:0 ', ''),
  );
});

test('a witness makes its key once, keeps it to itself, and cosigns what continues', async () => {
  const files = newFiles();
  const nameless = await mayfly(lineOf(files, ''));
  assert.deepEqual([nameless.code, nameless.stdout], [1, '']);
  const witness = await startWitness(files);
  const key = parseVerifierKey(witness.vkey);
  assert.deepEqual([key.name, key.kind, statSync(files.key).mode & 0o777], [NAME, 'witness', 0o600]);
  for (const [oldSize, size] of [
    [0, 20],
    [20, 20],
    [20, 45],
  ] as const) {
    const { status, text } = await add(witness, oldSize, size);
    assert.equal(status, 200, text);
    const cosigned = addSignatures(log.checkpoint(size), parseSignatureLines(text));
    const opened = openNote(parseSignedNote(cosigned), [key]);
    assert.equal(opened.outcome, 'verified');
  }
  assert.equal(await witness.stop(), 0);
  const again = await startWitness(files, '');
  assert.equal(again.vkey, witness.vkey);
  assert.equal((await mayfly(lineOf(files, '--name witness.example.com/w2'))).code, 1);
});

test('a pack is held against the witnesses that its reader asks for', async () => {
  const witness = await startWitness(newFiles());
  const { text } = await add(witness, 0, 60);
  const checkpoint = addSignatures(log.checkpoint(), parseSignatureLines(text));
  const [plain, cosigned] = [join(folder, 'plain'), join(folder, 'cosigned')];
  writeFileSync(plain, packOf(packHeader(log, { signer }), log.packEntries()).join(''));
  writeFileSync(cosigned, packOf(packHeader(log, { signer, checkpoint }), log.packEntries()).join(''));
  const policy = `--key ${signer.key.vkey} --trust ${join(folder, 'memory')} --witness ${witness.vkey}`;
  const lonely = await mayfly(`audit verify ${plain} ${policy}`);
  assert.deepEqual([lonely.code, lonely.stdout], [7, '']);
  assert.match(lonely.stderr, /too few witnesses/);
  const { stdout, stderr } = await mayfly(`audit verify ${cosigned} ${policy} -o json`);
  assert.deepEqual(JSON.parse(stdout || stderr).cosigned_by, [NAME]);
});

test('WIT-02: a fork, a rollback and the wrong size are refused, and 409 says which one it has', async () => {
  const files = newFiles();
  const witness = await startWitness(files);
  assert.equal((await add(witness, 0, 40)).status, 200);
  assert.equal((await add(witness, 40, 60, fork)).status, 422);
  assert.equal((await add(witness, 40, 40, fork)).status, 422);
  for (const [oldSize, size] of [
    [0, 60],
    [20, 60],
    [20, 30],
    [0, 40],
  ] as const) {
    const { status, type, text } = await add(witness, oldSize, size);
    assert.deepEqual([status, type, text], [409, 'text/x.tlog.size', '40\n']);
  }
  assert.equal((await add(witness, 40, 30)).status, 400);
  const stranger = createSampleLog(sampleEntries(60), newSigningKey());
  assert.equal((await add(witness, 40, 60, stranger)).status, 403);
  const other = createSampleLog(sampleEntries(60), newSigningKey('example.com/other'));
  assert.equal((await add(witness, 0, 60, other)).status, 404);
  assert.equal(stateOf(files).size, 40);
});

test('WIT-03: of many that race from one size, those of one history alone are signed', async () => {
  const files = newFiles();
  const witness = await startWitness(files);
  await add(witness, 0, 20);
  const races = Array.from({ length: 40 }, (_, at) =>
    add(witness, 20, 30 + (at % 20), at % 2 === 0 ? log : fork),
  );
  const answers = await Promise.all(races);
  assert.deepEqual(answers.map(({ status }) => status).filter((status) => status === 200).length, 1);
  assert.ok(answers.every(({ status }) => status === 200 || status === 409));
  const winner = answers.findIndex(({ status }) => status === 200);
  assert.equal(stateOf(files).size, 30 + (winner % 20));
});

test('WIT-03: killed at any moment, a witness has kept whatever it has signed', async () => {
  const files = newFiles();
  let signed = 0;
  for (let round = 0; round < 3; round += 1) {
    const witness = await startWitness(files);
    const known = round === 0 ? 0 : stateOf(files).size;
    assert.ok(known >= signed);
    const { status } = await add(witness, known, known + 10);
    assert.equal(status, 200);
    signed = known + 10;
    const last = add(witness, signed, signed + 10).catch(() => null);
    await witness.stop('SIGKILL');
    if ((await last)?.status === 200) signed += 10;
    assert.ok(stateOf(files).size >= signed);
  }
  const witness = await startWitness(files);
  assert.equal((await add(witness, stateOf(files).size, 60, fork)).status, 422);
});

test('without its state, or with a broken one, a witness signs nothing; nor do two share one', async () => {
  const files = newFiles();
  const witness = await startWitness(files);
  await add(witness, 0, 20);
  const second = await mayfly(lineOf(files));
  assert.deepEqual([second.code, second.stdout], [1, '']);
  assert.match(second.stderr, /Another witness/);
  await witness.stop();
  const text = readFileSync(files.state, 'utf8');
  for (const broken of ['', '{}', text.slice(0, 50), text.replace('"size": 20', '"size": -1')]) {
    writeFileSync(files.state, broken);
    assert.equal((await mayfly(lineOf(files))).code, 1, broken);
  }
  rmSync(files.state);
  const forgetful = await mayfly(lineOf(files));
  assert.equal(forgetful.code, 1);
  assert.match(forgetful.stderr, /would sign a fork/);
});

test('WIT-03: what cannot be kept is not signed', async () => {
  const files = newFiles();
  const witness = await startWitness(files);
  await add(witness, 0, 20);
  const text = readFileSync(files.state, 'utf8');
  rmSync(files.state);
  mkdirSync(files.state);
  const { status, text: said } = await add(witness, 20, 30);
  assert.deepEqual([status, said.includes('\u2014')], [500, false]);
  rmdirSync(files.state);
  writeFileSync(files.state, text);
  assert.equal((await add(witness, 20, 40)).status, 200, 'and what was not signed is not remembered');
});

test('what is too long, no checkpoint or another path is refused, and the witness goes on', async () => {
  const witness = await startWitness(newFiles());
  const { url, port } = witness;
  assert.equal((await send(url, 'old 0\n')).status, 400);
  const long = await send(url, 'x'.repeat(MAX_ADD_CHECKPOINT_BYTES + 1)).catch(() => ({ status: 413 }));
  assert.equal(long.status, 413);
  assert.equal((await fetch(`${url}/add-checkpoint`)).status, 405);
  assert.equal((await fetch(`${url}/`)).status, 404);
  const halfway = connect(port, '127.0.0.1');
  halfway.write('POST /add-checkpoint HTTP/1.1\r\nHost: x\r\nContent-Length: 100\r\n\r\nold');
  await once(halfway, 'connect');
  halfway.destroy();
  assert.equal((await add(witness, 0, 20)).status, 200);
});
