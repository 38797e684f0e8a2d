/** A sink as the operators declared it, with its files read and its secrets found. */
import type { KeyObject } from 'node:crypto';
import type { EventFormat } from './event-text.ts';
import type { HttpTarget } from './http-receiver.ts';
import type { SyslogTarget } from './syslog-receiver.ts';

export type SinkDeclaration = { name: string; format: EventFormat } & (
  | { kind: 'file'; path: string }
  | { kind: 'syslog'; target: Omit<SyslogTarget, 'format' | 'hostName'> }
  | { kind: 'webhook'; target: HttpTarget; secret: KeyObject }
  | { kind: 'otlp'; target: HttpTarget; compress: boolean }
);

export const SINK_KINDS = ['file', 'syslog', 'webhook', 'otlp'] as const;
export type SinkKind = (typeof SINK_KINDS)[number];
