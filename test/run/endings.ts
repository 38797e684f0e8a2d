/** However a program ends, its run ends like it, and so does its session. */
import assert from 'node:assert/strict';
import { spawnSync } from 'node:child_process';
import { once } from 'node:events';
import { chmodSync, mkdtempSync, rmSync, writeFileSync } from 'node:fs';
import { createServer } from 'node:net';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { afterEach, describe, test } from 'node:test';
import { until } from '../broker-process.ts';
import { nodeProgram, PYTHON, type RunWorld } from './run-world.ts';

/** Says that it is there, then each signal as it comes, and ends with how many there were. */
const counts = (signal: string) =>
  nodeProgram(`
    let count = 0;
    process.on('${signal}', () => {
      count += 1;
      console.log('got', '${signal}');
      setTimeout(() => process.exit(40 + count), 300);
    });
    setInterval(() => undefined, 1_000);
    console.log('ready', process.pid);`);

const noPython = spawnSync(PYTHON, ['-c', 'import pty']).status !== 0 && 'there is no python3 here';

const waits = nodeProgram("setInterval(() => undefined, 1_000); console.log('ready', process.pid)");
const pidOf = (text: string) => Number(/ready (\d+)/.exec(text)?.[1]);

export function describeEndings(world: () => RunWorld): void {
  describe('A run ends like its program, and its session with it,', () => describeAll(world));
}

function describeAll(world: () => RunWorld): void {
  afterEach(async () => {
    const { open } = await world().sessions();
    assert.equal(open, 0, 'each session is over');
  });

  for (const signal of ['SIGTERM', 'SIGINT', 'SIGHUP', 'SIGUSR1'] as const) {
    test(`when ${signal} comes to mayfly, which passes it on once`, async () => {
      const run = world().start(counts(signal), { ownGroup: true });
      await run.says('ready');
      run.child.kill(signal);
      const { code, stdout, stderr } = await run.ended;
      assert.equal(code, 41, `${stdout}${stderr}`);
    });
  }

  for (const signal of ['SIGINT', 'SIGKILL', 'SIGABRT'] as const) {
    test(`when the program dies of ${signal}, of which mayfly then dies`, async () => {
      const { code, signal: died } = await world().run(nodeProgram(`process.kill(process.pid, '${signal}')`));
      assert.deepEqual([code, died], [null, signal]);
    });
  }

  test('with 138 when it dies of SIGUSR1, which in Node opens a debugger', async () => {
    const { code } = await world().run(['sh', '-c', 'kill -USR1 $$']);
    assert.equal(code, 138);
  });

  test('when it crashes', async () => {
    const { code, stderr } = await world().run(nodeProgram("throw new Error('a crash')"));
    assert.equal(code, 1);
    assert.match(stderr, /a crash/);
  });

  test('when it ignores SIGTERM: only when it is gone', async () => {
    const stubborn = nodeProgram(`
      process.on('SIGTERM', () => console.log('no'));
      setInterval(() => undefined, 1_000);
      console.log('ready', process.pid);`);
    const run = world().start(stubborn);
    const pid = pidOf(await run.says('ready'));
    run.child.kill('SIGTERM');
    await run.says('no');
    assert.equal((await world().sessions()).open, 1);
    process.kill(pid, 'SIGKILL');
    assert.equal((await run.ended).signal, 'SIGKILL');
  });

  test('when nobody reads its output any more, nor what mayfly says', async () => {
    const run = world().start(
      nodeProgram(
        "process.stdout.on('error', () => process.exit(9)); console.log('ready'); setInterval(() => console.log('more'), 20)",
      ),
    );
    await run.says('ready');
    run.child.stdout?.destroy();
    run.child.stderr?.destroy();
    assert.equal((await run.ended).code, 9);
  });

  test('when its interpreter is not there', async (t) => {
    const folder = mkdtempSync(join(tmpdir(), 'mayfly-program-'));
    t.after(() => rmSync(folder, { recursive: true }));
    const script = join(folder, 'script');
    writeFileSync(script, '#!/no/such/interpreter\n');
    chmodSync(script, 0o755);
    const { code, stderr } = await world().run([script]);
    assert.equal(code, 127, stderr);
  });

  describe('on a terminal', { skip: noPython }, () => {
    const mayfly = (command: readonly string[]) => world().onTerminal(command);

    test('Ctrl-C reaches the program once', async () => {
      const { code, said } = await mayfly(counts('SIGINT'));
      assert.equal(said.split('got SIGINT').length - 1, 1, said);
      assert.equal(code, 41);
    });

    test('Ctrl-C ends a program that does not mind, and mayfly dies of it, too', async () => {
      assert.equal((await mayfly(waits)).died, 2);
    });

    test('the program cannot type what its shell would do after it', async () => {
      const types = "import fcntl, termios\nfcntl.ioctl(0, termios.TIOCSTI, b'x')";
      const { code, said } = await mayfly([PYTHON, '-c', types]);
      assert.equal(code, 1, said);
      assert.match(said, /(?:Permission|OS)Error/);
    });

    test('the terminal is its own', async () => {
      const { said } = await mayfly(['tty']);
      assert.match(said, /^\/dev\/pts\/\d+\r?$/m);
    });
  });

  test('when the broker does not answer any more, after a moment', async (t) => {
    const { broker } = world();
    const run = world().start(
      nodeProgram(
        "process.stdin.on('data', () => undefined).on('end', () => { console.log('ready'); setTimeout(() => process.exit(5), 500); })",
      ),
    );
    await run.says('ready');
    broker.kill('SIGSTOP');
    t.after(() => broker.kill('SIGCONT'));
    assert.equal((await run.ended).code, 5);
    broker.kill('SIGCONT');
    await until(async () => (await world().sessions()).open === 0, 'the broker read that the session ended');
  });
}

export function describeOtherEnds(world: () => RunWorld): void {
  test('A signal before the program starts ends mayfly by it, and nothing was started', async (t) => {
    const silent = createServer(() => undefined).listen(0, '127.0.0.1');
    await once(silent, 'listening');
    t.after(() => silent.close());
    const { port } = silent.address() as { port: number };
    const asked = once(silent, 'connection');
    const run = world().start(['echo', 'started'], { options: ['--url', `http://127.0.0.1:${port}`] });
    const [connection] = await asked;
    run.child.kill('SIGTERM');
    const { signal, stdout } = await run.ended;
    connection.destroy();
    assert.deepEqual([signal, stdout], ['SIGTERM', '']);
  });

  test('When mayfly is killed, so that it can end nothing, its program gets SIGTERM', async () => {
    const run = world().start(counts('SIGTERM'));
    const pid = pidOf(await run.says('ready'));
    run.child.kill('SIGKILL');
    await run.says('got SIGTERM');
    await until(() => !isAlive(pid), 'the program ended');
    assert.equal((await run.ended).signal, 'SIGKILL');
  });

  test('No broker, or one that does not know the key: nothing is started', async () => {
    for (const [code, options] of [
      [4, ['--url', 'http://127.0.0.1:1']],
      [5, ['--action', 'db:delete:customers']],
      [1, ['--action', 'db:read:customers', '--as', 'nobody-at-all']],
    ] as const) {
      const ended = await world().run(['echo', 'started'], { options });
      assert.deepEqual([ended.code, ended.stdout], [code, ''], ended.stderr);
    }
  });

  test('An action that is refused is told, and the others are there', async () => {
    const options = ['--action', 'db:read:customers', '--action', 'db:delete:customers'];
    const { code, stderr } = await world().run(['true'], { options });
    assert.equal(code, 0);
    assert.match(stderr, /mayfly run: .*\(invalid_scope/);
  });
}

function isAlive(pid: number): boolean {
  try {
    return process.kill(pid, 0);
  } catch {
    return false;
  }
}
