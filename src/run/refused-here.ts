/**
 * What the local endpoint says no to by itself, before any broker is asked: a closed table, like that of the broker.
 * Nothing that came in goes out again.
 */
export const LOCAL_CODES = {
  foreign_request: { status: 403, title: 'Only programs of this run may ask here' },
  not_found: { status: 404, title: 'Not found' },
  method_not_allowed: { status: 405, title: 'Method not allowed' },
  content_too_large: { status: 413, title: 'The request body is too large' },
  unsupported_media_type: { status: 415, title: 'The media type is not supported' },
  invalid_request: { status: 400, title: 'The request is malformed' },
  secret_needed: { status: 401, title: 'The secret of this run is needed here' },
  bootstrap_wrong: { status: 403, title: 'This is not the bootstrap code of this run' },
  bootstrap_used: { status: 403, title: 'The bootstrap code has been used' },
  bootstrap_closed: { status: 403, title: 'This run takes no bootstrap code any more' },
  not_of_this_run: { status: 403, title: 'This run was not started for that' },
} as const satisfies Record<string, { status: number; title: string }>;

export type LocalCode = keyof typeof LOCAL_CODES;

export class RefusedHere extends Error {
  override readonly name = 'RefusedHere';
  readonly code: LocalCode;
  readonly hint: string;
  readonly headers: Readonly<Record<string, string>>;

  constructor(code: LocalCode, hint: string, headers: Readonly<Record<string, string>>) {
    super(LOCAL_CODES[code].title);
    this.code = code;
    this.hint = hint;
    this.headers = headers;
  }
}

/** @param hint what would help, in a sentence of ours */
export function refuseHere(
  code: LocalCode,
  hint: string,
  headers: Readonly<Record<string, string>> = {},
): never {
  throw new RefusedHere(code, hint, headers);
}
