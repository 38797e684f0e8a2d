/**
 * What resource servers say about themselves (RFC 9728): what they are called, which actions there are, whose tokens
 * they take. Who names another broker than ours is told nothing by us, and nobody else is asked about our resource.
 */
import { type AgentClock, type Moment, momentOf, since, unlessAborted } from './agent-clock.ts';
import { giveUp } from './agent-error.ts';
import { isAction } from './challenge.ts';
import { covers, parseSafeUrl, wellKnown } from './places.ts';
import { readAnswer } from './read-answer.ts';
import { type FetchLike, NetworkFailure, sendPlainly } from './send.ts';

export type Resource = {
  /** As the broker is told it (RFC 8707). */
  name: string;
  actions: readonly string[];
};

export type ResourceDirectory = {
  /**
   * @param place.named where its challenge says that its document is
   * @returns null when it has none at the usual places
   * @throws {AgentError} when there is one that is not to be believed, or not for our broker
   */
  describe(place: { url: URL; named: string | undefined }, signal: AbortSignal): Promise<Resource | null>;
};

type Document = Readonly<Record<string, unknown>> | null;
type Kept = { document: Promise<Document>; at: Moment };

const NAME = 'oauth-protected-resource';
const MAX_DOCUMENTS = 100;
const KEPT_MILLISECONDS = 300_000;
const ANSWER_MILLISECONDS = 10_000;

export function createResourceDirectory(options: {
  issuer: string;
  fetch: FetchLike;
  clock: AgentClock;
  lifetime: AbortSignal;
}): ResourceDirectory {
  const { issuer, fetch, clock, lifetime } = options;
  const kept = new Map<string, Kept>();

  async function read(url: string): Promise<Document> {
    const headers = { Accept: 'application/json' };
    try {
      const sent = { headers, signal: lifetime, withinMilliseconds: ANSWER_MILLISECONDS };
      const response = await sendPlainly(fetch, url, sent);
      const document = await readAnswer(response);
      return response.ok ? document : null;
    } catch (error) {
      lifetime.throwIfAborted();
      if (!(error instanceof NetworkFailure)) throw error;
      return giveUp(
        'unavailable',
        `The metadata of ${new URL(url).origin} cannot be had (${error.message}).`,
      );
    }
  }

  function documentAt(url: string): Promise<Document> {
    const known = kept.get(url);
    if (known !== undefined && since(known.at, clock) < KEPT_MILLISECONDS) return known.document;
    const document = read(url);
    kept.delete(url);
    kept.set(url, { document, at: momentOf(clock) });
    document.then(
      (found) => found === null && kept.delete(url),
      () => kept.delete(url),
    );
    const [oldest = ''] = kept.keys();
    if (kept.size > MAX_DOCUMENTS) kept.delete(oldest);
    return document;
  }

  return {
    async describe({ url, named }, signal) {
      for (const place of named === undefined ? usualPlaces(url) : [ownPlace(named, url)]) {
        const document = await unlessAborted(documentAt(place), signal);
        if (document !== null) return readResource(document, { url, issuer });
      }
      if (named !== undefined) giveUp('protocol', `${url.origin} names metadata that is not there.`);
      return null;
    },
  };
}

function usualPlaces(url: URL): string[] {
  return [...new Set([wellKnown(NAME, url), wellKnown(NAME, new URL(url.origin))])];
}

/** Somebody else's document could send us anywhere. */
function ownPlace(named: string, { origin }: URL): string {
  if (parseSafeUrl(named)?.origin === origin) return named;
  return giveUp('protocol', `${origin} says that its metadata is at another origin, which is not asked.`);
}

function readResource(
  { resource, authorization_servers: servers, scopes_supported: actions }: Readonly<Record<string, unknown>>,
  { url, issuer }: { url: URL; issuer: string },
): Resource {
  const named = parseSafeUrl(resource);
  // RFC 9728 §3.3: otherwise one resource server could get tokens for another one
  if (named === null || !covers(named, url)) {
    giveUp('protocol', `The metadata of ${url.origin} is not about what was asked for there.`);
  }
  if (!Array.isArray(servers) || !servers.includes(issuer)) {
    giveUp('misconfigured', `${url.origin} does not say that it takes tokens of ${issuer}, so it gets none.`);
  }
  return { name: resource as string, actions: Array.isArray(actions) ? actions.filter(isAction) : [] };
}
