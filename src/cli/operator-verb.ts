/** What a command of an operator is made of. Three kinds cover nearly all: a list, one thing, a change. */
import type { Command } from 'commander';
import type { Environment } from '../config/environment.ts';
import type { ManagementAction } from '../operators/management-actions.ts';
import type { Json } from './operator-client.ts';

type Named = {
  noun: string;
  verb: string;
  about: string;
  /** The action that its token is for. */
  may: ManagementAction;
  /** As `openapi.yaml` writes it; what is in braces is an argument of the command. */
  path: string;
};

export type ListVerb = Named & {
  kind: 'list';
  /** Members that make a good table; JSON has all of them. */
  columns: readonly string[];
  /** Parameters of the query, and what they are for. */
  filters?: Readonly<Record<string, string>>;
  /** Rows that nobody looks for who names no state. */
  hides?: (row: Readonly<Record<string, unknown>>) => boolean;
  /** What is meant when it was not said, given what was. */
  implied?: (given: Readonly<Record<string, unknown>>) => Readonly<Record<string, string>>;
};

export type ShowVerb = Named & {
  kind: 'show';
  /** What people are shown of it; programs get all. */
  inShort?: (body: Json) => Json;
};

export type ChangeVerb = Named & {
  kind: 'change';
  /** What a person at a terminal is asked, with the arguments in braces. */
  asks: string;
  /** True when it may leave too few people who can use the kill switch. */
  stops?: true;
};

export type OperatorVerb = ListVerb | ShowVerb | ChangeVerb;

/** A command that is more than one request, or none at all; it has a file of its own. */
export type OtherVerb = {
  noun: string;
  verb: string;
  may: ManagementAction | null;
  /** What it asks, as `openapi.yaml` writes it; the first with a token for `may`. */
  operations: readonly string[];
  /** What the noun alone means. */
  isDefault?: true;
  load: (environment: Environment) => Promise<Command>;
};
