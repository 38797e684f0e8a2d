/** FLT-10: wherever its standard output goes, a broker serves, counts the lines that it lost, and stops when asked. */
import assert from 'node:assert/strict';
import { spawn } from 'node:child_process';
import { once } from 'node:events';
import { closeSync, existsSync, openSync } from 'node:fs';
import { test } from 'node:test';
import { fileURLToPath } from 'node:url';
import { type BrokerProcess, freePort, startBrokerProcess, until } from '../broker-process.ts';
import { newSessionKey } from '../test-agent.ts';
import { createTestWorld } from '../test-broker.ts';

const world = await createTestWorld();
const OUTPUT = new URL('../../src/standard-output.ts', import.meta.url).href;

async function place() {
  const port = await freePort();
  return {
    settings: { ...world.environment(), MAYFLY_PORT: String(port), MAYFLY_DPOP_NONCE: 'optional' },
    url: `http://127.0.0.1:${port}`,
    metricsUrl: `http://127.0.0.1:${port + 9}/metrics`,
  };
}

async function isUp(url: string): Promise<boolean> {
  return fetch(`${url}/readyz`).then(
    ({ ok }) => ok,
    () => false,
  );
}

async function lostLines(metricsUrl: string): Promise<number> {
  const text = await (await fetch(metricsUrl)).text();
  return Number(/^mayfly_log_lost_total (\d+)$/m.exec(text)?.[1]);
}

async function servesAndStops(broker: BrokerProcess, { url, metricsUrl }: Awaited<ReturnType<typeof place>>) {
  let ended: Awaited<BrokerProcess['exited']> | undefined;
  broker.exited.then((end) => {
    ended = end;
  });
  try {
    await until(() => isUp(url), `it is ready: ${broker.output()}`);
    await until(async () => (await lostLines(metricsUrl)) > 0, 'what was lost is counted');
    const minted = await world.agent({ url }, 'report-writer').token(newSessionKey());
    assert.equal(minted.status, 200, minted.text);
    broker.child.kill('SIGTERM');
    await until(() => ended !== undefined, 'it stopped');
    assert.deepEqual(ended, { code: 0, signal: null });
    assert.doesNotMatch(broker.output(), /Error|\n\s+at /);
  } finally {
    broker.child.kill('SIGKILL');
  }
}

test('on a full disk', { skip: !existsSync('/dev/full') }, async () => {
  const there = await place();
  const stdout = openSync('/dev/full', 'w');
  const broker = startBrokerProcess({ settings: there.settings, stdout });
  closeSync(stdout);
  await servesAndStops(broker, there);
});

test('into a pipe that was closed after the first bytes, as by `head -c 5`', async () => {
  const there = await place();
  const broker = startBrokerProcess({ settings: there.settings });
  broker.child.stdout?.once('data', () => broker.child.stdout?.destroy());
  await servesAndStops(broker, there);
});

test('a reader who sleeps costs bounded memory, loses the newest lines, and does not hold up the end', async () => {
  const program = `
    import { createLogOutput } from ${JSON.stringify(OUTPUT)};
    const output = createLogOutput();
    const line = \`\${'x'.repeat(1023)}\\n\`;
    const before = process.memoryUsage().rss;
    for (let index = 0; index < 50_000; index += 1) output.write(line);
    const grown = process.memoryUsage().rss - before;
    const flushed = await output.flushed({ withinMilliseconds: 50 });
    process.stderr.write(JSON.stringify({ lost: output.lost(), waiting: process.stdout.writableLength, grown, flushed }));
    process.exit();
  `;
  const child = spawn(process.execPath, ['--input-type=module', '--eval', program], {
    cwd: fileURLToPath(new URL('../..', import.meta.url)),
    stdio: ['ignore', 'pipe', 'pipe'],
  });
  let text = '';
  child.stderr.on('data', (chunk) => {
    text += chunk;
  });
  await once(child, 'exit');
  const { lost, waiting, grown, flushed } = JSON.parse(text);
  const kilobyte = 1024;
  assert.ok(lost > 40_000 && lost < 50_000, `lost ${lost}`);
  assert.ok(waiting <= (4 * kilobyte + 1) * kilobyte, `waiting ${waiting}`);
  assert.ok(grown < 40_000 * kilobyte, `grown by ${grown}`);
  assert.equal(flushed, false);
});

test('a reader who is only late gets every line, also the last one before the end', async () => {
  const program = `
    import { createLogOutput } from ${JSON.stringify(OUTPUT)};
    const output = createLogOutput();
    for (let index = 0; index < 3_000; index += 1) output.write(\`\${String(index).padEnd(1023)}\\n\`);
    process.stderr.write('written');
    if (!(await output.flushed({ withinMilliseconds: 60_000 }))) process.stderr.write('late');
  `;
  const child = spawn(process.execPath, ['--input-type=module', '--eval', program], {
    stdio: ['ignore', 'pipe', 'pipe'],
  });
  const [said] = await once(child.stderr, 'data');
  assert.equal(String(said), 'written');
  const chunks: Buffer[] = [];
  for await (const chunk of child.stdout) chunks.push(chunk as Buffer);
  const lines = Buffer.concat(chunks)
    .toString()
    .trimEnd()
    .split('\n')
    .map((line) => line.trim());
  assert.deepEqual(
    lines,
    Array.from({ length: 3_000 }, (_, index) => String(index)),
  );
});
