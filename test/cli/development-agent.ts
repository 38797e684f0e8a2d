/** The agent and the operators that come with `npm start`, for tests of the command line. */

import { readDevelopmentKey } from '../../src/sample/development-key.ts';
import { type BoundSession, type Exchange, openSession } from '../../src/sdk/bound-session.ts';
import { createClient } from '../../src/sdk/client.ts';
import type { Place } from '../sample/development-broker.ts';

export type Run = { session: BoundSession; id: string; jti: string };

export async function developmentAgent({ configuration }: Place, name = 'report-writer') {
  const { issuer } = configuration;
  const key = readDevelopmentKey(name, configuration);
  const client = await createClient({ name, key, issuer, tokenEndpoint: `${issuer}/oauth/token` });

  /** What the token endpoint answers, whatever it is. */
  async function ask(session: BoundSession): Promise<Record<string, unknown>> {
    const exchanges: Exchange[] = await client.askForToken(session, { scope: 'db:read:customers' });
    return JSON.parse(exchanges.at(-1)?.response.body ?? '{}');
  }

  return {
    ask,
    askAnew: async () => ask(await openSession()),

    /** A session with a token in it. */
    async run(): Promise<Run> {
      const session = await openSession();
      const body = await ask(session);
      const [, claims = ''] = String(body.access_token).split('.');
      const { jti } = JSON.parse(Buffer.from(claims, 'base64url').toString());
      return { session, id: String(body.session_id), jti };
    },
  };
}

export type DevelopmentAgent = Awaited<ReturnType<typeof developmentAgent>>;
