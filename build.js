// Builds dist/ for the published package: type stripping does not reach into node_modules, so an
// installed mayfly runs plain JavaScript. The launcher is JavaScript already and is only copied.
import { execFileSync } from 'node:child_process';
import { chmodSync, copyFileSync, rmSync } from 'node:fs';
import { fileURLToPath } from 'node:url';

const root = fileURLToPath(new URL('.', import.meta.url));
const compiler = fileURLToPath(new URL('bin/tsc', import.meta.resolve('typescript/package.json')));

rmSync(`${root}dist`, { recursive: true, force: true });
execFileSync(process.execPath, [compiler, '-p', `${root}tsconfig.build.json`], { stdio: 'inherit' });
copyFileSync(`${root}src/launch.js`, `${root}dist/launch.js`);
chmodSync(`${root}dist/launch.js`, 0o755);
