/**
 * The log: one JSON line an event, on standard output. What must not be in it is kept out three times: nobody
 * logs requests, errors are written by name, message and stack without what drivers attach to them, and whatever
 * still looks like a token, a proof, an assertion or a private key is blotted out of the finished line.
 */
import { type DestinationStream, type Logger, pino } from 'pino';
import type { LogLevel } from './config/configuration.ts';
import { createLogOutput } from './standard-output.ts';

/** A JWS in compact form, and the private members of a JWK. */
const SECRETS =
  /eyJ[\w-]{5,}\.[\w-]+\.?[\w-]*|(?<=\\?"d\\?":\s?\\?")[\w-]{20,}|-----BEGIN [A-Z ]*PRIVATE KEY[^"]*/g;

/** A password in a connection URL. */
const PASSWORDS = /(?<=postgres(?:ql)?:\/\/[^:@/\s"]*:)[^@/\s"]+(?=@)/g;

export function createLog(level: LogLevel, destination: DestinationStream = createLogOutput()): Logger {
  return pino(
    {
      level,
      base: null,
      timestamp: pino.stdTimeFunctions.isoTime,
      formatters: { level: (label) => ({ level: label }) },
      serializers: { err: describeError },
      hooks: { streamWrite: blotOut },
    },
    destination,
  );
}

export function blotOut(line: string): string {
  return line.replace(SECRETS, '[redacted]').replace(PASSWORDS, '[redacted]');
}

function describeError(error: unknown): object {
  if (!(error instanceof Error)) return { type: typeof error };
  const { name, message, stack, cause } = error;
  const code = 'code' in error && typeof error.code === 'string' ? error.code : undefined;
  return {
    type: name,
    message,
    code,
    stack,
    ...(cause === undefined ? {} : { cause: describeError(cause) }),
  };
}
