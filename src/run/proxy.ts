/**
 * A forward proxy for the program of one run, which so needs to know nothing of tokens: it asks for `http://host/path`,
 * and what arrives at `https://host/path` carries a token and a proof for this very request. Only the program gets in
 * (a password in its environment), and only to the resources that the run was started for. No tunnel is made: inside
 * of one nothing can be signed, and nothing can be seen.
 *
 *     proxy-pass     who may ask                    proxy-upstream  a fetch of the run's own, which the agent uses
 *     proxy-target   what is asked for, strictly    proxy-pool      its connections
 *     proxy-places   whether it is a resource here  proxy-mask      what must not come back through it
 *     proxy-headers  which fields pass              proxy-refusal   what is refused here
 *     proxy-exchange there and back                 proxy-answer    how that is said
 *     proxy-body     what the program sends         proxy-resource-answer  what the resource answers
 */
import { createServer, type IncomingMessage, type Server, type ServerResponse } from 'node:http';
import type { Duplex } from 'node:stream';
import type { AgentFetch } from '../sdk/authorised-fetch.ts';
import { closeNow, listenOnLoopback } from './own-server.ts';
import { answerProblem, problemBytes } from './proxy-answer.ts';
import { passOn } from './proxy-exchange.ts';
import { createProxyPass, type ProxyPass } from './proxy-pass.ts';
import { createPlaces, type Places } from './proxy-places.ts';
import { ProxyRefusal, refuseRequest } from './proxy-refusal.ts';
import { isTunnelTarget, readTarget, requireSameHost } from './proxy-target.ts';

export type ProxyOptions = {
  /** Made with the `fetch` of `createUpstream()`. */
  agent: { fetch: AgentFetch };
  /** URLs. A request passes when one of them covers it. */
  resources: readonly string[];
  limits?: Partial<ProxyLimits>;
};

export type ProxyLimits = { bodyBytes: number; connections: number };

export type Proxy = {
  /** For the program of the run and nobody else. */
  environment: Record<string, string>;
  /** Cuts off whatever is under way. */
  close(): Promise<void>;
};

/** What would lead the program around the proxy. */
export const AROUND_PROXY: readonly string[] = ['no_proxy', 'NO_PROXY'];

const LIMITS: ProxyLimits = { bodyBytes: 64 * 1_024 ** 3, connections: 1_024 };
const MAX_HEADER_BYTES = 16_384;
const HEADERS_MILLISECONDS = 30_000;
/** Longer than programs keep a connection that they do not use: it is theirs to close. */
const KEEP_ALIVE_MILLISECONDS = 120_000;

/** @throws {AgentError} `misconfigured` for resources that are none */
export async function openProxy({ agent, resources, limits }: ProxyOptions): Promise<Proxy> {
  const { bodyBytes, connections } = { ...LIMITS, ...limits };
  const places = createPlaces(resources);
  const pass = createProxyPass();
  const server = listener();
  server.maxConnections = connections;

  async function answer(request: IncomingMessage, response: ServerResponse, goOn = () => {}): Promise<void> {
    request.on('error', () => undefined);
    response.on('error', () => undefined);
    try {
      pass.require(request);
      const url = placeOf(request, places);
      const { locationFor } = places;
      const { fetch } = agent;
      await passOn({ request, response, url, fetch, locationFor, maxBodyBytes: bodyBytes, goOn });
    } catch (error) {
      answerProblem(response, error);
    }
  }

  server.on('request', answer);
  server.on('checkContinue', (request: IncomingMessage, response: ServerResponse) =>
    answer(request, response, () => response.writeContinue()),
  );
  server.on('checkExpectation', answer); // RFC 9110 §10.1.1: one that nobody knows may be passed over
  server.on('connect', (request: IncomingMessage, socket: Duplex) => {
    socket.on('error', () => undefined);
    socket.end(problemBytes(refusalOfTunnel(request, pass)), () => socket.destroy());
  });
  server.on('clientError', (error: NodeJS.ErrnoException, socket: Duplex) => {
    const code = codeOfParser(error);
    if (code === null || !socket.writable) socket.destroy();
    else socket.end(problemBytes(new ProxyRefusal(code)), () => socket.destroy());
  });

  const address = pass.addressAt(await listenOnLoopback(server));
  return {
    environment: { http_proxy: address, HTTP_PROXY: address, NODE_USE_ENV_PROXY: '1' },
    close: () => closeNow(server),
  };
}

function listener(): Server {
  return createServer({
    maxHeaderSize: MAX_HEADER_BYTES,
    headersTimeout: HEADERS_MILLISECONDS,
    keepAliveTimeout: KEEP_ALIVE_MILLISECONDS,
    requestTimeout: 0, // a long upload is the program's own business
    insecureHTTPParser: false,
    requireHostHeader: false, // said here, as JSON
    noDelay: true,
  });
}

/** @returns the address at the resource @throws {ProxyRefusal} */
function placeOf(request: IncomingMessage, places: Places): URL {
  const { url = '', method, headers } = request;
  if (method === 'TRACE') refuseRequest('method_refused');
  const target = readTarget(url);
  requireSameHost(request, target);
  // RFC 9110 §7.8: an offer may be passed over. HTTP/2 would change nothing; who wants a WebSocket wants no HTTP.
  if (headers.upgrade !== undefined && headers.upgrade !== 'h2c') refuseRequest('upgrade_refused');
  return places.find(target)?.url ?? refuseRequest('resource_not_declared');
}

function refusalOfTunnel(request: IncomingMessage, pass: ProxyPass): unknown {
  try {
    pass.require(request);
    return new ProxyRefusal(isTunnelTarget(request.url ?? '') ? 'tunnel_refused' : 'target_malformed');
  } catch (error) {
    return error;
  }
}

/** @returns null where nobody listens any more */
function codeOfParser({ code = '' }: NodeJS.ErrnoException) {
  if (code === 'HPE_HEADER_OVERFLOW') return 'header_too_large';
  if (code === 'ERR_HTTP_REQUEST_TIMEOUT') return 'request_late';
  return code.startsWith('HPE_') ? 'request_malformed' : null;
}
