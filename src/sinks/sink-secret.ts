/** A secret that a sink needs, read once. It cannot be printed by accident: there is nothing in it but a function. */
export type Secret = { reveal(): string };

export function secretOf(text: string): Secret {
  return { reveal: () => text };
}
