/**
 * `npm run tour`: a real agent, a real broker, a real resource server and a thief, on real sockets. Whatever does
 * not run yet is started for the tour and stopped after it.
 */
import type { Configuration } from '../config/configuration.ts';
import { createClient } from '../sdk/client.ts';
import type { Clock } from '../time/clock.ts';
import { readDevelopmentKey, SampleError } from './development-key.ts';
import { jsonOf } from './exchange-text.ts';
import { startResourceServer } from './resource-server.ts';
import { createStory, type StoryOutput, Surprise } from './story.ts';
import { openTourBroker } from './tour-broker.ts';
import { tellKill } from './tour-kill.ts';
import { createTourOperator } from './tour-operator.ts';
import { tellRevocation } from './tour-revocation.ts';
import { tellTour } from './tour-steps.ts';

const AGENT = 'report-writer';
const FIRST_OPERATOR = 'olivia';
const SECOND_OPERATOR = 'omar';
const ANSWER_MILLISECONDS = 3_000;

export type TourOptions = {
  configuration: Configuration;
  output: StoryOutput;
  clock: Clock;
  signal: AbortSignal;
};

/**
 * @returns true when every step went as it has to
 * @throws {SampleError} or `ListenError` when something stands in the way, with what to do
 */
export async function runTour({ configuration, output, clock, signal }: TourOptions): Promise<boolean> {
  const story = createStory(output, signal);
  await using started = new AsyncDisposableStack();
  story.say(`The broker is ${configuration.issuer}.`);
  const broker = await openTourBroker(configuration);
  started.defer(broker.stop);
  if (broker.isOwn) story.say('None was running, so one was started for this tour.');
  signal.throwIfAborted();
  const url = await openResourceServer(configuration, clock, started);
  story.say(`The resource server is ${url}.`);
  const agent = await createClient({
    name: AGENT,
    key: readDevelopmentKey(AGENT, configuration),
    issuer: configuration.issuer,
    tokenEndpoint: broker.tokenEndpoint,
  });
  const { issuer, dataDirectory } = configuration;
  const found = { broker: { issuer, tokenEndpoint: broker.tokenEndpoint }, dataDirectory };
  const operator = await createTourOperator(FIRST_OPERATOR, found);
  const colleague = await createTourOperator(SECOND_OPERATOR, found);
  const places = { customersUrl: `${url}/customers`, exportsUrl: `${url}/exports` };
  const { customersUrl } = places;

  async function tellAll(): Promise<void> {
    await tellTour(story, { agent, places });
    await tellRevocation(story, { agent, operator, customersUrl });
    const atTheEnd = (work: () => Promise<void>) => started.defer(work);
    await tellKill(story, { agent, operator, colleague, issuer, customersUrl, atTheEnd });
  }

  try {
    await Promise.race([tellAll(), rejectionOf(signal)]);
    story.say('\nEverything went as it has to.');
    return true;
  } catch (error) {
    if (!(error instanceof Surprise)) throw error;
    story.say(`\nThe tour ends here: ${error.message}.`);
    return false;
  }
}

/** The sample server that runs, when it belongs to this broker; else one of our own. */
async function openResourceServer(
  configuration: Configuration,
  clock: Clock,
  started: AsyncDisposableStack,
): Promise<string> {
  const { issuer, samplePort } = configuration;
  const url = `http://127.0.0.1:${samplePort}`;
  const answer = await fetch(`${url}/.well-known/oauth-protected-resource`, {
    signal: AbortSignal.timeout(ANSWER_MILLISECONDS),
  }).catch(() => null);
  if (answer !== null) {
    const { authorization_servers: issuers } = jsonOf(await answer.text());
    if (Array.isArray(issuers) && issuers.includes(issuer)) return url;
    throw new SampleError(
      `What answers at ${url} belongs to another broker. Choose another MAYFLY_SAMPLE_PORT.`,
    );
  }
  const server = await startResourceServer({ configuration, log: SILENT, clock });
  started.defer(server.stop);
  await server.brokerFound;
  return server.url;
}

const SILENT = { info: () => undefined, warn: () => undefined, error: () => undefined };

function rejectionOf(signal: AbortSignal): Promise<never> {
  return new Promise((_resolve, reject) => {
    if (signal.aborted) reject(signal.reason);
    signal.addEventListener('abort', () => reject(signal.reason));
  });
}
