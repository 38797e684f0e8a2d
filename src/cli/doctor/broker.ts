/** Whether what answers is the broker that it should be, whether it would mint, and what time it is there. */
import { AgentError } from '../../sdk/agent-error.ts';
import { askBroker, readBroker } from '../../sdk/discover-broker.ts';
import { readAnswer } from '../../sdk/read-answer.ts';
import { NetworkFailure, sendPlainly } from '../../sdk/send.ts';
import { MAX_SKEW_SECONDS } from '../../sdk/server-times.ts';
import { type Finding, failed, type Hop, ok, warning } from './hop.ts';
import { isTimeout } from './network.ts';

/** What nobody notices. */
const SMALL_SKEW_SECONDS = 5;
const MILLISECONDS = 1_000;

export function brokerHops(issuer: string, withinMilliseconds: number): Hop[] {
  let skewSeconds: number | null = null;

  async function lookAtBroker(): Promise<Finding> {
    const signal = AbortSignal.timeout(withinMilliseconds);
    const askedAt = Date.now();
    try {
      const response = await askBroker(fetch, issuer, signal);
      skewSeconds = skewOf(response, askedAt);
      const copy = response.clone();
      const [broker, answer] = await Promise.allSettled([readBroker(response, issuer), readAnswer(copy)]);
      if (broker.status === 'fulfilled')
        return ok(`It is ${issuer}, and gives tokens at ${broker.value.tokenEndpoint}.`);
      const named = answer.status === 'fulfilled' ? answer.value.issuer : undefined;
      return notTheBroker(broker.reason, { issuer, named, response });
    } catch (error) {
      return noAnswer(error, issuer, withinMilliseconds);
    }
  }

  async function lookWhetherReady(): Promise<Finding | null> {
    const signal = AbortSignal.timeout(withinMilliseconds);
    try {
      const response = await sendPlainly(fetch, `${issuer}/readyz`, { signal, withinMilliseconds });
      const { checks } = await readAnswer(response);
      if (response.ok) return ok('It says that it would mint.');
      // A proxy may well keep this to itself.
      return response.status === 503 ? notReady(checks) : null;
    } catch {
      return null;
    }
  }

  return [
    { name: 'broker', needs: ['tls'], ends: 'unreachable', look: lookAtBroker },
    { name: 'ready', needs: ['broker'], ends: 'server', look: lookWhetherReady },
    { name: 'clock', needs: ['broker'], ends: 'authentication', look: async () => judgeClock(skewSeconds) },
  ];
}

/** How far ahead the clock here is; `Date` is cut to seconds, and as old as half of the way. */
function skewOf({ headers }: Response, askedAt: number): number | null {
  const said = Date.parse(headers.get('date') ?? '');
  return Number.isNaN(said) ? null : ((askedAt + Date.now()) / 2 - said) / MILLISECONDS - 0.5;
}

function judgeClock(skewSeconds: number | null): Finding {
  const fix = 'timedatectl set-ntp true (or the same on the machine of the broker, whichever is wrong)';
  if (skewSeconds === null)
    return warning('The broker does not say what time it is.', 'A proxy may take Date away.');
  const off = Math.round(Math.abs(skewSeconds));
  const way = skewSeconds > 0 ? 'ahead of' : 'behind';
  if (off <= SMALL_SKEW_SECONDS) return ok('It goes as the clock of the broker does.');
  const says = `The clock here is ${off} s ${way} the broker's`;
  if (off > MAX_SKEW_SECONDS)
    return failed(`${says}; more than ${MAX_SKEW_SECONDS} s are not put right.`, fix);
  return warning(`${says}; mayfly's clients put that right by themselves.`, fix);
}

function notReady(checks: unknown): Finding {
  const bad = Object.entries(typeof checks === 'object' && checks !== null ? checks : {})
    .filter(([, check]) => check?.ok === false)
    .map(([name, { detail = '' }]) => `${name} ${detail}`.trim());
  const says = `It says that it would not mint now: ${bad.join('; ') || 'and not why'}.`;
  return failed(says, 'docs/runbook.md says of each check of /readyz what to do.');
}

function notTheBroker(
  reason: unknown,
  { issuer, named, response }: { issuer: string; named: unknown; response: Response },
): Finding {
  if (!(reason instanceof AgentError)) throw reason;
  const about = `(${response.status} ${response.headers.get('content-type') ?? 'of no type'})`;
  if (named === issuer)
    return failed(reason.message, 'Something between changes its answers: ask it without a proxy.');
  if (typeof named !== 'string') {
    const fix = `Look at what it is: curl -i ${issuer}/.well-known/oauth-authorization-server`;
    return failed(`What answers at ${issuer} is no broker ${about}.`, fix);
  }
  return failed(
    `What answers at ${issuer} calls itself ${named}, and names are compared to the letter.`,
    `Use its name: --url ${named} (or MAYFLY_ISSUER); if that is wrong, put MAYFLY_ISSUER of the broker right.`,
  );
}

function noAnswer(error: unknown, issuer: string, withinMilliseconds: number): Finding {
  if (error instanceof AgentError) {
    return failed(error.message, 'Ask the broker itself, by the name that it has: --url, MAYFLY_ISSUER.');
  }
  if (!isTimeout(error) && !(error instanceof NetworkFailure)) throw error;
  const code =
    error instanceof NetworkFailure ? error.code : `nothing for ${withinMilliseconds / MILLISECONDS} s`;
  return failed(
    `It takes connections and does not answer (${code}).`,
    `Look at it: curl -i ${issuer}/livez; if that hangs, too, at the log of the broker, or of the proxy before it.`,
  );
}
