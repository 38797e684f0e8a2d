/** `--aws` of a run: which of its actions gives credentials of AWS, and the offer that comes of it. */
import type { Environment } from '../config/environment.ts';
import type { OpenOffer } from '../run/offer.ts';
import { offerAws } from '../run/offer-aws.ts';
import { whoAmI } from '../sdk/who-am-i.ts';
import type { AgentIdentity } from './agent-identity.ts';
import type { AwsArguments } from './aws-commands.ts';
import { fail } from './failure.ts';

export type AwsRunOptions = { aws: boolean; arguments?: AwsArguments; action: readonly string[] };

export type AwsRun = { action: string; offer: OpenOffer };

const ANSWER_MILLISECONDS = 30_000;

/**
 * @returns nothing where it was not asked for
 * @throws {CommandFailure} @throws {AgentError}
 */
export async function awsOfferFor(
  { aws, action: actions, arguments: values }: AwsRunOptions,
  identity: AgentIdentity,
  environment: Environment,
): Promise<AwsRun | undefined> {
  if (!aws) {
    return values === undefined ? undefined : fail('usage', '--arguments are those of the action of --aws.');
  }
  const action = await theOne(actions, identity);
  const { AWS_REGION, AWS_DEFAULT_REGION } = environment;
  const region = AWS_REGION || AWS_DEFAULT_REGION || undefined;
  return { action, offer: offerAws({ action, arguments: values ?? {}, region }) };
}

/** The broker knows which; of several no tool could tell them apart. */
async function theOne(actions: readonly string[], { issuer, clientId, key }: AgentIdentity): Promise<string> {
  const { actions: granted } = await whoAmI({
    issuer,
    clientId,
    key,
    fetch,
    withinMilliseconds: ANSWER_MILLISECONDS,
  });
  const all: { name?: unknown; aws?: unknown }[] = Array.isArray(granted) ? granted : [];
  const giving = all.filter(({ aws }) => aws === true).map(({ name }) => String(name));
  const [chosen, ...others] = actions.filter((name) => giving.includes(name));
  if (chosen !== undefined && others.length === 0) return chosen;
  const choice = giving.join(', ') || 'none';
  return fail(
    'usage',
    `--aws is for exactly one --action that gives credentials of AWS. Of ${clientId} that is: ${choice}.`,
  );
}
