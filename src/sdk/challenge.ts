/**
 * What a server says when it lets nobody in: the challenges of `WWW-Authenticate` (RFC 9110 §11.6.1), of which
 * several may stand in one field. Whatever cannot be read ends the reading: what came before it counts.
 */
export type Challenge = {
  /** In lower case. */
  scheme: string;
  /** Names in lower case; the first of two of one name. */
  parameters: ReadonlyMap<string, string>;
};

const MAX_CHARACTERS = 16_384;
const SEPARATORS = /[ \t,]*/y;
const SPACES = /[ \t]*/y;
const SCHEME = /[!#$%&'*+\-.^_`|~0-9A-Za-z]+(?=[ \t,]|$)/y;
const PARAMETER =
  /([!#$%&'*+\-.^_`|~0-9A-Za-z]+)[ \t]*=[ \t]*(?:"((?:[^"\\]|\\[\s\S])*)"|([!#$%&'*+\-.^_`|~0-9A-Za-z]+))(?=[ \t]*(?:,|$))/y;
const TOKEN68 = /[A-Za-z0-9\-._~+/]+=*(?=[ \t]*(?:,|$))/y;

export function parseChallenges(field: string | null): Challenge[] {
  const text = (field ?? '').slice(0, MAX_CHARACTERS);
  const found: { scheme: string; parameters: Map<string, string> }[] = [];
  let at = 0;

  function take(pattern: RegExp): RegExpExecArray | null {
    pattern.lastIndex = at;
    const match = pattern.exec(text);
    if (match !== null) at = pattern.lastIndex;
    return match;
  }

  function takeParameter(parameters: Map<string, string> | undefined): boolean {
    if (parameters === undefined) return false;
    const match = take(PARAMETER);
    if (match === null) return false;
    const [, name = '', quoted, plain = ''] = match;
    const key = name.toLowerCase();
    if (!parameters.has(key)) parameters.set(key, quoted?.replaceAll(/\\([\s\S])/g, '$1') ?? plain);
    return true;
  }

  for (;;) {
    take(SEPARATORS);
    if (at >= text.length) return found;
    if (takeParameter(found.at(-1)?.parameters)) continue;
    const scheme = take(SCHEME)?.[0].toLowerCase();
    if (scheme === undefined) return found;
    const parameters = new Map<string, string>();
    found.push({ scheme, parameters });
    take(SPACES);
    if (!takeParameter(parameters)) take(TOKEN68);
  }
}

/** What a resource server wants, as far as it says so. */
export type Demanded = {
  error: string | undefined;
  /** Everything that this operation needs (RFC 6750 §3). */
  actions: readonly string[];
  /** Where its RFC 9728 document is. */
  resourceMetadata: string | undefined;
};

/** Of its DPoP challenge, or else of one that only says where its metadata is; null when there is neither. */
export function demandedBy(headers: Headers): Demanded | null {
  const challenges = parseChallenges(headers.get('www-authenticate'));
  const dpop = challenges.find(({ scheme }) => scheme === 'dpop');
  const chosen = dpop ?? challenges.find(({ parameters }) => parameters.has('resource_metadata'));
  if (chosen === undefined) return null;
  const { parameters } = chosen;
  return {
    error: parameters.get('error'),
    actions: actionsOf(parameters.get('scope')),
    resourceMetadata: parameters.get('resource_metadata'),
  };
}

/** RFC 6749 §3.3: scope-tokens with single spaces between. */
export function actionsOf(scope: unknown): string[] {
  if (typeof scope !== 'string') return [];
  return scope.split(' ').filter((name) => ACTION.test(name));
}

const ACTION = /^[\x21\x23-\x5b\x5d-\x7e]{1,256}$/;

export function isAction(name: unknown): name is string {
  return typeof name === 'string' && ACTION.test(name);
}
