export type Environment = Readonly<Record<string, string | undefined>>;

/** The environment of this process; the only place that looks at it. */
export function processEnvironment(): Environment {
  return process.env;
}
