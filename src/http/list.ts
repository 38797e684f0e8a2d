/**
 * Lists as the management API gives them: `{ data, next_cursor }`, newest first, at most so many at once. A cursor
 * stands for the last item that was given; what is added meanwhile shows on a new first page. A parameter that nobody
 * knows is refused, since a filter with a misspelt name would be a list of everything.
 */
import { refuse } from '../errors/refusal.ts';
import { decodeBase64url, encodeBase64url } from '../jws/base64url.ts';
import type { Form } from './form.ts';
import type { Answer } from './route.ts';

export type Page = {
  /** The identifier of the last item of the page before; null for the first page. */
  after: string | null;
  limit: number;
};

export const DEFAULT_PAGE_ITEMS = 50;
export const MAX_PAGE_ITEMS = 200;

/**
 * @param isIdentifier whether a text could name one of what is listed
 * @throws {Refusal} `invalid_request`
 */
export function readPage(
  query: Form,
  { filters, isIdentifier }: { filters: readonly string[]; isIdentifier: (text: string) => boolean },
): Page {
  refuseUnknown(query, [...filters, 'cursor', 'limit']);
  return { after: readCursor(query.one('cursor'), isIdentifier), limit: readLimit(query.one('limit')) };
}

/** @throws {Refusal} for a parameter with another name, and for one that came twice */
export function refuseUnknown(query: Form, known: readonly string[]): void {
  if (query.names().some((name) => !known.includes(name))) {
    refuse('parameter_invalid', { hint: `The parameters here are ${known.join(', ')}.` });
  }
  for (const name of known) query.one(name);
}

/** A filter with few values. @throws {Refusal} */
export function readChoice<Choice extends string>(
  query: Form,
  name: string,
  choices: readonly Choice[],
): Choice | undefined {
  const given = query.one(name);
  const choice = choices.find((each) => each === given);
  if (given !== undefined && choice === undefined) {
    refuse('parameter_invalid', { hint: `${name} is one of ${choices.join(', ')}.` });
  }
  return choice;
}

/** @param items one more than the page has, when there are more */
export function pageAnswer<Item>(
  items: readonly Item[],
  {
    limit,
    identify,
    tell,
  }: { limit: number; identify: (item: Item) => string; tell: (item: Item) => object },
): Answer {
  const page = items.slice(0, limit);
  const last = items.length > limit ? page.at(-1) : undefined;
  return {
    body: {
      data: page.map(tell),
      next_cursor: last === undefined ? null : encodeBase64url(identify(last)),
    },
  };
}

function readCursor(cursor: string | undefined, isIdentifier: (text: string) => boolean): string | null {
  if (cursor === undefined) return null;
  const text = decodeBase64url(cursor)?.toString('latin1') ?? '';
  return isIdentifier(text) ? text : refuseCursor();
}

/** @throws {Refusal} for a cursor that no page of this list has given */
export function refuseCursor(): never {
  refuse('parameter_invalid', { hint: 'cursor is the next_cursor of the page before.' });
}

function readLimit(limit: string | undefined): number {
  if (limit === undefined) return DEFAULT_PAGE_ITEMS;
  const items = /^[1-9][0-9]{0,2}$/.test(limit) ? Number(limit) : Number.POSITIVE_INFINITY;
  if (items <= MAX_PAGE_ITEMS) return items;
  return refuse('parameter_invalid', { hint: `limit is a whole number, 1 to ${MAX_PAGE_ITEMS}.` });
}
