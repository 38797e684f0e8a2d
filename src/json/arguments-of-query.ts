/**
 * The arguments of a call without a body: the parameters of its query, parsed as `application/x-www-form-urlencoded`
 * (WHATWG URL §5.1). A name that comes once has a string, one that comes more often an array of strings in their order.
 * @param target a URL or a request target, with its query
 */
export function argumentsOfQuery(target: string): Record<string, string | string[]> {
  const start = target.indexOf('?');
  const parameters = new URLSearchParams(start < 0 ? '' : target.slice(start + 1));
  const found: Record<string, string | string[]> = Object.create(null); // a parameter may be called __proto__
  for (const name of new Set(parameters.keys())) {
    const [first = '', ...more] = parameters.getAll(name);
    found[name] = more.length === 0 ? first : [first, ...more];
  }
  return found;
}
