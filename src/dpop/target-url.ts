/**
 * When two URLs name the same target (RFC 9449 §4.3 item 9: without query and fragment, after the syntax-based
 * and scheme-based normalisation of RFC 3986 §6.2.2–6.2.3).
 *
 * WHATWG `URL` is not that: it turns `\` into `/`, `0x7f.1` into `127.0.0.1` and drops tabs. Here the text has
 * to be plain to begin with, case, default port and needlessly encoded characters are evened out, and nothing is
 * forgiven beyond: dot segments, double slashes and a trailing slash make another target.
 */

const MAX_URL_LENGTH = 2_048;
const PLAIN_URL =
  /^(https?):\/\/([a-z0-9](?:[a-z0-9.-]*[a-z0-9])?|\[[0-9a-f:.]+\])(?::([1-9][0-9]{0,4}))?(\/(?:[a-z0-9\-._~!$&'()*+,;=:@/]|%[0-9a-f]{2})*)?(?:\?[^#]*)?(?:#.*)?$/i;
const UNRESERVED = /[A-Za-z0-9\-._~]/;
const DEFAULT_PORTS: Record<string, string> = { http: '80', https: '443' };

/** The one spelling of the target that `url` names, or null when it is no plain http(s) URL. */
export function normaliseTarget(url: unknown): string | null {
  if (typeof url !== 'string' || url.length > MAX_URL_LENGTH || !isPrintableAscii(url)) return null;
  const match = PLAIN_URL.exec(url);
  if (match === null) return null;
  const [, rawScheme = '', rawHost = '', port, rawPath = '/'] = match;
  const scheme = rawScheme.toLowerCase();
  if (port !== undefined && Number(port) > 65_535) return null;
  const authority =
    port === undefined || port === DEFAULT_PORTS[scheme]
      ? rawHost.toLowerCase()
      : `${rawHost.toLowerCase()}:${port}`;
  return `${scheme}://${authority}${normaliseEscapes(rawPath)}`;
}

/**
 * The target of a route of our own. What stands in its place when there is none would be what proofs have to name, so
 * nothing does.
 * @throws {TypeError} for what is no plain URL
 */
export function requireTarget(url: string): string {
  const target = normaliseTarget(url);
  if (target === null) throw new TypeError(`${url} cannot be the target of a proof`);
  return target;
}

/** RFC 3986 §6.2.2.1–6.2.2.2: escapes in upper case, unreserved characters not escaped. */
function normaliseEscapes(path: string): string {
  if (!path.includes('%')) return path;
  return path.replace(/%[0-9a-fA-F]{2}/g, (triplet) => {
    const character = String.fromCharCode(Number.parseInt(triplet.slice(1), 16));
    return UNRESERVED.test(character) ? character : triplet.toUpperCase();
  });
}

function isPrintableAscii(text: string): boolean {
  return /^[\x21-\x7e]*$/.test(text);
}
