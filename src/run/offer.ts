/**
 * What a run gives to its program: a list of offers, each with variables for its environment and something to close.
 * A new one is a function in that list; the run knows nothing else of it.
 */
import type { AgentSession } from '../sdk/agent.ts';
import type { Limits } from './run-tokens.ts';

export type Offer = {
  environment: Readonly<Record<string, string>>;
  /** Variables of our own environment that would lead the program past this offer: it does not inherit them. */
  withheld?: readonly string[];
  /** When the program has ended. */
  close(): Promise<void>;
};

export type RunContext = {
  issuer: string;
  /** The one of this run. */
  session: AgentSession;
  limits: Limits;
  /** Of this run alone, removed at its end; nobody else sees what is in it. */
  folder: string;
  /** Makes something in that folder the program's own, when that runs as another user. */
  handOver(path: string): void;
  /** What the offers before this one put into the environment of the program. */
  offered: Readonly<Record<string, string>>;
  /** One line for whoever started the run. Never a secret. */
  report(line: string): void;
};

export type OpenOffer = (context: RunContext) => Promise<Offer>;
