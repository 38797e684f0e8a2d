/**
 * One question to the broker over HTTP, bounded in every direction: time, bytes, no redirects, only JSON, read
 * strictly. Whatever else comes back is a refusal of ours (503), never an exception that a handler might swallow.
 */
import { JsonError, parseStrictJsonObject } from '../json/strict-json.ts';
import { refuse, VerifierRefusal } from './refusal.ts';

export type Question = {
  url: string;
  /** A POST when there is a body. */
  body?: { contentType: string; text: string };
  /** Media types that count as an answer. */
  accepts?: readonly string[];
  authorization?: string;
  /** Default 65,536. */
  maxAnswerBytes?: number;
};

export type BrokerAnswer = {
  status: number;
  /** `max-age` of Cache-Control, or null. */
  maxAgeSeconds: number | null;
  /** `Date`, NumericDate; null without one. Whoever carried the answer may have written it. */
  sentAt: number | null;
  /** Empty for an answer without JSON. */
  json: Record<string, unknown>;
};

/** Names the status of an answer that is no answer, for the log. */
export class UnexpectedStatus extends Error {
  override readonly name: string;
  constructor(status: number) {
    super('not the status that was expected');
    this.name = `HTTP ${status}`;
  }
}

export type Ask = (question: Question) => Promise<BrokerAnswer>;

const MAX_ANSWER_BYTES = 65_536;
const ANSWER_BOUNDS = { maxDepth: 12, maxMembers: 2_000 };
const JSON_TYPES = ['application/json'];
const MAX_RETRY_AFTER_SECONDS = 60;

/** @param maxQuestions how many may be under way; more are refused, so that a slow broker fills no memory */
export function createAsk(options: {
  fetch: typeof fetch;
  timeoutMilliseconds: number;
  maxQuestions: number;
}): Ask {
  const { timeoutMilliseconds, maxQuestions } = options;
  let underWay = 0;

  async function exchange(question: Question): Promise<BrokerAnswer> {
    const { url, body, accepts = JSON_TYPES, authorization } = question;
    const response = await options.fetch(url, {
      redirect: 'error',
      credentials: 'omit',
      signal: AbortSignal.timeout(timeoutMilliseconds),
      headers: {
        Accept: accepts.join(', '),
        ...(body === undefined ? {} : { 'Content-Type': body.contentType }),
        ...(authorization === undefined ? {} : { Authorization: authorization }),
      },
      ...(body === undefined ? {} : { method: 'POST', body: body.text }),
    });
    if (response.status === 429 || response.status >= 500) {
      await response.body?.cancel();
      refuse('broker_refuses', {
        hint: OUTAGE_HINT,
        retryAfterSeconds: retryAfterOf(response),
        cause: new UnexpectedStatus(response.status),
      });
    }
    return {
      status: response.status,
      maxAgeSeconds: maxAgeOf(response),
      sentAt: sentAtOf(response),
      json: await readJson(response, { accepts, maxBytes: question.maxAnswerBytes ?? MAX_ANSWER_BYTES }),
    };
  }

  return async (question) => {
    if (underWay >= maxQuestions) refuse('questions_exhausted', { hint: OUTAGE_HINT });
    underWay += 1;
    try {
      return await exchange(question);
    } catch (error) {
      // TypeError for the network, DOMException for the time limit, and from a fetch of somebody else's anything.
      if (error instanceof VerifierRefusal) throw error;
      refuse('broker_unreachable', { hint: OUTAGE_HINT, cause: error });
    } finally {
      underWay -= 1;
    }
  };
}

const OUTAGE_HINT = 'The broker cannot be asked right now; try again with a new proof.';

async function readJson(
  response: Response,
  { accepts, maxBytes }: { accepts: readonly string[]; maxBytes: number },
): Promise<Record<string, unknown>> {
  const [mediaType = ''] = (response.headers.get('content-type') ?? '').toLowerCase().split(';');
  if (!accepts.includes(mediaType.trim())) {
    await response.body?.cancel();
    if (response.ok) refuse('broker_answer_unusable', { hint: OUTAGE_HINT });
    return {};
  }
  try {
    return parseStrictJsonObject(utf8.decode(await readBytes(response, maxBytes)), ANSWER_BOUNDS);
  } catch (error) {
    if (error instanceof JsonError) refuse('broker_answer_unusable', { hint: OUTAGE_HINT, cause: error });
    throw error;
  }
}

const utf8 = new TextDecoder('utf-8', { ignoreBOM: true });

async function readBytes(response: Response, maxBytes: number): Promise<Buffer> {
  const parts: Uint8Array[] = [];
  let bytes = 0;
  for await (const part of (response.body ?? []) as AsyncIterable<Uint8Array>) {
    bytes += part.byteLength;
    if (bytes > maxBytes) refuse('broker_answer_unusable', { hint: OUTAGE_HINT });
    parts.push(part);
  }
  return Buffer.concat(parts);
}

function retryAfterOf(response: Response): number {
  const seconds = Number(response.headers.get('retry-after'));
  return Number.isSafeInteger(seconds) && seconds > 0 ? Math.min(seconds, MAX_RETRY_AFTER_SECONDS) : 1;
}

function maxAgeOf(response: Response): number | null {
  const match = /(?:^|[\s,])max-age=(\d{1,9})(?:[\s,]|$)/i.exec(response.headers.get('cache-control') ?? '');
  return match === null ? null : Number(match[1]);
}

function sentAtOf(response: Response): number | null {
  const milliseconds = Date.parse(response.headers.get('date') ?? '');
  return Number.isNaN(milliseconds) ? null : Math.floor(milliseconds / 1_000);
}
