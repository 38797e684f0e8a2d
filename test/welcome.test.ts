/** What a start prints can be pasted into a shell, whatever the settings are. */
import assert from 'node:assert/strict';
import { execFileSync } from 'node:child_process';
import { resolve } from 'node:path';
import { test } from 'node:test';
import { readConfiguration } from '../src/config/configuration.ts';
import { welcome } from '../src/welcome.ts';
import { fc } from './properties.ts';

function printed(settings: Record<string, string>, tour = 'npm run tour'): string {
  const configuration = readConfiguration(settings);
  const { issuer, port } = configuration;
  const broker = { issuer, url: `http://127.0.0.1:${port}`, metricsUrl: 'http://127.0.0.1:8429' };
  const text = welcome(configuration, broker, { tour });
  return text.slice(text.indexOf('\n\n  ') + 4, -2);
}

test('with nothing configured the line is the command alone', () => {
  assert.equal(printed({}), 'npm run tour');
});

test('what the tour needs to find this broker is in the line, and nothing else', () => {
  const settings = {
    MAYFLY_PORT: '9000',
    MAYFLY_ISSUER: 'http://localhost:9000',
    MAYFLY_SAMPLE_PORT: '9005',
    MAYFLY_DPOP_NONCE: 'optional',
    MAYFLY_DATA_DIR: '/srv/mayfly',
  };
  assert.equal(
    printed({ ...settings, MAYFLY_DRAIN_SECONDS: '1' }),
    `${Object.entries(settings)
      .map((setting) => setting.join('='))
      .join(' ')} npm run tour`,
  );
});

test('a checkout is told of npm, an installed package of its own command', () => {
  assert.match(printed({}, 'mayfly tour'), /^mayfly tour$/);
  const configuration = readConfiguration({});
  const broker = { issuer: configuration.issuer, url: configuration.issuer, metricsUrl: 'x' };
  assert.match(welcome(configuration, broker), /^ {2}npm run tour$/m);
});

test('a shell reads out of the line what was set, whatever is in it', () => {
  const folder = fc.string({
    unit: fc.constantFrom(...'a /.\'"`$;&|<>(){}*?!~#%\\\t='),
    minLength: 1,
    maxLength: 12,
  });
  fc.assert(
    fc.property(folder, (name) => {
      const line = printed({ MAYFLY_DATA_DIR: `/x ${name}` }, 'sh -c \'printf %s "$MAYFLY_DATA_DIR"\'');
      const read = execFileSync('/bin/sh', ['-c', line], { encoding: 'utf8' });
      assert.equal(read, resolve(`/x ${name}`));
    }),
    { numRuns: 50 },
  );
});
