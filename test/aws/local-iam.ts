/**
 * IAM over HTTP on this machine, as far as a policy on a role goes: the query protocol, its documented limits and
 * errors, signatures verified by an implementation that is not the client's. Roles are known by their names.
 */
import type { IncomingMessage, ServerResponse } from 'node:http';
import { BROKER_KEYS } from './local-sts.ts';
import { fail, requireSignature, sendXml, serveQueries, textOf } from './query-protocol.ts';

export type IamFault = 'throttled' | 'error' | 'down' | 'denied' | 'done and down';

type Role = { arn: string; policies: Map<string, string> };

const NAMESPACE = 'https://iam.amazonaws.com/doc/2010-05-08/';
/** All inline policies of a role together, white space not counted (IAM and STS quotas). */
const MAX_INLINE_CHARACTERS = 10_240;
const NAME = /^[\w+=,.@-]{1,64}$/;
const POLICY_NAME = /^[\w+=,.@-]{1,128}$/;
const DOCUMENT = /^[\t\n\r\x20-\xff]{1,131072}$/;

export type LocalIam = Awaited<ReturnType<typeof startLocalIam>>;

export async function startLocalIam({ roles: arns }: { roles: readonly string[] }) {
  const roles = new Map<string, Role>(
    arns.map((arn) => [arn.slice(arn.lastIndexOf('/') + 1), { arn, policies: new Map() }]),
  );
  const calls: string[] = [];
  const faults: IamFault[] = [];

  const server = await serveQueries(answer, NAMESPACE);

  async function answer(request: IncomingMessage, response: ServerResponse): Promise<void> {
    const body = await textOf(request);
    const parameters = new Map(new URLSearchParams(body));
    const action = parameters.get('Action') ?? '';
    calls.push(action);
    requireSignature(request, body, { keys: BROKER_KEYS, service: 'iam', region: 'us-east-1' });
    if (parameters.get('Version') !== '2010-05-08') fail('NoSuchVersion', 400, 'Version');
    const fault = action === 'GetRole' ? undefined : faults.shift();
    if (fault === 'throttled') fail('Throttling', 400, 'Rate exceeded');
    if (fault === 'error') fail('ServiceFailure', 500, 'unknown');
    if (fault === 'denied') fail('AccessDenied', 403, `User is not authorized to perform: iam:${action}`);
    if (fault === 'down') return void response.destroy();
    const result = carryOut(action, parameters);
    if (fault === 'done and down') return void response.destroy();
    sendXml(
      response,
      200,
      `<${action}Response xmlns="${NAMESPACE}">${result === '' ? '' : `<${action}Result>${result}</${action}Result>`}
        <ResponseMetadata><RequestId>local</RequestId></ResponseMetadata></${action}Response>`,
    );
  }

  /** @returns what stands in the result */
  function carryOut(action: string, parameters: ReadonlyMap<string, string>): string {
    const name = parameters.get('RoleName') ?? '';
    if (!NAME.test(name)) fail('ValidationError', 400, 'RoleName');
    const role = roles.get(name) ?? fail('NoSuchEntity', 404, `The role with name ${name} cannot be found.`);
    if (action === 'GetRole') return roleXml(name, role);
    const policy = parameters.get('PolicyName') ?? '';
    if (!POLICY_NAME.test(policy)) fail('ValidationError', 400, 'PolicyName');
    if (action === 'PutRolePolicy') {
      put(name, role, policy, parameters.get('PolicyDocument') ?? '');
      return '';
    }
    const document = role.policies.get(policy) ?? fail('NoSuchEntity', 404, `There is no policy ${policy}.`);
    if (action === 'DeleteRolePolicy') {
      role.policies.delete(policy);
      return '';
    }
    if (action !== 'GetRolePolicy') fail('InvalidAction', 400, 'Could not find operation');
    return `<RoleName>${name}</RoleName><PolicyName>${policy}</PolicyName>
      <PolicyDocument>${encodeURIComponent(document)}</PolicyDocument>`;
  }

  function put(name: string, role: Role, policy: string, document: string): void {
    if (!DOCUMENT.test(document)) fail('ValidationError', 400, 'PolicyDocument');
    if (!isPolicy(document)) fail('MalformedPolicyDocument', 400, 'Syntax errors in policy.');
    const others = [...role.policies].filter(([other]) => other !== policy).map(([, text]) => text);
    const size = [...others, document].join('').replaceAll(/\s/g, '').length;
    if (size > MAX_INLINE_CHARACTERS)
      fail('LimitExceeded', 409, `Maximum policy size of 10240 bytes exceeded for role ${name}`);
    role.policies.set(policy, document);
  }

  return {
    ...server,
    calls,
    /** What goes wrong with the next calls that concern a policy, one each. */
    faults,
    roles,
    /** What mayfly has put on the role of this name. */
    denied: (name: string): string | undefined => roles.get(name)?.policies.get('mayfly-revoked'),
  };
}

function roleXml(name: string, { arn }: Role): string {
  const path = arn.slice(arn.indexOf('/'), arn.lastIndexOf('/') + 1);
  return `<Role><Path>${path}</Path><RoleName>${name}</RoleName><RoleId>AROALOCAL</RoleId><Arn>${arn}</Arn>
    <CreateDate>2026-01-01T00:00:00Z</CreateDate></Role>`;
}

/** The grammar, as far as it matters here: no principal in a policy of a role, every statement whole. */
function isPolicy(document: string): boolean {
  try {
    const { Version, Statement } = JSON.parse(document);
    return (
      Version === '2012-10-17' &&
      Array.isArray(Statement) &&
      Statement.length > 0 &&
      Statement.every(
        ({ Effect, Action, Resource, Principal }) =>
          ['Allow', 'Deny'].includes(Effect) &&
          Action !== undefined &&
          Resource !== undefined &&
          Principal === undefined,
      )
    );
  } catch {
    return false;
  }
}
