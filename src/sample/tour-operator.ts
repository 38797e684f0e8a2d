/** An operator of the tour: the same kind of client as an agent, with tokens for the management API. */
import { callWithToken, type Exchange, openSession } from '../sdk/bound-session.ts';
import { createClient } from '../sdk/client.ts';
import type { Broker } from '../sdk/discover-broker.ts';
import { readDevelopmentKey } from './development-key.ts';
import { jsonOf } from './exchange-text.ts';

export type ManagementCall = { may: string; method: 'GET' | 'POST'; path: string; json?: object };

export type TourOperator = {
  name: string;
  /** Gets a token for what is to be asked later, so that asking takes one request. */
  prepare(may: string): Promise<void>;
  /** The exchanges of the request itself; before it, a token for it is got if there is none. */
  ask(call: ManagementCall): Promise<Exchange[]>;
};

/** @throws {SampleError} when the broker never ran with this data directory */
export async function createTourOperator(
  name: string,
  { broker, dataDirectory }: { broker: Broker; dataDirectory: string },
): Promise<TourOperator> {
  const client = await createClient({ name, key: readDevelopmentKey(name, { dataDirectory }), ...broker });
  const session = await openSession();

  /** They live longer than the tour takes. */
  const tokens = new Map<string, string>();

  /** @returns null once there is one; else the refusal, which is then the exchange to see */
  async function getToken(may: string): Promise<Exchange[] | null> {
    if (tokens.has(may)) return null;
    const exchanges = await client.askForToken(session, { scope: may });
    const { access_token: token } = jsonOf(exchanges.at(-1)?.response.body ?? '');
    if (typeof token !== 'string') return exchanges;
    tokens.set(may, token);
    return null;
  }

  return {
    name,
    async prepare(may) {
      await getToken(may);
    },
    async ask({ may, method, path, json }) {
      const refused = await getToken(may);
      const url = `${broker.issuer}${path}`;
      return refused ?? callWithToken(session, { token: tokens.get(may) ?? '', method, url, json });
    },
  };
}
