/**
 * `openapi.yaml` as tests use it: its operations, and what an answer does that the document does not say. Schemas
 * stay open in the document, so that clients outlive a new member; here every object is closed, so that a member
 * which nobody described is found.
 */
import { readFileSync } from 'node:fs';
import { Ajv2020, type ValidateFunction } from 'ajv/dist/2020.js';
import { parse } from 'yaml';

export type Schema = { [keyword: string]: unknown };
type Reference = { $ref: string };
type Header = { required?: boolean; schema: Schema };
type Media = { schema: Schema; examples?: Record<string, { value: unknown }> };

export type ResponseObject = {
  description: string;
  headers?: Record<string, Header | Reference>;
  content?: Record<string, Media>;
};

export type OperationObject = {
  operationId: string;
  tags: string[];
  'x-caller': string;
  parameters?: (Reference | { name: string; in: string; schema: Schema; example?: unknown })[];
  requestBody?: { required: boolean; content: Record<string, Media> };
  responses: Record<string, ResponseObject | Reference>;
};

export type Contract = {
  openapi: string;
  info: { version: string };
  tags: { name: string }[];
  paths: Record<string, { get?: OperationObject; post?: OperationObject }>;
  components: {
    schemas: Record<string, Schema>;
    responses: Record<string, ResponseObject>;
    headers: Record<string, Header>;
  };
  'x-headers-of-every-answer': Record<string, Header | Reference>;
  'x-headers-of-some-answers': Record<string, Header | Reference>;
};

export type Operation = { method: 'GET' | 'POST'; path: string; operation: OperationObject };

/** An answer as it came over the wire; header names in lower case. */
export type Answer = { status: number; headers: ReadonlyMap<string, readonly string[]>; body: string };

export const CONTRACT_PATH = new URL('../../openapi.yaml', import.meta.url);
export const contract: Contract = parse(readFileSync(CONTRACT_PATH, 'utf8'));

/** What HTTP itself adds. */
const FRAMING = new Set([
  'date',
  'connection',
  'keep-alive',
  'content-length',
  'content-type',
  'transfer-encoding',
]);

export function operations(): Operation[] {
  return Object.entries(contract.paths).flatMap(([path, { get, post }]) => [
    ...(get === undefined ? [] : [{ method: 'GET', path, operation: get } as const]),
    ...(post === undefined ? [] : [{ method: 'POST', path, operation: post } as const]),
  ]);
}

/** What a `$ref` of this document points at; everything else is given back as it is. */
export function resolve<Value extends object>(value: Value | Reference): Value {
  if (!('$ref' in value)) return value;
  const names = String(value.$ref).replace('#/', '').split('/');
  const found = names.reduce<unknown>((node, name) => (node as Record<string, unknown>)?.[name], contract);
  if (found === undefined) throw new Error(`${value.$ref} points nowhere`);
  return resolve(found as Value | Reference);
}

/** What the document says about this status of this operation; null when it says nothing. */
export function responseOf({ operation }: Operation, status: number): ResponseObject | null {
  const response = operation.responses[status];
  return response === undefined ? null : resolve(response);
}

/** What this answer has that the response does not say, or lacks that it says. Empty when all is as described. */
export function complaints(answer: Answer, response: ResponseObject): string[] {
  return [...headerComplaints(answer, response), ...bodyComplaints(answer, response)];
}

function headerComplaints({ headers }: Answer, response: ResponseObject): string[] {
  const own = { ...contract['x-headers-of-every-answer'], ...response.headers };
  const described = { ...contract['x-headers-of-some-answers'], ...own };
  const wanted = new Map(
    Object.entries(described).map(([name, header]) => [name.toLowerCase(), resolve<Header>(header)]),
  );
  const always = Object.keys(contract['x-headers-of-every-answer']).map((name) => name.toLowerCase());
  const found: string[] = [];
  for (const [name, { required = always.includes(name), schema }] of wanted) {
    const values = headers.get(name) ?? [];
    if (values.length > 1) found.push(`the header ${name} came ${values.length} times`);
    if (required && values.length === 0) found.push(`the header ${name} is missing`);
    found.push(...values.flatMap((value) => violations(schema, value, `header ${name}`)));
  }
  for (const name of headers.keys()) {
    if (!wanted.has(name) && !FRAMING.has(name)) found.push(`the header ${name} is not described`);
  }
  return found;
}

function bodyComplaints({ headers, body }: Answer, { content }: ResponseObject): string[] {
  if (content === undefined) return body === '' ? [] : ['a body came where none is described'];
  const type = headers.get('content-type')?.[0]?.split(';')[0] ?? 'none';
  const media = content[type];
  if (media === undefined) return [`the media type ${type} is not described`];
  return violations(media.schema, type.endsWith('json') ? JSON.parse(body) : body, 'body');
}

/** A schema of the document by its name. */
export function schema(name: string): Schema {
  return { $ref: `#/components/schemas/${name}` };
}

/** What stands in a JWT; its signature is not looked at. */
export function decoded(jwt: string): { header: Record<string, unknown>; claims: Record<string, unknown> } {
  const [header = '', claims = ''] = jwt.split('.');
  const read = (part: string) => JSON.parse(Buffer.from(part, 'base64url').toString('utf8'));
  return { header: read(header), claims: read(claims) };
}

const ajv = new Ajv2020({ strict: false, allErrors: true, formats: { uri: URL.canParse } });
ajv.addSchema({
  $id: 'contract',
  components: { schemas: mapValues(contract.components.schemas, closeWithin) },
});
const compiled = new Map<Schema, ValidateFunction>();

/** How a value breaks a schema of the document. */
export function violations(schema: Schema, value: unknown, name: string): string[] {
  const validate = compiled.get(schema) ?? ajv.compile(pointIntoContract(closed(schema)));
  compiled.set(schema, validate);
  if (validate(value)) return [];
  return (validate.errors ?? []).map(({ instancePath, message, params }) =>
    `${name}${instancePath} ${message} ${JSON.stringify(params)}`.trim(),
  );
}

function closed(schema: Schema): Schema {
  return 'additionalProperties' in schema
    ? closeWithin(schema)
    : { ...closeWithin(schema), unevaluatedProperties: false };
}

/** Closes what stands below, not the schema itself: it may be one part of an allOf. */
function closeWithin(schema: Schema): Schema {
  const result: Schema = { ...schema };
  if (schema.properties !== undefined) {
    result.properties = mapValues(schema.properties as Record<string, Schema>, closed);
  }
  if (schema.items !== undefined) result.items = closed(schema.items as Schema);
  for (const keyword of ['allOf', 'oneOf', 'anyOf']) {
    if (Array.isArray(schema[keyword])) result[keyword] = schema[keyword].map(closeWithin);
  }
  return result;
}

function pointIntoContract(schema: Schema): Schema {
  return JSON.parse(JSON.stringify(schema).replaceAll('"#/components', '"contract#/components'));
}

function mapValues<From, To>(record: Record<string, From>, change: (value: From) => To): Record<string, To> {
  return Object.fromEntries(Object.entries(record).map(([name, value]) => [name, change(value)]));
}
