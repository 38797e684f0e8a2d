/**
 * Credentials of AWS that whoever asks gets at once: tools of AWS wait for a second and no longer. In the first half of
 * their life those that are held are given out; after that one caller sets off for the next ones, with a new token, and
 * the others go with it. Nobody who may not have any is given what is left of the old ones.
 */
import { AgentError } from '../sdk/agent-error.ts';
import type { AwsCredentials } from './ask-for-aws.ts';

export type FreshAws = { get(): Promise<AwsCredentials> };

type Held = { credentials: AwsCredentials; askedAt: number };

/** AWS's own clients ask three times, a second each. */
const PATIENCE_MILLISECONDS = 700;
/** What is under way when they end is refused. */
const LAST_MILLISECONDS = 5_000;

export function createFreshAws({
  ask,
  now = () => performance.now(),
}: {
  /** @param leastSeconds how long they have to live, if that can be had */
  ask: (leastSeconds: number) => Promise<AwsCredentials>;
  /** Milliseconds that only ever grow: the clock of the day may be off. */
  now?: () => number;
}): FreshAws {
  let held: Held | undefined;
  let flight: Promise<AwsCredentials> | undefined;

  async function fly(): Promise<AwsCredentials> {
    const askedAt = now();
    const half = (held?.credentials.lifeMilliseconds ?? 0) / 2;
    try {
      const credentials = await ask(half / 1_000);
      held = { credentials, askedAt };
      return credentials;
    } catch (error) {
      if (!isAway(error)) held = undefined;
      throw error;
    } finally {
      flight = undefined;
    }
  }

  const leftOf = ({ credentials, askedAt }: Held) => askedAt + credentials.lifeMilliseconds - now();
  const isFresh = (one: Held) => leftOf(one) > one.credentials.lifeMilliseconds / 2;

  return {
    async get() {
      if (held !== undefined && isFresh(held)) return held.credentials;
      flight ??= fly();
      const before = held;
      if (before === undefined || leftOf(before) < LAST_MILLISECONDS) return flight;
      const { credentials } = before;
      return Promise.race([
        flight.catch((error: unknown) => (isAway(error) ? credentials : Promise.reject(error))),
        patience().then(() => credentials),
      ]);
    },
  };
}

/** Nobody said no. */
function isAway(error: unknown): boolean {
  return error instanceof AgentError && (error.code === 'unavailable' || error.code === 'throttled');
}

function patience(): Promise<void> {
  return new Promise((resolve) => setTimeout(resolve, PATIENCE_MILLISECONDS).unref());
}
