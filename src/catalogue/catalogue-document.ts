/**
 * The catalogue as plain JSON: what Postgres keeps and what the digest is taken of. Lists that mean sets are
 * sorted, so that the order of files, keys and items never makes another version. It is checked again when it
 * comes back: a row that somebody edited by hand must not become authority.
 */
import { z } from 'zod';
import { canonicalJson } from '../json/canonical-json.ts';
import { JwkError } from '../jws/jwk.ts';
import { AUDIENCE } from './audience.ts';
import { type AwsAccess, awsAccessOf, awsFlaws, writtenAws } from './aws-access.ts';
import { checkReferences } from './check-references.ts';
import { isMapping } from './fields.ts';
import { MAX_KEYS, namedKey } from './keys.ts';
import { ACTION_NAME, KID, NAME, OWNER, TITLE } from './names.ts';
import { printable } from './problem.ts';
import { APPROVALS, EFFECTS, LIFETIME_SECONDS, SENSITIVITIES, USES } from './read-action.ts';
import { MAX_GRANTS, SESSION_SECONDS } from './read-agent.ts';
import { DEVELOPMENT_PATH } from './read-resource.ts';
import { ROLE, ROLES } from './roles.ts';

export const DOCUMENT_VERSION = 1;

const MAX_FILE_CHARACTERS = 300;
const MAX_ENTRIES = 10_000;

export class CatalogueDocumentError extends Error {
  override readonly name = 'CatalogueDocumentError';
}

/** A list that means a set: nothing twice. */
function setOf<Item extends string>(item: z.ZodType<Item>) {
  return z.array(item).refine((items) => new Set(items).size === items.length);
}

const key = z
  .strictObject({
    kty: z.string(),
    crv: z.string(),
    x: z.string(),
    y: z.string().exactOptional(),
    kid: KID.schema,
    alg: z.string().exactOptional(),
  })
  .transform((value, context) => {
    try {
      return namedKey(value, value.kid).jwk;
    } catch (error) {
      if (!(error instanceof JwkError)) throw error;
      context.addIssue({ code: 'custom', message: error.message });
      return z.NEVER;
    }
  });

const action = z
  .strictObject({
    name: ACTION_NAME.schema,
    title: TITLE.schema,
    sensitivity: z.literal([...SENSITIVITIES]),
    effect: z.literal([...EFFECTS]),
    lifetime: z
      .strictObject({ defaultSeconds: LIFETIME_SECONDS.schema, maxSeconds: LIFETIME_SECONDS.schema })
      .refine(({ defaultSeconds, maxSeconds }) => defaultSeconds <= maxSeconds),
    use: z.literal([...USES]),
    approval: z.literal([...APPROVALS]),
    arguments: z.record(z.string(), z.unknown()).exactOptional(),
    aws: z.custom<AwsAccess>(isMapping).exactOptional(),
  })
  .refine(({ aws, arguments: schema }) => aws === undefined || isWholeAws(aws, schema));

function isWholeAws(aws: AwsAccess, schema: object | undefined): boolean {
  const written = writtenAws(aws);
  return awsFlaws(written, schema).length === 0 && canonicalJson(awsAccessOf(written)) === canonicalJson(aws);
}

const keys = z
  .array(key)
  .max(MAX_KEYS)
  .refine((jwks) => new Set(jwks.map(({ kid }) => kid)).size === jwks.length);

const resource = z.strictObject({
  audience: AUDIENCE.schema,
  title: TITLE.schema,
  zone: NAME.schema,
  developmentKey: z.boolean(),
  developmentPath: DEVELOPMENT_PATH.schema.exactOptional(),
  keys,
  actions: z.array(action).max(MAX_ENTRIES),
});

const agent = z.strictObject({
  name: NAME.schema,
  title: TITLE.schema,
  owner: OWNER.schema,
  zone: NAME.schema,
  developmentKey: z.boolean(),
  keys,
  sessionSeconds: SESSION_SECONDS.schema,
  may: setOf(ACTION_NAME.schema).max(MAX_GRANTS),
  file: z.string().min(1).max(MAX_FILE_CHARACTERS),
});

const operator = z.strictObject({
  name: NAME.schema,
  title: TITLE.schema,
  roles: setOf(ROLE.schema).min(1).max(ROLES.length),
  developmentKey: z.boolean(),
  keys,
});

const catalogueDocument = z.strictObject({
  version: z.literal(DOCUMENT_VERSION),
  zones: z
    .array(z.strictObject({ name: NAME.schema, title: TITLE.schema, mayCall: setOf(NAME.schema) }))
    .max(MAX_ENTRIES),
  resources: z.array(resource).max(MAX_ENTRIES),
  agents: z.array(agent).max(MAX_ENTRIES),
  /** Absent when there is none: a catalogue without people has the digest that it had before there were any. */
  operators: z.array(operator).max(MAX_ENTRIES).exactOptional(),
});

export type CatalogueDocument = z.output<typeof catalogueDocument>;

/** @throws {CatalogueDocumentError} for anything but a whole and consistent document */
export function parseCatalogueDocument(value: unknown): CatalogueDocument {
  const result = catalogueDocument.safeParse(value);
  if (!result.success) {
    const [issue] = result.error.issues;
    const place = issue?.path.map(String).join('.') ?? '';
    throw new CatalogueDocumentError(`the catalogue is not valid at ${printable(place)}: ${issue?.message}`);
  }
  const document = result.data;
  refuseKeyless(document);
  refuseInconsistent(document);
  return inCanonicalOrder(document);
}

function refuseKeyless({ resources, agents, operators = [] }: CatalogueDocument): void {
  const servers = resources.filter(({ actions }) => !actions.some(({ aws }) => aws !== undefined));
  for (const { developmentKey, keys: declared } of [...servers, ...agents, ...operators]) {
    if (declared.length === 0 && !developmentKey) {
      throw new CatalogueDocumentError('a client of the catalogue has no key');
    }
  }
}

function refuseInconsistent({ zones, resources, agents, operators = [] }: CatalogueDocument): void {
  const section = null;
  const thumbprints = (jwks: CatalogueDocument['agents'][number]['keys']) =>
    jwks.map((jwk) => ({ thumbprint: namedKey(jwk, jwk.kid).thumbprint, section }));
  const declarations = {
    zones: zones.map(({ name, mayCall }) => ({
      name,
      mayCall: mayCall.map((zone) => ({ zone, section })),
      section,
    })),
    resources: resources.map((declared) => ({
      ...declared,
      keys: thumbprints(declared.keys),
      actions: declared.actions.map(({ name, aws }) => ({ name, aws, section })),
      section,
    })),
    agents: agents.map((declared) => ({
      ...declared,
      keys: thumbprints(declared.keys),
      may: declared.may.map((name) => ({ action: name, section })),
      section,
    })),
    operators: operators.map((declared) => ({ ...declared, keys: thumbprints(declared.keys), section })),
  };
  checkReferences<null>(declarations, (_at, _steps, { rule, message }) => {
    throw new CatalogueDocumentError(`the catalogue is not consistent (${rule}): ${message}`);
  });
}

function inCanonicalOrder({
  version,
  zones,
  resources,
  agents,
  operators = [],
}: CatalogueDocument): CatalogueDocument {
  return {
    version,
    zones: sortedBy('name', zones).map((zone) => ({ ...zone, mayCall: [...zone.mayCall].sort() })),
    resources: sortedBy('audience', resources).map((declared) => ({
      ...declared,
      keys: sortedBy('kid', declared.keys),
      actions: sortedBy('name', declared.actions),
    })),
    agents: sortedBy('name', agents).map((declared) => ({
      ...declared,
      keys: sortedBy('kid', declared.keys),
      may: [...declared.may].sort(),
    })),
    ...(operators.length > 0 && {
      operators: sortedBy('name', operators).map((declared) => ({
        ...declared,
        roles: [...declared.roles].sort(),
        keys: sortedBy('kid', declared.keys),
      })),
    }),
  };
}

/** By UTF-16 code units, as the default sort does: no locale takes part in a digest. */
function sortedBy<K extends string, T extends Record<K, string>>(key: K, items: readonly T[]): T[] {
  return items.toSorted((a, b) => (a[key] < b[key] ? -1 : a[key] > b[key] ? 1 : 0));
}
