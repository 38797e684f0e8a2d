/**
 * What the proxy of a run says no to by itself, and what it says when a resource answers nothing that can be passed
 * on: a closed table. Nothing that came in goes out again, so no secret does.
 */

/** `error` as RFC 9209 §2.3 names it. */
type Told = { status: number; error: string; title: string; hint: string };

const DENIED = 'http_request_denied';
const MALFORMED = 'http_request_error';

export const PROXY_REFUSALS = {
  credentials_missing: {
    status: 407,
    error: DENIED,
    title: 'This proxy is for the program of one run',
    hint: 'Take the address as it stands in http_proxy: name and password are a part of it.',
  },
  tunnel_refused: {
    status: 403,
    error: DENIED,
    title: 'No tunnels are made',
    hint: 'Say http:// in place of https://: the proxy speaks https with the resource, and shows the token.',
  },
  resource_not_declared: {
    status: 403,
    error: DENIED,
    title: 'This is no resource of the run',
    hint: 'Start the run with --resource for it. Others than these are not reached through its proxy.',
  },
  target_not_absolute: {
    status: 400,
    error: MALFORMED,
    title: 'This is a proxy, not the resource',
    hint: 'Set http_proxy and ask for http://host/path.',
  },
  target_malformed: {
    status: 400,
    error: MALFORMED,
    title: 'The address is not written as addresses are',
    hint: 'Write http://host/path or http://host:port/path, an IP address in its usual form, no name or password.',
  },
  host_differs: {
    status: 400,
    error: MALFORMED,
    title: 'The request names two hosts',
    hint: 'Send one Host header, with the host and port of the address that is asked for.',
  },
  request_malformed: {
    status: 400,
    error: MALFORMED,
    title: 'The request is malformed',
    hint: 'GET and HEAD have no body here, a transfer coding is chunked alone, and no header comes twice that may not.',
  },
  upgrade_refused: {
    status: 400,
    error: 'http_upgrade_failed',
    title: 'The protocol is not changed on the way',
    hint: 'Only HTTP/1.1 passes here: no WebSocket.',
  },
  method_refused: {
    status: 405,
    error: DENIED,
    title: 'This method is not passed on',
    hint: 'TRACE would show the token to whoever asks.',
  },
  header_too_large: {
    status: 431,
    error: MALFORMED,
    title: 'The header of the request is too large',
    hint: 'It may have 16 KiB, the address included.',
  },
  request_late: {
    status: 408,
    error: MALFORMED,
    title: 'The request took too long to arrive',
    hint: 'Send it whole within half a minute.',
  },
  body_too_large: {
    status: 413,
    error: MALFORMED,
    title: 'The body is too large',
    hint: 'Send it in parts.',
  },
  resource_unreachable: {
    status: 502,
    error: 'destination_unavailable',
    title: 'The resource cannot be reached',
    hint: 'See whether its address is right and its certificate is one that this machine trusts.',
  },
  resource_silent: {
    status: 504,
    error: 'connection_read_timeout',
    title: 'The resource does not answer in time',
    hint: 'It may have done what was asked: look before it is asked again.',
  },
  answer_malformed: {
    status: 502,
    error: 'http_protocol_error',
    title: 'What the resource answers is no good HTTP',
    hint: 'It may have done what was asked: look before it is asked again.',
  },
  answer_encoded: {
    status: 502,
    error: 'http_response_content_coding',
    title: 'The resource compresses an answer that was asked for as it is',
    hint: 'It was told Accept-Encoding: identity. What is compressed is not looked through, so it is not passed on.',
  },
  answer_too_large: {
    status: 502,
    error: 'http_response_body_size',
    title: 'The answer is too large',
    hint: 'Ask for it in parts.',
  },
  nonce_needed: {
    status: 503,
    error: 'proxy_internal_response',
    title: 'The resource wanted a nonce first',
    hint: 'Send it again: the nonce is known now. Nothing was done; a body of this length is not kept to be sent twice.',
  },
  run_over: {
    status: 503,
    error: 'proxy_internal_response',
    title: 'The run is over',
    hint: 'Start another one.',
  },
  internal_error: {
    status: 500,
    error: 'proxy_internal_error',
    title: 'mayfly made a mistake',
    hint: 'Say what was asked for to those who make it.',
  },
} as const satisfies Record<string, Told>;

export type ProxyRefusalCode = keyof typeof PROXY_REFUSALS;

export class ProxyRefusal extends Error {
  override readonly name = 'ProxyRefusal';
  readonly code: ProxyRefusalCode;

  constructor(code: ProxyRefusalCode) {
    super(PROXY_REFUSALS[code].title);
    this.code = code;
  }
}

export function refuseRequest(code: ProxyRefusalCode): never {
  throw new ProxyRefusal(code);
}

export function isProxyRefusalCode(code: string): code is ProxyRefusalCode {
  return Object.hasOwn(PROXY_REFUSALS, code);
}
