/** What IAM says of a request under a session policy, as an implementation says that is not ours. */
import { runSimulation } from '@cloud-copilot/iam-simulate';

const ACCOUNT = '123456789012';

/** A role that may do everything: whatever is refused, the session policy refuses. */
const ANYTHING = {
  Version: '2012-10-17',
  Statement: [{ Effect: 'Allow', Action: '*', Resource: '*' }],
};

export type Asked = {
  /** JSON. */
  policy: string;
  action: string;
  resource: string;
  /** ISO 8601. */
  at: string;
  context?: Record<string, string>;
  /** JSON of an inline policy of the role itself, beside the one that allows anything. */
  onRole?: string;
  sessionName?: string;
};

export async function isAllowed(asked: Asked): Promise<boolean> {
  const { policy, action, resource, at, context = {}, onRole, sessionName = 'tok_1' } = asked;
  const revoked = onRole === undefined ? [] : [{ name: 'mayfly-revoked', policy: JSON.parse(onRole) }];
  const answer = await runSimulation(
    {
      request: {
        principal: `arn:aws:sts::${ACCOUNT}:assumed-role/reports/${sessionName}`,
        action,
        resource: { resource, accountId: ACCOUNT },
        contextVariables: { 'aws:CurrentTime': at, 'aws:userid': `AROALOCAL:${sessionName}`, ...context },
      },
      sessionPolicy: JSON.parse(policy),
      identityPolicies: [{ name: 'anything', policy: ANYTHING }, ...revoked],
      serviceControlPolicies: [],
      resourceControlPolicies: [],
    },
    {},
  );
  if (answer.resultType === 'error') {
    throw new Error(`the simulator does not answer: ${JSON.stringify(answer)}`);
  }
  return answer.overallResult === 'Allowed';
}
