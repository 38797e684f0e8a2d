/** What AWS's older services share: forms in, XML out, errors in their own shape, signatures of version 4. */
import { createServer, type IncomingMessage, type ServerResponse } from 'node:http';
import { createRequire } from 'node:module';
import type { AddressInfo } from 'node:net';

type Signable = {
  host: string;
  method: string;
  path: string;
  headers: Record<string, string>;
  body: string;
  /** It adds this one by itself. */
  extraHeadersToIgnore: Record<string, true>;
};
export type Keys = { accessKeyId: string; secretAccessKey: string };
type Signer = {
  sign(
    request: Signable & { service: string; region: string },
    keys: Keys,
  ): { headers: Record<string, string> };
};
const aws4: Signer = createRequire(import.meta.url)('aws4');

class AwsError extends Error {
  readonly code: string;
  readonly status: number;
  constructor(code: string, status: number, message: string) {
    super(message);
    this.code = code;
    this.status = status;
  }
}

export function fail(code: string, status: number, message: string): never {
  throw new AwsError(code, status, message);
}

/** On this machine. What `answer` throws is told as AWS tells errors. */
export async function serveQueries(
  answer: (request: IncomingMessage, response: ServerResponse) => Promise<void>,
  namespace: string,
): Promise<{ url: string; close(): Promise<void> }> {
  const server = createServer((request, response) => {
    answer(request, response).catch((error: unknown) => sendError(response, error, namespace));
  });
  await new Promise<void>((resolve) => server.listen(0, '127.0.0.1', resolve));
  const { port } = server.address() as AddressInfo;
  return {
    url: `http://127.0.0.1:${port}`,
    close: () =>
      new Promise<void>((resolve) => {
        server.close(() => resolve());
        server.closeAllConnections();
      }),
  };
}

/** Signs what came anew, with the same headers, and compares. */
export function requireSignature(
  request: IncomingMessage,
  body: string,
  { keys, service, region }: { keys: Keys; service: string; region?: string },
): void {
  const { authorization = '', host = '' } = request.headers;
  const scope = /Credential=([^/]+)\/\d{8}\/([a-z0-9-]+)\/([a-z]+)\/aws4_request/.exec(authorization);
  const names = /SignedHeaders=([^,]+)/.exec(authorization)?.[1]?.split(';') ?? [];
  const [, accessKeyId, signedFor = '', its] = scope ?? [];
  if (its !== service) fail('MissingAuthenticationToken', 403, 'Request is missing Authentication Token');
  if (region !== undefined && signedFor !== region)
    fail('SignatureDoesNotMatch', 403, `Credential should be scoped to a valid region, not '${signedFor}'.`);
  if (accessKeyId !== keys.accessKeyId) fail('InvalidClientTokenId', 403, 'The security token is invalid.');
  const headers = Object.fromEntries(names.map((name) => [name, String(request.headers[name] ?? '')]));
  const { headers: signed } = aws4.sign(
    {
      host,
      method: request.method ?? '',
      path: request.url ?? '',
      headers,
      body,
      extraHeadersToIgnore: names.includes('content-length') ? {} : { 'content-length': true },
      service,
      region: signedFor,
    },
    keys,
  );
  const signatureOf = (text = '') => /Signature=([0-9a-f]{64})$/.exec(text)?.[1];
  if (signatureOf(signed.Authorization) === signatureOf(authorization)) return;
  fail('SignatureDoesNotMatch', 403, `The signature does not match: ${names.join(' ')}`);
}

export async function textOf(request: IncomingMessage): Promise<string> {
  const pieces: Buffer[] = [];
  for await (const piece of request) pieces.push(piece);
  return Buffer.concat(pieces).toString('utf8');
}

function sendError(response: ServerResponse, error: unknown, namespace: string): void {
  if (!(error instanceof AwsError)) throw error;
  const { code, status, message } = error;
  sendXml(
    response,
    status,
    `<ErrorResponse xmlns="${namespace}"><Error><Type>${status < 500 ? 'Sender' : 'Receiver'}</Type>
      <Code>${code}</Code><Message>${message}</Message></Error><RequestId>local</RequestId></ErrorResponse>`,
  );
}

export function sendXml(response: ServerResponse, status: number, text: string): void {
  response.writeHead(status, { 'Content-Type': 'text/xml' }).end(text);
}
