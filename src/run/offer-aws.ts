/**
 * The offer of `--aws`: credentials for one action where every tool of AWS looks for those of its container. The program
 * gets an address and the path of a file with what opens it; the keys that our own environment and `~/.aws` lead to are
 * left out, or tools would find them first. The first credentials are had before the program starts.
 */
import { writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { type AwsRequest, askForAws, forContainer } from './ask-for-aws.ts';
import { requireBearer } from './bearer.ts';
import { createFreshAws } from './fresh-aws.ts';
import { openLocalEndpoint } from './local-endpoint.ts';
import type { OpenOffer } from './offer.ts';
import { newSecret } from './secret.ts';

const PRIVATE_MODE = 0o600;
const ANSWER_MILLISECONDS = 20_000;

/** Whatever a chain of AWS's looks at before it comes to the container's credentials. */
const PAST_THIS_OFFER = [
  'AWS_ACCESS_KEY_ID',
  'AWS_SECRET_ACCESS_KEY',
  'AWS_SESSION_TOKEN',
  'AWS_SECURITY_TOKEN',
  'AWS_CREDENTIAL_EXPIRATION',
  'AWS_ACCOUNT_ID',
  'AWS_PROFILE',
  'AWS_DEFAULT_PROFILE',
  'AWS_SDK_LOAD_CONFIG',
  'AWS_ROLE_ARN',
  'AWS_ROLE_SESSION_NAME',
  'AWS_WEB_IDENTITY_TOKEN_FILE',
  'AWS_BEARER_TOKEN_BEDROCK',
  'AWS_CONTAINER_CREDENTIALS_RELATIVE_URI',
  'AWS_CONTAINER_AUTHORIZATION_TOKEN',
];

export type AwsOfferOptions = Pick<AwsRequest, 'action' | 'arguments'> & {
  /** As whoever started the run said; default: that of the action. */
  region: string | undefined;
};

export function offerAws({ action, arguments: values, region: given }: AwsOfferOptions): OpenOffer {
  return async ({ issuer, session, folder, handOver }) => {
    const over = new AbortController();
    const request = { issuer, action, arguments: values };
    const fresh = createFreshAws({
      ask(leastSeconds) {
        const signal = AbortSignal.any([over.signal, AbortSignal.timeout(ANSWER_MILLISECONDS)]);
        return askForAws(session, request, { leastSeconds, signal });
      },
    });
    const { region: declared } = await fresh.get();
    const region = given ?? declared;

    const secret = newSecret();
    const file = (name: string, text: string) => {
      const path = join(folder, name);
      writeFileSync(path, text, { mode: PRIVATE_MODE, flag: 'wx' });
      handOver(path);
      return path;
    };
    const endpoint = await openLocalEndpoint({
      verbs: [
        {
          method: 'GET',
          name: 'aws',
          guard: requireBearer(() => secret),
          work: async () => forContainer(await fresh.get()),
        },
      ],
    });
    const nothing = file('aws-config', '');
    return {
      environment: {
        AWS_CONTAINER_CREDENTIALS_FULL_URI: endpoint.addressOf('aws'),
        // Tools send what is in it as it stands.
        AWS_CONTAINER_AUTHORIZATION_TOKEN_FILE: file('aws-authorization', `Bearer ${secret}`),
        AWS_CONFIG_FILE: nothing,
        AWS_SHARED_CREDENTIALS_FILE: nothing,
        // Where this offer fails, the role of the machine is not to take its place.
        AWS_EC2_METADATA_DISABLED: 'true',
        AWS_REGION: region,
        AWS_DEFAULT_REGION: region,
      },
      withheld: PAST_THIS_OFFER,
      async close() {
        over.abort();
        await endpoint.close();
      },
    };
  };
}
