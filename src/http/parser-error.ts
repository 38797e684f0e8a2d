/**
 * What is said to bytes that are not a request. Node's parser refuses them before there is a request or a
 * response; left alone it answers with a bare status line. Only errors of the parser and its timeouts are
 * answered: a broken connection and a failed handshake have nobody who listens.
 */
import { STATUS_CODES } from 'node:http';

type ParserError = Error & { code?: string };

const STATUS_OF: Readonly<Record<string, number>> = {
  HPE_HEADER_OVERFLOW: 431,
  HPE_CHUNK_EXTENSIONS_OVERFLOW: 413,
  ERR_HTTP_REQUEST_TIMEOUT: 408,
};

const DESCRIPTION_OF: Readonly<Record<number, string>> = {
  400: 'The request is malformed',
  408: 'The request took too long to arrive',
  413: 'The request body is too large',
  431: 'The header of the request is too large',
};

/** The HTTP status that this error deserves, or null when it is none of the parser's. */
export function parserErrorStatus({ code = '' }: ParserError): number | null {
  return STATUS_OF[code] ?? (code.startsWith('HPE_') ? 400 : null);
}

/** A whole answer as bytes, in the OAuth error format, that ends the connection. */
export function rawErrorAnswer(
  status: number,
  { requestId, headers }: { requestId: string; headers: readonly string[] },
): string {
  const body = JSON.stringify({
    error: 'invalid_request',
    error_description: DESCRIPTION_OF[status] ?? STATUS_CODES[status],
    code: 'invalid_request',
    request_id: requestId,
  });
  const lines = [`HTTP/1.1 ${status} ${STATUS_CODES[status]}`];
  for (let index = 0; index < headers.length; index += 2)
    lines.push(`${headers[index]}: ${headers[index + 1]}`);
  lines.push(
    'Cache-Control: no-store',
    'Pragma: no-cache',
    `Request-Id: ${requestId}`,
    'Content-Type: application/json',
    `Content-Length: ${Buffer.byteLength(body)}`,
    'Connection: close',
  );
  return `${lines.join('\r\n')}\r\n\r\n${body}`;
}
