import type { webcrypto } from 'node:crypto';

/** A client of all three servers, and what it asks for each time. */
export type BenchClient = {
  clientId: string;
  scope: string;
  resource: string;
  privateJwk: webcrypto.JsonWebKey & { kid: string };
  publicJwk: webcrypto.JsonWebKey;
};

/** What the floor and the peer are told on their command line: public keys only. */
export type ServerArguments = {
  port: number;
  databaseUrl: string;
  clients: readonly Omit<BenchClient, 'privateJwk'>[];
};

export const TOKEN_SECONDS = 300;
