/** One request on a real socket, and its answer header by header: nothing joined, nothing followed. */
import { request } from 'node:http';
import type { Answer } from './contract.ts';

export type Question = {
  method?: string;
  /** A list sends the header that many times. */
  headers?: Readonly<Record<string, string | readonly string[]>>;
  body?: string;
};

export const FORM = 'application/x-www-form-urlencoded';

export function exchange(
  url: string,
  { method = 'GET', headers = {}, body }: Question = {},
): Promise<Answer> {
  return new Promise((resolve, reject) => {
    const sent = request(url, { method, agent: false });
    for (const [name, value] of Object.entries(headers)) sent.setHeader(name, value);
    if (body !== undefined) sent.setHeader('Content-Length', Buffer.byteLength(body));
    sent.on('error', reject);
    sent.on('response', (response) => {
      const chunks: Buffer[] = [];
      response.on('data', (chunk: Buffer) => chunks.push(chunk));
      response.on('error', reject);
      response.on('end', () =>
        resolve({
          status: response.statusCode ?? 0,
          headers: headersOf(response.rawHeaders),
          body: Buffer.concat(chunks).toString('utf8'),
        }),
      );
    });
    sent.end(body);
  });
}

export function postForm(
  url: string,
  fields: Readonly<Record<string, string | readonly string[] | undefined>>,
  headers: Question['headers'] = {},
): Promise<Answer> {
  return exchange(url, {
    method: 'POST',
    headers: { 'Content-Type': FORM, ...headers },
    body: formText(fields),
  });
}

export function postJson(url: string, body: unknown, headers: Question['headers'] = {}): Promise<Answer> {
  return exchange(url, {
    method: 'POST',
    headers: { 'Content-Type': 'application/json', ...headers },
    body: JSON.stringify(body),
  });
}

function formText(fields: Readonly<Record<string, string | readonly string[] | undefined>>): string {
  const form = new URLSearchParams();
  for (const [name, value] of Object.entries(fields)) {
    if (typeof value === 'string') form.append(name, value);
    else for (const each of value ?? []) form.append(name, each);
  }
  return form.toString();
}

function headersOf(rawHeaders: readonly string[]): Map<string, string[]> {
  const headers = new Map<string, string[]>();
  for (let index = 0; index < rawHeaders.length; index += 2) {
    const name = rawHeaders[index]?.toLowerCase() ?? '';
    headers.set(name, [...(headers.get(name) ?? []), rawHeaders[index + 1] ?? '']);
  }
  return headers;
}
