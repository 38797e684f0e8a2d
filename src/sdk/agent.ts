/**
 * The agent's side of mayfly. An agent holds one long-lived key, opens sessions with keys that are made for them, and
 * in each of them gets tokens for what it is about to do. Tokens live for minutes, so getting one is not something to
 * do once at the start: it is part of every call, and this is where it happens.
 *
 * Nothing secret is a member of anything that is handed out: keys and tokens live in closures.
 */
import type { HeldToken, Wanted } from './access-token.ts';
import { type AgentClock, systemClock, unlessAborted } from './agent-clock.ts';
import { AgentError, giveUp } from './agent-error.ts';
import { type AgentKey, openKey } from './agent-key.ts';
import { type AgentFetch, createAuthorisedFetch } from './authorised-fetch.ts';
import { createBrokerLink } from './broker-link.ts';
import { isAction } from './challenge.ts';
import { createDemands } from './demands.ts';
import { createNonces } from './nonces.ts';
import { type Call, createCall } from './one-call.ts';
import { parseSafeUrl, requireIssuer } from './places.ts';
import { createPresenter, type Grant } from './presenter.ts';
import { createResourceDirectory } from './resource-directory.ts';
import type { NamedCall, Run } from './run.ts';
import type { FetchLike } from './send.ts';
import { createServerTimes } from './server-times.ts';
import { createSessions, type Ending } from './sessions.ts';
import { type AgentToken, showToken } from './shown-token.ts';

export type AgentOptions = {
  /** The broker's name, to the letter: `https://mayfly.example.com`. */
  issuer: string;
  /** As the catalogue declares this agent: `report-writer`. */
  clientId: string;
  key: AgentKey | Promise<AgentKey>;
  /** Never ask for others than these; and ask for these where a resource does not say. Default: as resources say. */
  actions?: readonly string[];
  /** A resource that need not be asked what it is called; with `actions`. */
  resource?: string;
  /** 60 to 900. Default: as the catalogue says of each action. */
  tokenLifetimeSeconds?: number;
  /** For a proxy, or certificates of its own. Default: the platform's. */
  fetch?: FetchLike;
  clock?: AgentClock;
  /** 0 to 1, for jitter alone. */
  random?: () => number;
};

export type TokenRequest = {
  actions?: readonly string[];
  resource?: string;
  /** Of one that is held and ends sooner, the next one is waited for. */
  leastSeconds?: number;
  signal?: AbortSignal;
};

/** One run. Its key was made for it and is nowhere else. */
export type AgentSession = {
  /** Of the broker; undefined until its first token. */
  readonly id: string | undefined;
  /** Like the platform's, and may be handed to libraries in its place. @throws {AgentError} when there is no token */
  fetch: AgentFetch;
  /** @throws {AgentError} */
  token(request?: TokenRequest): Promise<AgentToken>;
  /** With a token for this call alone. @throws {AgentError} */
  call: Call;
  /** Ends it at the broker: every token of it is dead. Never rejects; done again, does nothing. */
  close(options?: Partial<Ending>): Promise<void>;
};

/** Its own members are those of a session that goes on: when it ends another one takes its place. */
export type Agent = AgentSession & {
  /** Opens one that is a run by itself, and does not go on after its end; with a token, unless `actions` is empty. */
  session(request?: TokenRequest): Promise<AgentSession>;
};

const CLOSE_MILLISECONDS = 3_000;

type Minter = {
  id(): string | undefined;
  mint(work: (run: Run) => Promise<HeldToken>): Promise<{ run: Run; token: HeldToken }>;
  close(ending: Ending): Promise<void>;
};

/** @throws {AgentError} `misconfigured`; for what is wrong with the key, at its first use */
export function createAgent(options: AgentOptions): Agent {
  const { issuer, clientId, clock = systemClock, random = Math.random } = options;
  const { fetch = (url, init) => globalThis.fetch(url, init), tokenLifetimeSeconds } = options;
  checkOptions(options);
  const lifetime = new AbortController();
  const signer = openKey(options.key);
  signer.catch(() => undefined); // whoever needs it is told
  const times = createServerTimes({ clock, home: requireIssuer(issuer).origin });
  const nonces = createNonces();
  const seen = { issuer, fetch, clock, lifetime: lifetime.signal };
  const link = createBrokerLink({ ...seen, clientId, signer, random, times, nonces });
  const sessions = createSessions({ ...seen, link, random, tokenLifetimeSeconds });
  const directory = createResourceDirectory(seen);
  const demands = createDemands({ directory, declared: options });
  const presenter = createPresenter({ fetch, times, nonces });

  function faceOf({ id, mint, close }: Minter, isClosed: AbortSignal): AgentSession {
    async function grant(work: (run: Run) => Promise<HeldToken>, signal?: AbortSignal): Promise<Grant> {
      isClosed.throwIfAborted();
      const { run, token } = await unlessAborted(mint(work), signal);
      return { token, key: run.key, forget: () => run.tokens.forget(token) };
    }

    const provide = (wanted: Wanted, signal?: AbortSignal, leastMilliseconds = 0) =>
      grant((run) => run.tokens.get(wanted, { leastMilliseconds }), signal);
    const provideForCall = (call: NamedCall, signal: AbortSignal) =>
      grant((run) => run.mintForCall(call), signal);

    return {
      get id() {
        return id();
      },
      fetch: createAuthorisedFetch({ provide, demands, presenter }),
      call: createCall({ provide: provideForCall, presenter }),
      async token(request = {}) {
        const leastMilliseconds = (request.leastSeconds ?? 0) * 1_000;
        const granted = await provide(wantedBy(request, options), request.signal, leastMilliseconds);
        return showToken(granted.token, {
          clock,
          credentials: ({ url, signal = lifetime.signal, ...request }) =>
            presenter.credentials({ ...request, url: new URL(url), signal }, granted),
        });
      },
      close: ({ withinMilliseconds = CLOSE_MILLISECONDS } = {}) => close({ withinMilliseconds }),
    };
  }

  async function openSession(request: TokenRequest = {}): Promise<AgentSession> {
    lifetime.signal.throwIfAborted();
    const run = await sessions.open();
    const over = new AbortController();
    const minter: Minter = {
      id: run.id,
      mint: async (work) => ({ run, token: await work(run) }),
      async close(ending) {
        if (over.signal.aborted) return;
        over.abort(closed());
        await sessions.end(run, ending);
      },
    };
    const session = faceOf(minter, AbortSignal.any([over.signal, lifetime.signal]));
    const isNamed = (request.actions ?? options.actions ?? []).length > 0;
    await (isNamed ? session.token(request) : unlessAborted(link.find(lifetime.signal), request.signal));
    return session;
  }

  let currentId: () => string | undefined = () => undefined;
  const own: Minter = {
    id: () => currentId(),
    async mint(work) {
      const minted = await sessions.withCurrent(work);
      currentId = minted.run.id;
      return minted;
    },
    async close(ending) {
      if (lifetime.signal.aborted) return;
      lifetime.abort(closed());
      await sessions.endAll(ending);
    },
  };
  const face = faceOf(own, lifetime.signal);
  return Object.defineProperty({ ...face, session: openSession }, 'id', {
    get: () => own.id(),
    enumerable: true,
  }) as Agent;
}

function closed(): AgentError {
  return new AgentError('closed', 'This was closed, and asks for nothing any more.');
}

function wantedBy({ actions, resource }: TokenRequest, declared: AgentOptions): Wanted {
  const wanted = actions ?? declared.actions;
  if (wanted !== undefined && wanted.length > 0)
    return { actions: wanted, resource: resource ?? declared.resource };
  return giveUp('misconfigured', 'A token is for actions: say which ones.');
}

function checkOptions({ clientId, actions = [], resource }: AgentOptions): void {
  if (typeof clientId !== 'string' || clientId === '') {
    giveUp('misconfigured', 'clientId is the name that the catalogue declares for this agent.');
  }
  if (!actions.every(isAction)) giveUp('misconfigured', 'actions are names like db:read:customers.');
  if (resource !== undefined && parseSafeUrl(resource) === null) {
    giveUp('misconfigured', 'resource has to be an https URL, or an http one on this machine.');
  }
}
