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
};

export async function isAllowed({ policy, action, resource, at, context = {} }: Asked): Promise<boolean> {
  const answer = await runSimulation(
    {
      request: {
        principal: `arn:aws:sts::${ACCOUNT}:assumed-role/reports/tok_1`,
        action,
        resource: { resource, accountId: ACCOUNT },
        contextVariables: { 'aws:CurrentTime': at, ...context },
      },
      sessionPolicy: JSON.parse(policy),
      identityPolicies: [{ name: 'anything', policy: ANYTHING }],
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
