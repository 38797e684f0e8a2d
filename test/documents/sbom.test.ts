import assert from 'node:assert/strict';
import { execFile } from 'node:child_process';
import { existsSync, lstatSync } from 'node:fs';
import { test } from 'node:test';
import { promisify } from 'node:util';
import { cleanEnvironment } from '../broker-process.ts';
import { ROOT, textOf } from './documents.ts';

type Component = { name: string; version: string; properties?: { name: string; value: string }[] };
type Locked = { version: string; dev?: true; devOptional?: true };

/** In a second work tree, say; npm then takes the packages for others' and misses what they need. */
const isLinked = lstatSync(`${ROOT}node_modules`).isSymbolicLink();
const skip = isLinked && 'npm lists nothing through a linked node_modules';

test('the bill of materials lists everything that is installed, and marks what is for development', {
  skip,
}, async () => {
  const { stdout } = await promisify(execFile)('npm', ['run', '--silent', 'sbom'], {
    cwd: ROOT,
    env: cleanEnvironment({}),
    maxBuffer: 16 * 1024 * 1024,
  });
  const { bomFormat, components } = JSON.parse(stdout) as { bomFormat: string; components: Component[] };
  assert.equal(bomFormat, 'CycloneDX');
  const listed = (development: boolean) =>
    components.filter((each) => isForDevelopment(each) === development).map(nameOf);

  const { packages } = JSON.parse(textOf('package-lock.json')) as { packages: Record<string, Locked> };
  const installed = Object.entries(packages).filter(([path]) => path !== '' && existsSync(`${ROOT}${path}`));
  const expected = (development: boolean) =>
    installed
      .filter(([, { dev, devOptional }]) => (dev ?? devOptional ?? false) === development)
      .map(([path, { version }]) => `${path.replace(/.*node_modules\//, '')}@${version}`);
  assert.ok(expected(false).some((name) => name.startsWith('jose@')));
  assert.deepEqual(new Set(listed(false)), new Set(expected(false)));
  assert.deepEqual(new Set(listed(true)), new Set(expected(true)));
});

function isForDevelopment({ properties = [] }: Component): boolean {
  return properties.some(({ name, value }) => name === 'cdx:npm:package:development' && value === 'true');
}

function nameOf({ name, version }: Component): string {
  return `${name}@${version}`;
}
