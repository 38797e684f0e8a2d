/** A small policy that is right in every respect, and a folder to put a changed one into. */
import { generateKeyPairSync } from 'node:crypto';
import { mkdirSync } from 'node:fs';
import { mkdtemp, rm, writeFile } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { dirname, join } from 'node:path';
import { stringify } from 'yaml';
import { type LoadedCatalogue, type LoadOptions, loadCatalogue } from '../../src/catalogue/index.ts';

// biome-ignore lint/suspicious/noExplicitAny: tests break these on purpose, in every way
export type Loose = any;

export type Policy = {
  zones: Loose;
  customers: Loose;
  storage: Loose;
  writer: Loose;
  clerk: Loose;
  sam: Loose;
  ada: Loose;
};

export function publicJwk(kid: string, curve: 'P-256' | 'Ed25519' = 'P-256'): Record<string, string> {
  const { publicKey } =
    curve === 'P-256' ? generateKeyPairSync('ec', { namedCurve: 'P-256' }) : generateKeyPairSync('ed25519');
  return { ...(publicKey.export({ format: 'jwk' }) as Record<string, string>), kid };
}

const customersKey = publicJwk('customers-1');
const samKey = publicJwk('sam-1');
const writerKeys = [publicJwk('writer-1'), publicJwk('writer-2', 'Ed25519')];

/** A fresh copy: two zones, two resources with five actions, two agents, two operators. */
export function smallPolicy(): Policy {
  const read = {
    title: 'Read customers',
    sensitivity: 'LOW',
    effect: 'read',
    lifetime: { default: 300, max: 900 },
    use: 'session',
    approval: 'none',
  };
  const schema = {
    type: 'object',
    properties: { name: { type: 'string', maxLength: 100 }, rows: { type: 'integer' } },
    required: ['name'],
    additionalProperties: false,
  };
  const high = { sensitivity: 'HIGH', use: 'request', lifetime: { default: 60, max: 120 } };
  const policy = {
    zones: {
      zones: {
        analytics: { title: 'Reporting', may_call: ['analytics', 'shared'] },
        shared: { title: 'What everybody uses', may_call: ['shared'] },
      },
    },
    customers: {
      resource: 'https://customers.example.com',
      title: 'Customer database',
      zone: 'analytics',
      keys: [customersKey],
      actions: {
        'db:read:customers': read,
        'db:delete:customers': {
          ...read,
          ...high,
          title: 'Erase a customer',
          effect: 'destructive',
          approval: 'two',
        },
      },
    },
    storage: {
      resource: 'https://storage.example.com',
      title: 'Object storage',
      zone: 'shared',
      development_key: true,
      development_path: '/exports',
      actions: {
        'storage:list:exports': { ...read, title: 'List exports' },
        'storage:write:exports': {
          ...read,
          title: 'Store an export',
          sensitivity: 'MED',
          effect: 'write',
          use: 'request',
          arguments: schema,
        },
        'storage:share:exports': {
          ...read,
          ...high,
          title: 'Share an export',
          effect: 'write',
          approval: 'one',
        },
      },
    },
    writer: {
      agent: 'report-writer',
      title: 'Writes the weekly report',
      owner: 'data-platform',
      zone: 'analytics',
      keys: writerKeys,
      session_seconds: 3600,
      may: ['db:read:customers', 'storage:list:exports', 'storage:write:exports', 'storage:share:exports'],
    },
    clerk: {
      agent: 'privacy-clerk',
      title: 'Erases customers',
      owner: 'privacy@example.com',
      zone: 'analytics',
      development_key: true,
      session_seconds: 900,
      may: ['db:delete:customers'],
    },
    sam: { operator: 'sam', title: 'Security on call', roles: ['security', 'approver'], keys: [samKey] },
    ada: { operator: 'ada', title: 'Administrator', roles: ['admin'], development_key: true },
  };
  // not structuredClone: it would keep what is shared shared
  return JSON.parse(JSON.stringify(policy));
}

/** The policy as the files of a scopes folder. */
export function policyFiles(policy: Policy): Record<string, string> {
  const { zones, customers, storage, writer, clerk, sam, ada } = policy;
  return {
    'zones.yaml': yaml(zones),
    'resources/customers.yaml': yaml(customers),
    'resources/storage.yaml': yaml(storage),
    'agents/report-writer.yaml': yaml(writer),
    'agents/privacy-clerk.yaml': yaml(clerk),
    'operators/sam.yaml': yaml(sam),
    'operators/ada.yaml': yaml(ada),
  };
}

/** Without anchors for what occurs twice: policy files have none. */
function yaml(value: unknown): string {
  return stringify(value, { aliasDuplicateObjects: false });
}

/** Loads the small policy after `change` has had its way with it. */
export async function loadChanged(
  change: (policy: Policy) => unknown,
  options?: LoadOptions,
): Promise<LoadedCatalogue> {
  const policy = smallPolicy();
  change(policy);
  return loadFiles(policyFiles(policy), options);
}

/** Loads a folder called `scopes` with these files. */
export async function loadFiles(
  files: Record<string, string | Buffer>,
  options?: LoadOptions,
): Promise<LoadedCatalogue> {
  return withFolder(files, (directory) => loadCatalogue(directory, options));
}

/** Lends a folder called `scopes` with these files, and removes it afterwards. */
export async function withFolder<T>(
  files: Record<string, string | Buffer>,
  use: (directory: string) => Promise<T>,
): Promise<T> {
  const parent = await mkdtemp(join(tmpdir(), 'mayfly-scopes-'));
  try {
    for (const [name, content] of Object.entries(files)) {
      const path = join(parent, 'scopes', name);
      mkdirSync(dirname(path), { recursive: true });
      await writeFile(path, content);
    }
    return await use(join(parent, 'scopes'));
  } finally {
    await rm(parent, { recursive: true, force: true });
  }
}

/** The names of the rules that were broken, in the order of the report. */
export function rulesOf({ problems }: LoadedCatalogue): string[] {
  return problems.map(({ rule }) => rule);
}
