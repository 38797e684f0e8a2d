/** The HTTP edge of AWS credentials, and what AWS reads of mayfly: only where some action gives credentials. */
import { z } from 'zod';
import { ACTION_NAME } from '../catalogue/names.ts';
import { refuse } from '../errors/refusal.ts';
import type { Answer, Call } from '../http/route.ts';
import { JWS_ALGORITHMS } from '../jws/jwk.ts';
import type { AgentGuard } from './agent-guard.ts';
import { momentOf } from './compile-policy.ts';
import type { CredentialIssuer, IssuedCredentials } from './issue-credentials.ts';
import { openidConfiguration } from './web-identity.ts';

export const CREDENTIALS_PATH = '/v1/aws/credentials';
export const AWS_METADATA_PATH = '/.well-known/oauth-protected-resource/v1/aws';

export type AwsRoutes = {
  credentials: (call: Call) => Promise<Answer>;
  metadata: (call: Call) => Answer;
  openid: (call: Call) => Answer;
  jwks: (call: Call) => Answer;
};

export type AwsParts = {
  issuer: string;
  /** Audience of the tokens. */
  resource: string;
  guard: AgentGuard;
  credentials: CredentialIssuer;
  jwks: () => object;
  /** Whether any action gives credentials, and whether any does so by mayfly's word. */
  gives: { any: boolean; byWebIdentity: boolean };
};

const requestSchema = z.strictObject({
  /** It stands in a challenge, also of whoever shows no token: so it has to look like one. */
  action: ACTION_NAME.schema,
  arguments: z.record(z.string(), z.unknown()).default({}),
  format: z.enum(['plain', 'credential_process', 'container']).default('plain'),
});

export function createAwsRoutes({ issuer, resource, guard, credentials, jwks, gives }: AwsParts): AwsRoutes {
  const openid = openidConfiguration(issuer);
  const metadata = {
    resource,
    authorization_servers: [issuer],
    bearer_methods_supported: ['header'],
    resource_name: 'AWS credentials by mayfly',
    dpop_bound_access_tokens_required: true,
    dpop_signing_alg_values_supported: JWS_ALGORITHMS,
  };
  return {
    async credentials(call) {
      requireSome(gives.any);
      const { action, arguments: values, format } = parseRequest(call.json);
      const { requestId, source } = call;
      const issued = await guard.require(call, action, {
        accept: () => credentials.accept(action, values),
        act: (accepted, claims, askedBy) =>
          credentials.issue(accepted, { claims, askedBy, requestId, source: source.address }),
      });
      return { body: FORMATS[format](issued) };
    },
    metadata() {
      requireSome(gives.any);
      return { body: metadata };
    },
    openid() {
      requireSome(gives.byWebIdentity);
      return { body: openid };
    },
    jwks() {
      requireSome(gives.byWebIdentity);
      return { body: jwks() };
    },
  };
}

/** As if it were not there: nothing of AWS is, where no action gives any of it. */
function requireSome(some: boolean): void {
  if (!some) refuse('route_unknown');
}

function parseRequest(json: unknown): z.output<typeof requestSchema> {
  const result = requestSchema.safeParse(json);
  if (result.success) return result.data;
  return refuse('request_malformed', {
    hint: 'The members are action, arguments and format (plain, credential_process or container).',
  });
}

/** What every shape has. */
function common({ accessKeyId, secretAccessKey, expires, account }: IssuedCredentials) {
  return {
    AccessKeyId: accessKeyId,
    SecretAccessKey: secretAccessKey,
    Expiration: momentOf(expires),
    AccountId: account,
  };
}

const FORMATS = {
  plain: (issued: IssuedCredentials) => ({
    ...common(issued),
    SessionToken: issued.sessionToken,
    RoleArn: issued.roleArn,
    Region: issued.region,
  }),
  /** What `credential_process` prints for AWS's tools. */
  credential_process: (issued: IssuedCredentials) => ({
    Version: 1,
    ...common(issued),
    SessionToken: issued.sessionToken,
  }),
  /** What AWS's tools read at AWS_CONTAINER_CREDENTIALS_FULL_URI. */
  container: (issued: IssuedCredentials) => ({
    ...common(issued),
    Token: issued.sessionToken,
    RoleArn: issued.roleArn,
  }),
};
