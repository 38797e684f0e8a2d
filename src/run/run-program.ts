/**
 * A program with credentials and without secrets. We hold the long-lived key and open one session with it; the program
 * gets what lasts as long as it runs: an endpoint of its own where it asks what its next request has to carry. It cannot
 * read the key, and cannot take the credentials along, because each of them is for one request and the key of the
 * session never leaves us.
 *
 *     may it start?      the program is there, and it is tried out that it cannot read a key
 *     open               the session, then each offer (offer.ts)
 *     run                signals go through
 *     close              the offers and the session, however it ended
 *     end                as the program ended
 */
import { tmpdir } from 'node:os';
import type { Environment } from '../config/environment.ts';
import { createAgent } from '../sdk/agent.ts';
import { AgentError } from '../sdk/agent-error.ts';
import type { AgentKey } from '../sdk/agent-key.ts';
import type { FetchLike } from '../sdk/send.ts';
import { type Ending, runChild } from './child.ts';
import { childEnvironment } from './child-environment.ts';
import { type Confinement, confine } from './confinement.ts';
import { requireProgram } from './find-program.ts';
import { findKeyFiles, requireInSight } from './long-lived-keys.ts';
import type { OpenOffer, RunContext } from './offer.ts';
import { createOffers } from './offers.ts';
import { openRunFolder } from './run-folder.ts';
import type { Limits } from './run-tokens.ts';
import { catchSignals, type Signals } from './signals.ts';

export type RunOptions = {
  command: readonly string[];
  identity: {
    issuer: string;
    clientId: string;
    key: AgentKey;
    keyPath: string | undefined;
    dataDirectory: string;
  };
  limits: Limits;
  offers: readonly OpenOffer[];
  /** For the agent. Default: the platform's. */
  fetch?: FetchLike | undefined;
  /** For which actions a token is asked at once, so that nothing starts that is not let. Default: all of the run. */
  provedActions?: readonly string[];
  user?: string | undefined;
  /** Where somebody said that the key is: links may lead from there. */
  keyName?: string | undefined;
  /** Files and folders that the program is kept from, besides keys. */
  hide?: readonly string[] | undefined;
  exposeKey?: boolean | undefined;
  /** Our standard input was the key's. */
  isInputTaken: boolean;
  environment: Environment;
  report(line: string): void;
};

const CLOSE_MILLISECONDS = 3_000;
/** Of our standard streams. */
const OUTPUTS = [1, 2];

/** @throws {RunError} @throws {AgentError} and then nothing was started */
export async function runProgram(options: RunOptions): Promise<Ending> {
  const { command, environment } = options;
  const interrupted = Promise.withResolvers<Ending>();
  const signals = catchSignals((signal) => interrupted.resolve({ signal }));
  try {
    const [name = ''] = command;
    const program = requireProgram(name, environment.PATH);
    const keys = findKeyFiles({ ...options.identity, ...options });
    requireInSight(keys, [program, tmpdir()]);
    const confinement = await confine({
      ...options,
      keys,
      inherited: options.isInputTaken ? OUTPUTS : [0, ...OUTPUTS],
    });
    return await withSession(options, { confinement, signals, interrupted: interrupted.promise });
  } finally {
    signals.release();
  }
}

type Started = { confinement: Confinement; signals: Signals; interrupted: Promise<Ending> };

async function withSession(
  options: RunOptions,
  { confinement, signals, interrupted }: Started,
): Promise<Ending> {
  const { identity, limits } = options;
  const { issuer, clientId, key } = identity;
  const named = options.fetch === undefined ? {} : { fetch: options.fetch };
  const agent = createAgent({ issuer, clientId, key, actions: limits.actions, ...named });
  const folder = openRunFolder(confinement.user);
  const offers = createOffers();

  async function start(): Promise<() => Promise<Ending>> {
    const session = await agent.session({ actions: [] });
    await proveGrants(session, options);
    const { path, handOver } = folder;
    await offers.open(options.offers, { ...options, issuer, session, folder: path, handOver });
    return () =>
      runChild({
        command: confinement.wrap(options.command),
        environment: {
          ...childEnvironment(options.environment, offers.opened()),
          ...identityOf(confinement),
        },
        standardInput: options.isInputTaken ? 'ignore' : 'inherit',
        hasOwnSession: confinement.hasOwnSession,
        signals,
      });
  }

  try {
    const ready = await Promise.race([start(), interrupted]);
    return typeof ready === 'function' ? await ready() : ready;
  } finally {
    const hurried = Promise.withResolvers<void>();
    signals.sendTo(() => hurried.resolve());
    const closed = [agent.close({ withinMilliseconds: CLOSE_MILLISECONDS }), offers.close()];
    await Promise.race([Promise.all(closed), hurried.promise]);
    folder.remove();
  }
}

/**
 * Of many actions each is asked for by itself: they may belong to several resources. One that is refused now will be
 * refused then, which the program may live with; with none there is nothing to start it for.
 */
async function proveGrants(session: RunContext['session'], options: RunOptions): Promise<void> {
  const { limits, provedActions = limits.actions, report } = options;
  const asked = await Promise.allSettled(provedActions.map((action) => session.token({ actions: [action] })));
  const refusals = asked.filter((one) => one.status === 'rejected').map(({ reason }) => reason);
  const isAllDenied = refusals.length === asked.length;
  const [first] = refusals.filter((error) => isAllDenied || !isDenied(error));
  if (first !== undefined) throw first;
  for (const { message, hint = '' } of refusals.filter(isDenied)) report(`${message} ${hint}`.trim());
}

function isDenied(error: unknown): error is AgentError {
  return error instanceof AgentError && (error.code === 'denied' || error.code === 'approval_pending');
}

/** As login(1) has it. */
function identityOf({ user }: Confinement): Record<string, string> {
  return user === undefined ? {} : { HOME: user.home, USER: user.name, LOGNAME: user.name };
}
