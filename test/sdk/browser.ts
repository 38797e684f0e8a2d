/** A browser without a window, if this machine has one, at a page that tells what happened by itself. */
import { spawn, spawnSync } from 'node:child_process';
import { once } from 'node:events';
import { mkdtempSync, readFileSync, rmSync } from 'node:fs';
import { stripTypeScriptTypes } from 'node:module';
import { tmpdir } from 'node:os';
import { join } from 'node:path';

const PROGRAMS = ['chromium-headless-shell', 'chromium', 'chromium-browser', 'google-chrome'];

export function findBrowser(): string | undefined {
  return PROGRAMS.find((name) => spawnSync(name, ['--version']).status === 0);
}

/** @returns what closes it */
export function openPage(browser: string, url: string): () => Promise<void> {
  const profile = mkdtempSync(join(tmpdir(), 'mayfly-browser-'));
  // Whoever runs tests in a container is root there, where the browser's own sandbox cannot be had; the page is ours.
  const flags = ['--headless', '--no-sandbox', '--disable-gpu', '--disable-dev-shm-usage'];
  const ways = [`--user-data-dir=${profile}`, '--remote-debugging-port=0'];
  const child = spawn(browser, [...flags, ...ways, url], { stdio: 'ignore', detached: true });
  const ended = once(child, 'exit');
  return async () => {
    if (child.exitCode === null) process.kill(-(child.pid ?? 0), 'SIGKILL');
    await ended;
    rmSync(profile, { recursive: true, force: true, maxRetries: 5 });
  };
}

/** A module and all that it imports, as browsers take them, by their paths from the root of the checkout. */
export function modulesOf(path: string, found = new Map<string, string>()): ReadonlyMap<string, string> {
  if (found.has(path)) return found;
  const root = new URL('../../', import.meta.url);
  const text = stripTypeScriptTypes(readFileSync(new URL(path, root), 'utf8'));
  found.set(path, text);
  for (const [, specifier = ''] of text.matchAll(/^(?:import|export) [^;]*?from '([^']+)'/gm)) {
    if (!specifier.startsWith('.')) throw new Error(`${path} imports ${specifier}`);
    modulesOf(new URL(specifier, new URL(path, root)).href.slice(root.href.length), found);
  }
  return found;
}
