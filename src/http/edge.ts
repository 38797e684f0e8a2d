import type { IncomingMessage, ServerResponse } from 'node:http';
import type { Log } from '../errors/log.ts';
import { Refusal } from '../errors/refusal.ts';
import type { Clock } from '../time/clock.ts';
import { newIdentifier } from '../time/identifier.ts';
import { createAnswerWriter } from './answer-writer.ts';
import { discardRest, readFormBody, readJsonBody, refuseBody, refuseQuery } from './body.ts';
import { ReceivedCall } from './call.ts';
import { callerNames, namedBack } from './caller-names.ts';
import { EMPTY_FORM } from './form.ts';
import { refuseBadFraming } from './framing.ts';
import { type HttpLimits, httpLimits } from './limits.ts';
import { defectAnswer, refusalAnswer } from './refusal-answer.ts';
import type { Answer, Call, ErrorFormat, Route } from './route.ts';
import { createSourceReader, type Source } from './source.ts';
import { sendStream } from './stream.ts';

export type EdgeOptions = {
  log: Log;
  clock: Clock;
  /** True when the public address is https, also behind a proxy that ends TLS. */
  https: boolean;
  /** Addresses and CIDR ranges whose X-Forwarded-For counts. */
  trustedProxies?: readonly string[];
  limits?: Partial<HttpLimits>;
  /** Asked about every request before anything of it is read. @throws {Refusal} `rate_limited` */
  admit?: (source: Source) => void;
  /** True for what queries throw while the database is away. */
  isUnavailable?: (error: unknown) => boolean;
  /** Records a refusal. When it returns a promise, the answer waits for it. */
  onRefusal?: (refused: Refused) => void | Promise<void>;
  /** For metrics. */
  onAnswer?: (answered: Answered) => void;
};

export type Refused = {
  refusal: Refusal;
  requestId: string;
  source: Source;
  /** Null when no route was reached: unknown path, wrong method. */
  route: Route | null;
  /** Null when the route was never asked: framing, the rate of the source, a body that cannot be read. */
  call: Call | null;
};

export type Answered = { route: Route | null; status: number; requestId: string; milliseconds: number };

type Arrival = { request: IncomingMessage; response: ServerResponse };

/** One request on its way to its answer. */
type Exchange = Arrival & {
  requestId: string;
  source: Source;
  startedAt: number;
  route: Route | null;
  call: Call | null;
};

export type Edge = {
  /** Answers the request, whatever happens. Never rejects. */
  serve(route: Route, arrival: Arrival & { params: Readonly<Record<string, string>> }): Promise<void>;
  /** Answers a request that no route is going to see. */
  refuseRequest(error: unknown, arrival: Arrival): Promise<void>;
};

const OUTAGE_LOG_INTERVAL_MILLISECONDS = 1_000;

export function createEdge(options: EdgeOptions): Edge {
  const { clock, log, admit, onRefusal, onAnswer, isUnavailable = () => false } = options;
  const limits = httpLimits(options.limits);
  const sourceOf = createSourceReader({
    trustedProxies: options.trustedProxies ?? [],
    maxHops: limits.forwardedHops,
  });
  const write = createAnswerWriter({ https: options.https });
  let outageLoggedAt = Number.NEGATIVE_INFINITY;

  function begin({ request, response }: Arrival, route: Route | null): Exchange {
    return {
      request,
      response,
      route,
      call: null,
      requestId: newIdentifier('req', clock),
      source: sourceOf(request),
      startedAt: clock.monotonicMilliseconds(),
    };
  }

  function check({ request, source }: Exchange): void {
    admit?.(source);
    refuseBadFraming(request);
  }

  async function readCall(
    exchange: Exchange,
    route: Route,
    params: Readonly<Record<string, string>>,
  ): Promise<Call> {
    const { request } = exchange;
    let form = EMPTY_FORM;
    let json: unknown;
    if (route.body === 'form') form = await readFormBody(request, limits);
    else if (route.body === 'json') {
      refuseQuery(request);
      json = await readJsonBody(request, limits, route.numbers ?? 'integers');
    } else refuseBody(request);
    return new ReceivedCall(exchange, { form, json, params }, limits);
  }

  function send(exchange: Exchange, answer: Answer): void {
    const named = namedBack(exchange.request);
    const headers = named === undefined ? answer.headers : { ...answer.headers, ...named };
    write(exchange.response, exchange.requestId, headers === undefined ? answer : { ...answer, headers });
    onAnswer?.({
      route: exchange.route,
      status: answer.status ?? 200,
      requestId: exchange.requestId,
      milliseconds: clock.monotonicMilliseconds() - exchange.startedAt,
    });
  }

  /** The one place where what was thrown becomes an answer. */
  async function fail(exchange: Exchange, thrown: unknown): Promise<void> {
    const { request, response, route, requestId } = exchange;
    if (response.headersSent) {
      if (refusalOf(thrown) === null) logDefect(exchange, thrown);
      response.destroy(); // half an answer cannot be taken back
      return;
    }
    discardRest(request, limits.discardedBytes);
    const format = route?.format ?? formatOf(request.url);
    const refusal = refusalOf(thrown);
    if (refusal === null) {
      logDefect(exchange, thrown);
      send(exchange, defectAnswer(format, requestId));
    } else {
      await record(exchange, refusal);
      send(exchange, refusalAnswer(refusal, { format, requestId, request }));
    }
  }

  function refusalOf(thrown: unknown): Refusal | null {
    if (thrown instanceof Refusal) return thrown;
    if (!isUnavailable(thrown)) return null;
    const now = clock.monotonicMilliseconds();
    if (now - outageLoggedAt >= OUTAGE_LOG_INTERVAL_MILLISECONDS) {
      outageLoggedAt = now;
      log.warn({ err: thrown }, 'the database is unavailable; requests are refused');
    }
    return new Refusal('database_unavailable', { cause: thrown });
  }

  async function record(exchange: Exchange, refusal: Refusal): Promise<void> {
    if (onRefusal === undefined) return;
    const { requestId, source, route, call } = exchange;
    try {
      await onRefusal({ refusal, requestId, source, route, call });
    } catch (error) {
      log.error({ err: error, request_id: requestId }, 'a refusal could not be recorded');
    }
  }

  function logDefect({ requestId, route, request }: Exchange, thrown: unknown): void {
    const path = route === null ? undefined : `${route.method} ${route.path}`;
    const details = { err: thrown, request_id: requestId, ...callerNames(request), route: path };
    log.error(details, 'a request met a defect of mayfly');
  }

  return {
    async serve(route, arrival) {
      const exchange = begin(arrival, route);
      try {
        check(exchange);
        const call = await readCall(exchange, route, arrival.params);
        exchange.call = call;
        const answer = await route.answer(call);
        send(exchange, answer);
        if (answer.stream !== undefined) await sendStream(arrival, answer.stream);
      } catch (error) {
        await fail(exchange, error);
      }
    },

    async refuseRequest(error, arrival) {
      const exchange = begin(arrival, null);
      try {
        check(exchange);
        throw error;
      } catch (thrown) {
        await fail(exchange, thrown);
      }
    },
  };
}

/** Where no route says it: the management API lives under /v1 (RFC 9457), all else is OAuth. */
function formatOf(url: string | undefined): ErrorFormat {
  return url?.startsWith('/v1/') === true ? 'problem' : 'oauth';
}
