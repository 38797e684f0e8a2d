/**
 * The catalogue in the form that decisions read: every zone, resource, action, agent and operator by name. It is made of one
 * plain document, and the digest of that document names the version: what the digest does not cover, decisions do
 * not see.
 */
import { canonicalDigest } from '../json/canonical-digest.ts';
import type { PublicJwk } from '../jws/jwk.ts';
import type { AwsAccess } from './aws-access.ts';
import { type CatalogueDocument, parseCatalogueDocument } from './catalogue-document.ts';
import type { Role } from './roles.ts';

export type Sensitivity = 'LOW' | 'MED' | 'HIGH';

export type Action = {
  /** `service:verb:resource`. */
  name: string;
  title: string;
  /** Audience of the resource that offers it. */
  resource: string;
  /** Zone of that resource. */
  zone: string;
  sensitivity: Sensitivity;
  effect: 'read' | 'write' | 'destructive';
  lifetime: { defaultSeconds: number; maxSeconds: number };
  /** `request`: only by a token for one call that was named beforehand. */
  use: 'session' | 'request';
  /** How many people have to say yes. */
  approval: 'none' | 'one' | 'two';
  /** JSON Schema 2020-12 for the call's arguments; `compileArgumentSchema` makes a check of it. */
  arguments?: object;
  /** What it gives at AWS: credentials of a role, narrowed to a policy. Then the broker itself serves it. */
  aws?: AwsAccess;
};

export type Resource = {
  audience: string;
  title: string;
  zone: string;
  developmentKey: boolean;
  developmentPath?: string;
  keys: PublicJwk[];
  /** Names, sorted. */
  actions: string[];
  /** Relative to the parent of the scopes folder; empty when the catalogue came from a document. */
  file: string;
};

export type Agent = {
  name: string;
  title: string;
  owner: string;
  zone: string;
  developmentKey: boolean;
  keys: PublicJwk[];
  /** How long one session may live. */
  sessionSeconds: number;
  /** Names of actions, sorted. */
  may: string[];
  /** Relative to the parent of the scopes folder, as refusals name it. */
  file: string;
};

/** A person as policy declares one; what a role may do is mayfly's own to say. */
export type DeclaredOperator = {
  name: string;
  title: string;
  /** Sorted. */
  roles: Role[];
  developmentKey: boolean;
  keys: PublicJwk[];
};

/** `mayCall`: zones of the resources that agents of this zone may reach, sorted. */
export type Zone = { name: string; title: string; mayCall: string[] };

export type Catalogue = {
  /** base64url SHA-256 of the canonical JSON (RFC 8785) of `document`: the name of this version. */
  digest: string;
  document: CatalogueDocument;
  zones: ReadonlyMap<string, Zone>;
  resources: ReadonlyMap<string, Resource>;
  actions: ReadonlyMap<string, Action>;
  agents: ReadonlyMap<string, Agent>;
  operators: ReadonlyMap<string, DeclaredOperator>;
};

/**
 * The catalogue that a stored document describes.
 * @throws {CatalogueDocumentError} for anything that `loadCatalogue` would not have let through
 */
export function catalogueFromDocument(document: unknown): Catalogue {
  return buildCatalogue(parseCatalogueDocument(document), new Map());
}

/** @param resourceFiles the file of each resource by audience: not in the document, so that it changes no digest */
export function buildCatalogue(
  document: CatalogueDocument,
  resourceFiles: ReadonlyMap<string, string>,
): Catalogue {
  const resources = document.resources.map(
    ({ actions, ...resource }): Resource => ({
      ...resource,
      actions: actions.map(({ name }) => name),
      file: resourceFiles.get(resource.audience) ?? '',
    }),
  );
  const actions = document.resources.flatMap(({ audience, zone, actions: offered }) =>
    offered.map((action): Action => ({ ...action, resource: audience, zone })),
  );
  return {
    digest: canonicalDigest(document),
    document,
    zones: byKey(document.zones, 'name'),
    resources: byKey(resources, 'audience'),
    actions: byKey(actions, 'name'),
    agents: byKey(document.agents, 'name'),
    operators: byKey(document.operators ?? [], 'name'),
  };
}

function byKey<K extends string, T extends Record<K, string>>(items: T[], key: K): ReadonlyMap<string, T> {
  return new Map(items.map((item) => [item[key], item]));
}
