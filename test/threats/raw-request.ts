/** One request as it is written here, header by header, and its answer as it came, header by header. */
import { Agent, request } from 'node:http';

export type Header = readonly [name: string, value: string];

export type Attempt = {
  /** POST when absent. */
  method?: string;
  /** The token endpoint when absent. */
  path?: string;
  headers?: readonly Header[];
  /** Parameters of a form; undefined ones are left out, a list repeats the name. */
  fields?: Readonly<Record<string, string | readonly string[] | undefined>>;
  /** Sent as application/json. */
  json?: unknown;
  /** Sent as it stands. */
  body?: string | Buffer;
};

export type Answer = {
  status: number;
  /** By lower-case name, every line of it. */
  headers: ReadonlyMap<string, readonly string[]>;
  text: string;
  /** Undefined when the text is empty or no JSON. */
  // biome-ignore lint/suspicious/noExplicitAny: what an answer holds is what the tests find out
  body: any;
};

const FORM_TYPE = 'application/x-www-form-urlencoded';
const DEADLINE_MILLISECONDS = 30_000;

/** Keeps connections, as clients do. Close it when the file is done. */
export function createRawClient(url: string) {
  const { hostname, port } = new URL(url);
  const agent = new Agent({ keepAlive: true, maxSockets: 128 });

  return {
    send(attempt: Attempt): Promise<Answer> {
      const { body, type } = bodyOf(attempt);
      const { headers = [], method = 'POST', path = '/oauth/token' } = attempt;
      const has = (wanted: string) => headers.some(([name]) => name.toLowerCase() === wanted);
      const all: Header[] = has('host') ? [...headers] : [['Host', `${hostname}:${port}`], ...headers];
      if (type !== null && !has('content-type')) all.push(['Content-Type', type]);
      if (body !== null && !has('content-length')) all.push(['Content-Length', String(body.length)]);
      return new Promise((resolve, reject) => {
        const sent = request(
          { hostname, port, method, path, agent, headers: all.flat(), timeout: DEADLINE_MILLISECONDS },
          (response) => {
            const chunks: Buffer[] = [];
            response.on('data', (chunk: Buffer) => chunks.push(chunk));
            response.on('end', () => {
              const text = Buffer.concat(chunks).toString('utf8');
              const { statusCode: status = 0, rawHeaders } = response;
              resolve({ status, headers: headersOf(rawHeaders), text, body: jsonOf(text) });
            });
            response.on('error', reject);
          },
        );
        sent.on('timeout', () => sent.destroy(new Error('no answer in time')));
        sent.on('error', reject);
        sent.end(body ?? undefined);
      });
    },
    close: () => agent.destroy(),
  };
}

export type RawClient = ReturnType<typeof createRawClient>;

function bodyOf({ method = 'POST', fields, json, body }: Attempt): {
  body: Buffer | null;
  type: string | null;
} {
  if (body !== undefined) return { body: Buffer.from(body as string), type: FORM_TYPE };
  if (json !== undefined) return { body: Buffer.from(JSON.stringify(json)), type: 'application/json' };
  if (method === 'POST') return { body: Buffer.from(formOf(fields ?? {})), type: FORM_TYPE };
  return { body: null, type: null };
}

export function formOf(fields: NonNullable<Attempt['fields']>): string {
  const form = new URLSearchParams();
  for (const [name, value] of Object.entries(fields)) {
    if (typeof value === 'string') form.append(name, value);
    else for (const each of value ?? []) form.append(name, each);
  }
  return form.toString();
}

function headersOf(raw: readonly string[]): Answer['headers'] {
  const headers = new Map<string, string[]>();
  for (let index = 0; index < raw.length; index += 2) {
    const name = raw[index]?.toLowerCase() ?? '';
    headers.set(name, [...(headers.get(name) ?? []), raw[index + 1] ?? '']);
  }
  return headers;
}

// biome-ignore lint/suspicious/noExplicitAny: as above
export function jsonOf(text: string): any {
  try {
    return JSON.parse(text);
  } catch {
    return undefined;
  }
}
