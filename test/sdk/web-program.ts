/**
 * Runs `mayfly/agent` where there is nothing but what browsers and workers have: a context of its own without `process`,
 * `Buffer`, `require` or a module loader, to which the globals of the web are given one by one. Prints what came of it.
 */
import { readFileSync } from 'node:fs';
import { stripTypeScriptTypes } from 'node:module';
import vm from 'node:vm';
import { WEB_SCRIPT } from './web-script.ts';

const [, , entry = '', issuer = '', key = ''] = process.argv;

const WEB = {
  AbortController,
  AbortSignal,
  atob,
  Blob,
  btoa,
  clearTimeout: (timer: NodeJS.Timeout) => clearTimeout(timer),
  crypto,
  DOMException,
  fetch,
  Headers,
  performance,
  ReadableStream,
  Request,
  Response,
  setTimeout: (work: () => void, milliseconds: number) => setTimeout(work, milliseconds),
  TextDecoder,
  TextEncoder,
  URL,
  URLSearchParams,
};

const context = vm.createContext({ ...WEB });
const modules = new Map<string, vm.SourceTextModule>();

function load(url: string): vm.SourceTextModule {
  const known = modules.get(url);
  if (known !== undefined) return known;
  const text = readFileSync(new URL(url), 'utf8');
  const source = url.endsWith('.ts') ? stripTypeScriptTypes(text) : text;
  const module = new vm.SourceTextModule(source, { context, identifier: url });
  modules.set(url, module);
  return module;
}

const main = load(entry);
await main.link((specifier, from) => {
  if (!specifier.startsWith('.')) throw new Error(`${from.identifier} imports ${specifier}`);
  return load(new URL(specifier, from.identifier).href);
});
await main.evaluate();

Object.assign(context, { mayfly: main.namespace, issuer, key });
process.stdout.write(await vm.runInContext(WEB_SCRIPT, context));
