import type { IncomingMessage, ServerResponse } from 'node:http';
import { readQuery } from './body.ts';
import type { Form } from './form.ts';
import type { Known } from './known.ts';
import type { HttpLimits } from './limits.ts';
import type { Call } from './route.ts';
import type { Source } from './source.ts';

/** A class for its getters: what few routes ask for costs the others nothing. */
export class ReceivedCall implements Call {
  readonly request: IncomingMessage;
  readonly requestId: string;
  readonly source: Source;
  readonly known: Known = {};
  readonly params: Readonly<Record<string, string>>;
  readonly form: Form;
  readonly json: unknown;
  readonly #response: ServerResponse;
  readonly #limits: HttpLimits;

  constructor(
    exchange: { request: IncomingMessage; response: ServerResponse; requestId: string; source: Source },
    content: { form: Form; json: unknown; params: Readonly<Record<string, string>> },
    limits: HttpLimits,
  ) {
    this.request = exchange.request;
    this.requestId = exchange.requestId;
    this.source = exchange.source;
    this.params = content.params;
    this.form = content.form;
    this.json = content.json;
    this.#response = exchange.response;
    this.#limits = limits;
  }

  get query(): Form {
    return readQuery(this.request.url ?? '', this.#limits);
  }

  get signal(): AbortSignal {
    const gone = new AbortController();
    const response = this.#response;
    const abort = () => {
      if (!response.writableFinished) gone.abort();
    };
    if (response.destroyed) abort();
    else response.once('close', abort);
    return gone.signal;
  }
}
