/**
 * STS over HTTP on this machine: its documented limits, its errors in its XML, signatures verified by an implementation
 * that is not the client's, and web identities verified as AWS does, by the provider's own discovery. What it gives is
 * good for nothing.
 */
import type { IncomingMessage, ServerResponse } from 'node:http';
import { createRemoteJWKSet, jwtVerify } from 'jose';
import { fail, requireSignature, sendXml, serveQueries, textOf } from './query-protocol.ts';

/** What somebody else would answer, or AWS with another clock. */
const BENDS = {
  'another account': { account: '999999999999' },
  'another role': { role: 'admin' },
  'another session': { session: 'somebody' },
  over: { secondsFromNow: -1 },
  'for ever': { secondsFromNow: 10 * 365 * 86_400 },
};
type Bend = { account?: string; role?: string; session?: string; secondsFromNow?: number };

/** As STS spells them. */
const REFUSALS = {
  denied: ['AccessDenied', 403],
  malformed: ['MalformedPolicyDocument', 400],
  packed: ['PackedPolicyTooLarge', 400],
  'bad identity': ['InvalidIdentityToken', 400],
  'bad claim': ['IDPRejectedClaim', 403],
  'late identity': ['ExpiredTokenException', 400],
  'no region': ['RegionDisabledException', 403],
  'unknown key': ['InvalidClientTokenId', 403],
  strange: ['SomethingElse', 400],
  throttled: ['Throttling', 400],
  'unreachable provider': ['IDPCommunicationError', 400],
} as const satisfies Record<string, [code: string, status: number]>;

export type Fault =
  | keyof typeof REFUSALS
  | keyof typeof BENDS
  | 'error'
  | 'down'
  | 'garbage'
  | 'incomplete'
  | 'slow';

export type StsCall = {
  action: string;
  parameters: ReadonlyMap<string, string>;
  /** Claims of the web identity. */
  identity?: Record<string, unknown>;
  sourceIdentity: string | undefined;
  tags: Record<string, string>;
};

/** The one identity that may assume roles here by itself. */
export const BROKER_KEYS = {
  accessKeyId: 'AKIALOCALBROKER00000',
  secretAccessKey: 'local-secret-of-the-broker',
};

const SESSION_NAME = /^[\w+=,.@-]{2,64}$/;
const POLICY = /^[\t\n\r\x20-\xff]{1,2048}$/;
const NAMESPACE = 'https://sts.amazonaws.com/doc/2011-06-15/';
const SLOW_MILLISECONDS = 30_000;

export type LocalSts = Awaited<ReturnType<typeof startLocalSts>>;

/** @param provider where discovery is found of the issuer that roles trust; a function, since it may start later */
export async function startLocalSts(options: {
  roles: readonly string[];
  issuer: string;
  provider: () => string;
}) {
  const { roles, issuer, provider } = options;
  const calls: StsCall[] = [];
  const faults: Fault[] = [];
  /** Held back while set, so that many callers meet one flight. */
  let gate: Promise<void> | null = null;
  let given = 0;

  const server = await serveQueries(answer, NAMESPACE);

  async function answer(request: IncomingMessage, response: ServerResponse): Promise<void> {
    const body = await textOf(request);
    const parameters = new Map(new URLSearchParams(body));
    const call: StsCall = {
      action: parameters.get('Action') ?? '',
      parameters,
      sourceIdentity: parameters.get('SourceIdentity'),
      tags: tagsOf(parameters),
    };
    calls.push(call);
    await gate;
    const fault = faults.shift();
    const bend: Bend | undefined =
      fault !== undefined && fault in BENDS ? BENDS[fault as keyof typeof BENDS] : undefined;
    if (fault !== undefined && bend === undefined && !(await go(fault, response))) return;
    if (call.action === 'GetCallerIdentity') return sendXml(response, 200, callerIdentity(request, body));
    checkLimits(parameters);
    if (call.action === 'AssumeRole') requireSignature(request, body, { keys: BROKER_KEYS, service: 'sts' });
    else if (call.action === 'AssumeRoleWithWebIdentity') await readIdentity(call, request);
    else fail('InvalidAction', 400, 'Could not find operation');
    if (!roles.includes(parameters.get('RoleArn') ?? '')) {
      fail('AccessDenied', 403, `Not authorized to perform sts:${call.action}`);
    }
    given += 1;
    sendXml(response, 200, success(call, given, bend));
  }

  /** What the trust policy of a role and the service check of a web identity (STS-06). */
  async function readIdentity(call: StsCall, request: IncomingMessage): Promise<void> {
    if (request.headers.authorization !== undefined) fail('ValidationError', 400, 'This call is not signed');
    const discovery = await fetch(`${provider()}/.well-known/openid-configuration`);
    const { issuer: declared, jwks_uri: jwksUri } = (await discovery.json()) as Record<string, string>;
    if (declared !== issuer || jwksUri === undefined) fail('InvalidIdentityToken', 400, 'Incorrect issuer');
    const keys = createRemoteJWKSet(new URL(jwksUri.replace(issuer, provider())));
    const token = call.parameters.get('WebIdentityToken') ?? '';
    const { payload } = await jwtVerify(token, keys, {
      issuer,
      audience: 'sts.amazonaws.com',
      algorithms: ['RS256', 'RS384', 'RS512', 'ES256', 'ES384', 'ES512'],
      requiredClaims: ['exp', 'iat', 'sub'],
    }).catch((error: Error) => fail('InvalidIdentityToken', 400, error.message));
    call.identity = payload;
    call.sourceIdentity = payload['https://aws.amazon.com/source_identity'] as string;
    const { principal_tags: tags = {} } = payload['https://aws.amazon.com/tags'] as {
      principal_tags?: Record<string, string[]>;
    };
    call.tags = Object.fromEntries(Object.entries(tags).map(([key, [value = '']]) => [key, value]));
    checkTags(Object.entries(call.tags));
  }

  return {
    ...server,
    calls,
    /** What goes wrong with the next calls, one each. */
    faults,
    /** Holds every answer back until the function that it returns is called. */
    hold(): () => void {
      let open: () => void = () => {};
      gate = new Promise((resolve) => {
        open = resolve;
      });
      return () => {
        gate = null;
        open();
      };
    },
  };
}

/** @returns whether the call goes on */
async function go(fault: Fault, response: ServerResponse): Promise<boolean> {
  if (fault in REFUSALS) {
    const [code, status] = REFUSALS[fault as keyof typeof REFUSALS];
    fail(code, status, `local-secret-message about ${fault}`);
  }
  if (fault === 'error') fail('InternalFailure', 500, 'unknown');
  if (fault === 'down') response.destroy();
  if (fault === 'garbage')
    response.writeHead(200, { 'Content-Type': 'text/xml' }).end('<Assume\u0000>{"not": xml');
  if (fault === 'incomplete') sendXml(response, 200, '<AssumeRoleResponse></AssumeRoleResponse>');
  if (fault === 'slow') {
    const timer = setTimeout(() => response.destroy(), SLOW_MILLISECONDS);
    response.on('close', () => clearTimeout(timer));
  }
  return false;
}

/** IAM and STS quotas, and the reference of both calls. */
function checkLimits(parameters: ReadonlyMap<string, string>): void {
  const duration = Number(parameters.get('DurationSeconds') ?? 3600);
  if (!(duration >= 900 && duration <= 43_200)) fail('ValidationError', 400, 'DurationSeconds');
  if (!SESSION_NAME.test(parameters.get('RoleSessionName') ?? ''))
    fail('ValidationError', 400, 'RoleSessionName');
  const source = parameters.get('SourceIdentity');
  if (source !== undefined && !SESSION_NAME.test(source)) fail('ValidationError', 400, 'SourceIdentity');
  const policy = parameters.get('Policy');
  if (policy !== undefined) {
    if (!POLICY.test(policy)) fail('ValidationError', 400, 'Policy');
    try {
      JSON.parse(policy);
    } catch {
      fail('MalformedPolicyDocument', 400, 'Syntax errors in policy.');
    }
  }
  checkTags(Object.entries(tagsOf(parameters)));
}

function checkTags(tags: readonly (readonly [string, string])[]): void {
  const names = tags.map(([key]) => key.toLowerCase());
  const isGood = (text: string, most: number) =>
    text.length <= most && /^[\p{L}\p{Z}\p{N}_.:/=+\-@]*$/u.test(text);
  if (tags.length > 50 || new Set(names).size !== names.length) fail('ValidationError', 400, 'Tags');
  if (!tags.every(([key, value]) => key !== '' && isGood(key, 128) && isGood(value, 256))) {
    fail('ValidationError', 400, 'Tags');
  }
}

function tagsOf(parameters: ReadonlyMap<string, string>): Record<string, string> {
  const tags: [string, string][] = [];
  for (let index = 1; parameters.has(`Tags.member.${index}.Key`); index += 1) {
    const key = parameters.get(`Tags.member.${index}.Key`) ?? '';
    tags.push([key, parameters.get(`Tags.member.${index}.Value`) ?? '']);
  }
  return Object.fromEntries(tags);
}

/** Whoever has credentials that were given here is their role session. */
function callerIdentity(request: IncomingMessage, body: string): string {
  const [, number = '0'] = /Credential=ASIALOCAL0*(\d+)\//.exec(request.headers.authorization ?? '') ?? [];
  const keys = { accessKeyId: accessKeyOf(Number(number)), secretAccessKey: `local-secret-${number}` };
  requireSignature(request, body, { keys, service: 'sts' });
  if (request.headers['x-amz-security-token'] !== `local-session-token-${number}`)
    fail('InvalidClientTokenId', 403, 'The security token is invalid.');
  return `<GetCallerIdentityResponse xmlns="https://sts.amazonaws.com/doc/2011-06-15/"><GetCallerIdentityResult>
    <Arn>arn:aws:sts::123456789012:assumed-role/x/local-${number}</Arn><UserId>AROALOCAL:local-${number}</UserId>
    <Account>123456789012</Account></GetCallerIdentityResult>
    <ResponseMetadata><RequestId>local</RequestId></ResponseMetadata></GetCallerIdentityResponse>`;
}

function accessKeyOf(number: number): string {
  return `ASIALOCAL${String(number).padStart(11, '0')}`;
}

/** AWS does not say how it packs; here it is the policy alone, in percent of what it may have. */
function packedPercentOf(parameters: ReadonlyMap<string, string>): number {
  return Math.ceil((100 * (parameters.get('Policy') ?? '').length) / 2_048);
}

function success({ action, parameters }: StsCall, number: number, bend: Bend = {}): string {
  const [, , , , ownAccount, ownRole = ''] = (parameters.get('RoleArn') ?? '').split(':');
  const { account = ownAccount, role = ownRole.split('/').at(-1) } = bend;
  const { session = parameters.get('RoleSessionName') } = bend;
  const { secondsFromNow = Number(parameters.get('DurationSeconds') ?? 3600) } = bend;
  return `<${action}Response xmlns="https://sts.amazonaws.com/doc/2011-06-15/"><${action}Result>
    <AssumedRoleUser><AssumedRoleId>AROALOCAL:${parameters.get('RoleSessionName')}</AssumedRoleId>
      <Arn>arn:aws:sts::${account}:assumed-role/${role}/${session}</Arn></AssumedRoleUser>
    <Credentials><AccessKeyId>${accessKeyOf(number)}</AccessKeyId>
      <SecretAccessKey>local-secret-${number}</SecretAccessKey>
      <SessionToken>local-session-token-${number}</SessionToken>
      <Expiration>${new Date(Date.now() + secondsFromNow * 1000).toISOString()}</Expiration></Credentials>
    <PackedPolicySize>${packedPercentOf(parameters)}</PackedPolicySize></${action}Result>
    <ResponseMetadata><RequestId>local-${number}</RequestId></ResponseMetadata></${action}Response>`;
}
