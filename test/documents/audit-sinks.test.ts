/** What people read about sinks can be used as it stands. */
import assert from 'node:assert/strict';
import { mkdtempSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { after, test } from 'node:test';
import { OCSF_VERSION } from '../../src/sinks/ocsf-classes.ts';
import { readSinks } from '../../src/sinks/read-sinks.ts';
import { makeCertificate } from '../test-certificate.ts';
import { blocksOf, textOf } from './documents.ts';

const folder = mkdtempSync(join(tmpdir(), 'mayfly-documented-sinks-'));
after(() => rmSync(folder, { recursive: true }));
const { certificate, privateKey } = makeCertificate(['broker.example.com']);
for (const name of ['siem-ca.pem', 'broker.pem']) writeFileSync(join(folder, name), certificate);
writeFileSync(join(folder, 'broker.key'), privateKey);
const environment = {
  AUDIT_SINK_HOOK: 'whsec_MfKQ9r8GKYqrTwjUPD8ILPZIo2LaLaSw',
  AUDIT_SINK_HOOK_TOKEN: 'Bearer abc',
};

for (const path of ['README.md', 'docs/audit-sinks.md']) {
  test(`the sinks in ${path} are declared without a mistake, one of each kind`, () => {
    const [text = '', ...others] = blocksOf(textOf(path), 'yaml').filter((block) => block.includes('sinks:'));
    assert.equal(others.length, 0);
    const { sinks, problems } = readSinks({
      file: path,
      text: text.replaceAll('/etc/mayfly', folder),
      environment,
    });
    assert.deepEqual(problems, []);
    assert.deepEqual(sinks.map(({ kind }) => kind).sort(), ['file', 'otlp', 'syslog', 'webhook']);
  });

  test(`${path} states the version of OCSF that is spoken`, () => {
    assert.ok(textOf(path).includes(OCSF_VERSION));
  });
}
