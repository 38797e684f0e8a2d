/**
 * How a command of an operator ends when it does not end well, in exit codes that a script can tell apart:
 *
 *     0  done
 *     1  usage: the command line, or what was asked for does not exist or cannot be had that way
 *     2  the broker failed, or cannot decide now
 *     3  the broker does not take us for who we say
 *     4  no broker answers
 *     5  this operator may not do that
 *     7  what was to be verified is not genuine
 */
import { networkCodeOf } from '../sdk/send.ts';
import { plainText } from './plain-text.ts';

export const EXIT = {
  usage: 1,
  server: 2,
  authentication: 3,
  unreachable: 4,
  denied: 5,
  verification: 7,
} as const;

export type ExitCode = (typeof EXIT)[keyof typeof EXIT];

/** What a broker called it; nothing where none was asked. */
export type ToldRefusal = { status: number; code: string; requestId: string };

/** All there is to say stands in the message: no stack is shown. */
export class CommandFailure extends Error {
  override readonly name = 'CommandFailure';
  readonly exitCode: ExitCode;
  readonly told: ToldRefusal | undefined;

  constructor(exitCode: ExitCode, message: string, told?: ToldRefusal) {
    super(message);
    this.exitCode = exitCode;
    this.told = told;
  }
}

export function fail(kind: keyof typeof EXIT, message: string): never {
  throw new CommandFailure(EXIT[kind], message);
}

/** Codes that say more than their status does. */
const BY_CODE: Readonly<Record<string, ExitCode>> = {
  invalid_client: EXIT.authentication,
  invalid_dpop_proof: EXIT.authentication,
  use_dpop_nonce: EXIT.authentication,
  session_ended: EXIT.authentication,
  invalid_scope: EXIT.denied,
  agent_stopped: EXIT.denied,
  aws_refused: EXIT.denied,
};

type Refused = {
  status: number;
  body: Readonly<Record<string, unknown>>;
  requestId: string | null;
  /** When the broker says that it answered. */
  date: string | null;
  /** As whom it was asked. */
  as: string;
  /** What was looked for, like `the session ses_1`. */
  about?: string | undefined;
};

/** What an assertion or a proof may be off without being refused for it. */
const HARMLESS_SKEW_SECONDS = 30;

/** A refusal as the broker told it: its code, what would help, and the id that its log and record have. */
export function refusedBy({ status, body, requestId, date, as, about }: Refused): CommandFailure {
  const code = textOf(body.code) ?? textOf(body.error) ?? String(status);
  const title = textOf(body.title) ?? textOf(body.error_description) ?? 'no reason was given';
  const hint = textOf(body.title) === undefined ? undefined : textOf(body.hint);
  const named = requestId ?? textOf(body.request_id) ?? 'unknown';
  const exitCode = exitCodeFor(code, status);
  const clock = exitCode === EXIT.authentication ? clockText(date) : '';
  const who = exitCode === EXIT.authentication ? `Asked as ${as}.` : '';
  // What may be wrong with a path is no hint for whoever named a thing; who else answers 404 has his own reasons.
  const isUnknown = code === 'not_found' && about !== undefined;
  const what = isUnknown ? [`The broker knows nothing of ${about}.`] : [title, hint];
  const sentences = [...what, clock, who]
    .filter((sentence) => sentence !== undefined && sentence !== '')
    .join('. ')
    .replaceAll('.. ', '. ');
  const told = { status, code: plainText(code), requestId: plainText(named) };
  return new CommandFailure(exitCode, plainText(`${code}: ${sentences} (request ${named})`), told);
}

/** A clock that is off makes good signatures look too old or too new, and nothing else says so. */
function clockText(date: string | null): string {
  const skewSeconds = Math.round((Date.now() - Date.parse(date ?? '')) / 1_000);
  if (!(Math.abs(skewSeconds) > HARMLESS_SKEW_SECONDS)) return '';
  const way = skewSeconds > 0 ? 'ahead of' : 'behind';
  return `The clock here is ${Math.abs(skewSeconds)} s ${way} the broker's.`;
}

/** Of a broker's no, by its code and status. */
export function exitCodeFor(code: string, status: number): ExitCode {
  return (Object.hasOwn(BY_CODE, code) ? BY_CODE[code] : undefined) ?? exitCodeOf(status);
}

function exitCodeOf(status: number): ExitCode {
  if (status === 401) return EXIT.authentication;
  if (status === 403) return EXIT.denied;
  return status === 429 || status >= 500 ? EXIT.server : EXIT.usage;
}

export function unreachable(issuer: string, error: unknown): CommandFailure {
  const code = plainText(networkCodeOf(error));
  return new CommandFailure(EXIT.unreachable, `No broker answers at ${issuer} (${code}).`);
}

function textOf(value: unknown): string | undefined {
  return typeof value === 'string' ? value : undefined;
}
