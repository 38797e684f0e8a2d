import type { ManagementAction } from '../operators/management-actions.ts';
import { fail } from './failure.ts';
import type { Json, OperatorClient } from './operator-client.ts';

export type ListRequest = {
  may: ManagementAction;
  path: string;
  query: Readonly<Record<string, string>>;
  /** Rows in all. */
  limit: number;
};

/** What the broker gives at once. */
const MAX_PAGE_ROWS = 200;

/** A page that was looked for in vain is empty and goes on; so many one after another are a list without an end. */
const MAX_EMPTY_PAGES = 10_000;

/**
 * A list, page after page, as far as the limit goes. The last one says whether the list ended there.
 * @throws {CommandFailure}
 */
export async function* pagesOf(
  client: OperatorClient,
  { may, path, query, limit }: ListRequest,
): AsyncGenerator<{ rows: Json[]; isLast: boolean }> {
  let missing = limit;
  let cursor: string | undefined;
  let emptyPages = 0;
  do {
    const before = cursor;
    const size = String(Math.min(missing, MAX_PAGE_ROWS));
    const asked = { ...query, limit: size, ...(cursor === undefined ? {} : { cursor }) };
    const { body } = await client.ask({ may, method: 'GET', path, query: asked });
    const rows = rowsOf(body).slice(0, missing);
    missing -= rows.length;
    cursor = typeof body.next_cursor === 'string' ? body.next_cursor : undefined;
    emptyPages = rows.length === 0 ? emptyPages + 1 : 0;
    const isEndless = cursor !== undefined && (cursor === before || emptyPages > MAX_EMPTY_PAGES);
    if (isEndless) fail('server', 'What came back is a list without an end.');
    yield { rows, isLast: cursor === undefined };
  } while (cursor !== undefined && missing > 0);
}

function rowsOf({ data }: Json): Json[] {
  return Array.isArray(data) ? data : fail('server', 'What came back is no list.');
}
