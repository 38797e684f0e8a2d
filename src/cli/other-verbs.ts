/** The commands of operators that are more than a line of the table in `operator-verbs.ts`. */
import type { OtherVerb } from './operator-verb.ts';

export const OTHER_VERBS: readonly OtherVerb[] = [
  {
    noun: 'session',
    verb: 'watch',
    may: 'mayfly:read:sessions',
    operations: ['GET /v1/sessions', 'GET /v1/sessions/{id}'],
    load: async (environment) => (await import('./watch-command.ts')).watchCommand(environment),
  },
  {
    noun: 'kill',
    verb: 'preview',
    may: 'mayfly:read:kill-switch',
    operations: ['POST /v1/kill-switch/preview'],
    load: async (environment) => (await import('./kill-commands.ts')).previewCommand(environment),
  },
  {
    noun: 'kill',
    verb: 'engage',
    may: 'mayfly:engage:kill-switch',
    operations: ['POST /v1/kill-switch', 'POST /v1/kill-switch/preview'],
    isDefault: true, // `mayfly kill all`
    load: async (environment) => (await import('./kill-commands.ts')).engageCommand(environment),
  },
  {
    noun: 'kill',
    verb: 'release',
    may: 'mayfly:release:kill-switch',
    operations: ['POST /v1/kill-switch/{id}/release', 'GET /v1/kill-switch/{id}'],
    load: async (environment) => (await import('./kill-commands.ts')).releaseCommand(environment),
  },
  {
    noun: 'kill',
    verb: 'drill',
    may: 'mayfly:read:kill-switch',
    operations: ['GET /v1/kill-switch/drill', 'POST /v1/kill-switch/drill'],
    load: async (environment) => (await import('./drill-command.ts')).drillCommand(environment),
  },
  {
    noun: 'receipt',
    verb: 'verify',
    may: null,
    operations: [],
    load: async (environment) => (await import('./receipt-command.ts')).verifyReceiptCommand(environment),
  },
  {
    noun: 'audit',
    verb: 'tail',
    may: 'mayfly:read:audit',
    operations: ['GET /v1/audit/tile/entries/{path}'],
    load: async (environment) => (await import('./audit-tail-command.ts')).auditTailCommand(environment),
  },
  {
    noun: 'audit',
    verb: 'show',
    may: 'mayfly:read:audit',
    operations: ['GET /v1/audit/entries/{id}'],
    load: async (environment) => (await import('./audit-show-command.ts')).auditShowCommand(environment),
  },
  {
    noun: 'audit',
    verb: 'export',
    may: 'mayfly:read:audit',
    operations: ['GET /v1/audit/tile/entries/{path}'],
    load: async (environment) => (await import('./audit-export-command.ts')).auditExportCommand(environment),
  },
  {
    noun: 'audit',
    verb: 'verify',
    may: null,
    operations: [],
    load: async (environment) => (await import('./audit-verify-command.ts')).auditVerifyCommand(environment),
  },
  {
    noun: 'audit',
    verb: 'witness',
    may: null,
    operations: [],
    load: async () => (await import('./audit-witness-command.ts')).auditWitnessCommand(),
  },
];
