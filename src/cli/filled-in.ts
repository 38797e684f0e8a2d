import { fail } from './failure.ts';

/**
 * The path of a request. Dots alone would walk to another one (RFC 3986 §5.2.4), and do so unescaped.
 * @throws {CommandFailure}
 */
export function filledIn(path: string, values: Readonly<Record<string, string>>): string {
  return path.replaceAll(/\{(\w+)\}/g, (_, name: string) => {
    const value = values[name] ?? '';
    return /^\.{0,2}$/.test(value) ? fail('usage', `Which ${name}?`) : encodeURIComponent(value);
  });
}
