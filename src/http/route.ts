/**
 * One line of the table of contents in `app.ts`: a path, who may call it, what answers. A route's `answer` parses
 * what it was given, calls one verb and says what came of it; it sees a {@link Call} and gives an {@link Answer},
 * and knows nothing of Express. Whatever it throws is answered by the edge: a Refusal as what it is, anything else
 * as an opaque 500.
 */
import type { IncomingMessage } from 'node:http';
import type { Form } from './form.ts';
import type { Known } from './known.ts';
import type { Source } from './source.ts';

export type ErrorFormat = 'oauth' | 'problem';

export type Route = {
  method: 'GET' | 'POST';
  /** Express 5 path, matched to the letter: case, trailing slash and all. A GET route answers HEAD too. */
  path: string;
  /** How errors are written: OAuth JSON (RFC 6749 §5.2) or problem+json (RFC 9457). */
  format: ErrorFormat;
  /** Who may call it, in words: `anyone`, `agent`, `resource server`. */
  may: string;
  /** Without it a request that has a body is refused. */
  body?: 'form' | 'json';
  /** For a JSON body with other people's values in it: lets numbers be other than plain whole ones. */
  numbers?: 'any';
  answer: (call: Call) => Answer | Promise<Answer>;
};

export type Call = {
  /** For its method and headers; its body has been read. */
  readonly request: IncomingMessage;
  readonly requestId: string;
  readonly source: Source;
  /** For the record, should it be refused; written by whoever finds something out. */
  readonly known: Known;
  /** The parameters of a form body; without any on other routes. */
  readonly form: Form;
  /** The JSON body; undefined when there was none. */
  readonly json: unknown;
  /** What the path's `{names}` stood for. */
  readonly params: Readonly<Record<string, string>>;
  /** The parameters of the query. Read when asked for. @throws {Refusal} when it is malformed */
  readonly query: Form;
  /** Aborted when the caller goes away before it was answered. */
  readonly signal: AbortSignal;
};

export type Answer = {
  /** 200 when absent. */
  status?: number;
  /** A `Cache-Control` or `Content-Type` here takes the place of `no-store` or `application/json`. */
  headers?: Readonly<Record<string, string | readonly string[]>>;
  /** Written as JSON. Nothing is sent when both this and `text` are absent. */
  body?: unknown;
  /** Sent as it stands, instead of `body`. */
  text?: string;
  /** The same of something that is no text. */
  bytes?: Uint8Array;
  /** Sent piece by piece, instead of either, for as long as it lasts; then the connection is closed. */
  stream?: AnswerStream;
};

export type AnswerStream = {
  /** Asked for a piece when the reader took the one before. Told by the signal when there is no reader any more. */
  pieces: (signal: AbortSignal) => AsyncIterable<string>;
  /** Called exactly once, whether or not any piece was asked for. */
  close: () => void;
};
