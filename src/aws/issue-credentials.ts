/**
 * AWS credentials for one action: the policy is compiled for this call, STS is asked for the least that it gives, and
 * what it gave leaves only when the record says so and the token still lives. They end for their holder when the token
 * does; what AWS would still take from them after that, the policy in them denies.
 */
import type { AuditEntry } from '../audit/audit-entry.ts';
import type { ActiveCatalogue } from '../catalogue/active-catalogue.ts';
import type { AwsAccess } from '../catalogue/aws-access.ts';
import type { Action } from '../catalogue/catalogue.ts';
import { type ArgumentCheck, compileArgumentSchema } from '../catalogue/index.ts';
import type { Log } from '../errors/log.ts';
import { refuse } from '../errors/refusal.ts';
import { textDigest } from '../operators/named-target.ts';
import type { Clock } from '../time/clock.ts';
import { newIdentifier } from '../time/identifier.ts';
import type { AgentClaims } from './agent-guard.ts';
import { compilePolicy } from './compile-policy.ts';
import type { CredentialStore } from './credential-store.ts';
import { sessionIdentity } from './session-identity.ts';
import type { AwsCredentials, Sts } from './sts.ts';

/** What the agent gets; `expires` is the end of its token, whatever AWS says. */
export type IssuedCredentials = AwsCredentials & Pick<AwsAccess, 'account' | 'roleArn' | 'region'>;

/** An action of this catalogue with arguments that its schema takes. */
export type AcceptedCall = {
  action: Action;
  aws: AwsAccess;
  values: Readonly<Record<string, unknown>>;
};

export type CredentialIssuer = {
  /** @throws {Refusal} `arguments_not_accepted`, `catalogue_differs` */
  accept(action: string, values: Readonly<Record<string, unknown>>): AcceptedCall;
  /** @throws {Refusal} `aws_unavailable`, `aws_refused`, `token_inactive` */
  issue(accepted: AcceptedCall, by: Asker): Promise<IssuedCredentials>;
};

/** Whoever was let in, and the line of the record that says so. */
export type Asker = { claims: AgentClaims; askedBy: string; requestId: string; source: string };

const ARGUMENTS_HINT = 'The arguments have to be those that the schema of the action describes.';

export function createCredentialIssuer(options: {
  catalogue: ActiveCatalogue;
  sts: Sts;
  store: Pick<CredentialStore, 'issue' | 'withdraw'>;
  log: Log;
  clock: Clock;
}): CredentialIssuer {
  const { catalogue, sts, store, log, clock } = options;
  const checks = new Map<string, ArgumentCheck>();

  function accepts({ name, arguments: schema }: Action, values: object): boolean {
    if (schema === undefined) return Object.keys(values).length === 0;
    const check = checks.get(name) ?? compileArgumentSchema(schema);
    checks.set(name, check);
    return check(values);
  }

  /** What AWS did not give need not be counted by any receipt; if this fails it is, until the token ends. */
  async function ask({ aws }: AcceptedCall, policy: string, { claims, askedBy }: Asker) {
    const { account, roleArn, region, via } = aws;
    try {
      return await sts.assume({ account, roleArn, region, via, policy, ...sessionIdentity(claims) });
    } catch (error) {
      await store
        .withdraw(askedBy)
        .catch((err) => log.warn({ err, askedBy }, 'receipts may count AWS credentials that nobody got'));
      throw error;
    }
  }

  function entryOf(
    { action, aws }: AcceptedCall,
    { claims, requestId, source }: Asker,
    { policy, expires }: { policy: string; expires: number },
  ): AuditEntry {
    return {
      id: newIdentifier('aud', clock),
      action: 'aws.credentials_issued',
      outcome: 'allowed',
      requestId,
      actor: claims.client_id,
      tokenId: claims.jti,
      details: {
        action: action.name,
        source,
        agent: claims.sub,
        role_arn: aws.roleArn,
        region: aws.region,
        policy_sha256: textDigest(policy),
        expires,
      },
    };
  }

  return {
    accept(name, values) {
      const action = catalogue.catalogue.actions.get(name);
      if (action?.aws === undefined) refuse('catalogue_differs');
      if (!accepts(action, values)) refuse('arguments_not_accepted', { hint: ARGUMENTS_HINT });
      return { action, aws: action.aws, values };
    },

    async issue(accepted, by) {
      const { aws, values } = accepted;
      const { jti, exp } = by.claims;
      const policy = compilePolicy(aws.policy, { values, until: exp });
      const given = await ask(accepted, policy, by);
      const expires = Math.min(given.expires, exp);
      const entry = entryOf(accepted, by, { policy, expires });
      if (!(await store.issue({ jti, askedBy: by.askedBy, entry }))) {
        refuse('token_inactive', { hint: 'It was revoked or expired while AWS was asked.' });
      }
      const { account, roleArn, region } = aws;
      return { ...given, expires, account, roleArn, region };
    },
  };
}
