/** Changes to the small policy, and what a comparison has to say about each. */
import type { CatalogueChangeKind } from '../../src/catalogue/index.ts';
import { type Loose, type Policy, publicJwk } from './policy-fixture.ts';

const read = ({ customers }: Policy): Loose => customers.actions['db:read:customers'];
const share = ({ storage }: Policy): Loose => storage.actions['storage:share:exports'];
const erase = ({ customers }: Policy): Loose => customers.actions['db:delete:customers'];
const newKey = publicJwk('new-1');

export type ChangeCase = {
  what: string;
  change(policy: Policy): unknown;
  /** Kinds with the change, and with it taken back. */
  there: CatalogueChangeKind[];
  back: CatalogueChangeKind[];
  /** A part of the first widening sentence, or of the first sentence. */
  says: RegExp;
};

export const CHANGE_CASES: ChangeCase[] = [
  {
    what: 'a grant',
    change: ({ clerk }) => clerk.may.push('storage:write:exports'),
    there: ['grant-added'],
    back: ['grant-removed'],
    says: /^privacy-clerk gains storage:write:exports \(Store an export; MED, write\)\.$/,
  },
  {
    what: 'an agent without grants',
    change: (policy) => Object.assign(policy.clerk, { may: [] }),
    there: ['grant-removed'],
    back: ['grant-added'],
    says: /^privacy-clerk loses db:delete:customers/,
  },
  {
    what: 'a reach',
    change: ({ zones }) => zones.zones.shared.may_call.push('analytics'),
    there: ['zone-reach-added'],
    back: ['zone-reach-removed'],
    says: /^Agents of zone shared may now be granted actions of resources in zone analytics\.$/,
  },
  {
    what: 'a zone',
    change: ({ zones }) => Object.assign(zones.zones, { attic: { title: 'Attic', may_call: ['shared'] } }),
    there: ['zone-added'],
    back: ['zone-removed'],
    says: /The zone attic \(Attic\) is new/,
  },
  {
    what: "a zone's title",
    change: ({ zones }) => Object.assign(zones.zones.shared, { title: 'Other' }),
    there: ['zone-retitled'],
    back: ['zone-retitled'],
    says: /now called "Other"/,
  },
  {
    what: 'a higher sensitivity',
    change: (policy) => Object.assign(read(policy), { sensitivity: 'HIGH' }),
    there: ['sensitivity-raised'],
    back: ['sensitivity-lowered'],
    says: /db:read:customers counts as HIGH, before as LOW, for report-writer/,
  },
  {
    what: 'a weaker approval',
    change: (policy) => Object.assign(erase(policy), { approval: 'one' }),
    there: ['approval-weakened'],
    back: ['approval-strengthened'],
    says: /needs the yes of one person, before of two people/,
  },
  {
    what: 'no approval',
    change: (policy) => Object.assign(share(policy), { approval: 'none' }),
    there: ['approval-weakened'],
    back: ['approval-strengthened'],
    says: /of nobody, before of one person/,
  },
  {
    what: 'a longer maximum with a shorter default',
    change: (policy) => Object.assign(share(policy), { lifetime: { default: 60, max: 180 } }),
    there: ['lifetime-lengthened'],
    back: ['lifetime-shortened'],
    says: /live 60 s by default and 180 s at most, before 60 s and 120 s/,
  },
  {
    what: 'a longer default',
    change: (policy) => Object.assign(read(policy), { lifetime: { default: 301, max: 900 } }),
    there: ['lifetime-lengthened'],
    back: ['lifetime-shortened'],
    says: /Tokens of report-writer for db:read:customers live 301 s/,
  },
  {
    what: 'use by session',
    change: (policy) => Object.assign(share(policy), { use: 'session' }),
    there: ['use-widened'],
    back: ['use-narrowed'],
    says: /^report-writer can do storage:share:exports any number of times with one token/,
  },
  {
    what: 'another effect',
    change: (policy) => Object.assign(read(policy), { effect: 'write' }),
    there: ['effect-changed'],
    back: ['effect-changed'],
    says: /changes its effect from read to write/,
  },
  {
    what: "an action's title",
    change: (policy) => Object.assign(read(policy), { title: 'Look at customers' }),
    there: ['action-retitled'],
    back: ['action-retitled'],
    says: /now described as "Look at customers"/,
  },
  {
    what: 'a first schema for arguments',
    change: (policy) =>
      Object.assign(read(policy), { arguments: { type: 'object', additionalProperties: false } }),
    there: ['arguments-narrowed'],
    back: ['arguments-widened'],
    says: /with fewer arguments than before/,
  },
  {
    what: 'a looser schema',
    change: ({ storage }) => {
      storage.actions['storage:write:exports'].arguments.properties.name.maxLength = 101;
    },
    there: ['arguments-widened'],
    back: ['arguments-narrowed'],
    says: /arguments that were refused before/,
  },
  {
    what: 'another audience',
    change: ({ storage }) => Object.assign(storage, { resource: 'https://store.example.com' }),
    there: ['resource-removed', 'resource-added', 'action-moved', 'action-moved', 'action-moved'],
    back: ['resource-removed', 'resource-added', 'action-moved', 'action-moved', 'action-moved'],
    says: /^report-writer can now do storage:list:exports at https:\/\/store.example.com/,
  },
  {
    what: 'a resource in another zone',
    change: ({ storage }) => Object.assign(storage, { zone: 'analytics' }),
    there: ['resource-moved'],
    back: ['resource-moved'],
    says: /moves from zone shared to analytics/,
  },
  {
    what: "a resource's title",
    change: ({ storage }) => Object.assign(storage, { title: 'Store' }),
    there: ['resource-retitled'],
    back: ['resource-retitled'],
    says: /now called "Store"/,
  },
  {
    what: 'a key of a resource',
    change: ({ customers }) => customers.keys.push(newKey),
    there: ['resource-key-added'],
    back: ['resource-key-removed'],
    says: /Whoever holds the new key new-1 may act as the resource https:\/\/customers/,
  },
  {
    what: 'an old key of a resource under another kid',
    change: ({ customers }) => Object.assign(customers.keys[0], { kid: 'customers-9' }),
    there: ['resource-key-relabelled'],
    back: ['resource-key-relabelled'],
    says: /now labelled customers-9 at the resource/,
  },
  {
    what: 'a development key of a resource',
    change: ({ customers }) => Object.assign(customers, { development_key: true }),
    there: ['resource-development-key-on'],
    back: ['resource-development-key-off'],
    says: /with a key that a broker makes for a trial/,
  },
  {
    what: 'another development path',
    change: ({ storage }) => Object.assign(storage, { development_path: '/store' }),
    there: ['resource-development-path-changed'],
    back: ['resource-development-path-changed'],
    says: /at \/store, before at \/exports/,
  },
  {
    what: 'an action that nobody has',
    change: ({ storage }) =>
      Object.assign(storage.actions, { 'storage:move:exports': storage.actions['storage:list:exports'] }),
    there: ['action-added'],
    back: ['action-removed'],
    says: /storage:move:exports \(List exports; LOW, read\) is new/,
  },
  {
    what: 'a key of an agent',
    change: ({ writer }) => writer.keys.push(newKey),
    there: ['agent-key-added'],
    back: ['agent-key-removed'],
    says: /Whoever holds the new key new-1 may act as report-writer/,
  },
  {
    what: 'another key under an old kid',
    change: ({ writer }) => Object.assign(writer, { keys: [{ ...newKey, kid: 'writer-1' }, writer.keys[1]] }),
    there: ['agent-key-added', 'agent-key-removed'],
    back: ['agent-key-added', 'agent-key-removed'],
    says: /Whoever holds the new key writer-1 may act as report-writer/,
  },
  {
    what: 'an old key under another kid',
    change: ({ writer }) => Object.assign(writer.keys[0], { kid: 'writer-9' }),
    there: ['agent-key-relabelled'],
    back: ['agent-key-relabelled'],
    says: /now labelled writer-9 at report-writer/,
  },
  {
    what: 'a development key of an agent',
    change: ({ writer }) => Object.assign(writer, { development_key: true }),
    there: ['agent-development-key-on'],
    back: ['agent-development-key-off'],
    says: /may act as report-writer/,
  },
  {
    what: 'a longer session',
    change: ({ writer }) => Object.assign(writer, { session_seconds: 3601 }),
    there: ['session-lengthened'],
    back: ['session-shortened'],
    says: /A session of report-writer may live 3601 s, before 3600 s/,
  },
  {
    what: 'another owner',
    change: ({ writer }) => Object.assign(writer, { owner: 'somebody' }),
    there: ['agent-owner-changed'],
    back: ['agent-owner-changed'],
    says: /somebody now answers for report-writer, before data-platform/,
  },
  {
    what: "an agent's title",
    change: ({ writer }) => Object.assign(writer, { title: 'Other' }),
    there: ['agent-retitled'],
    back: ['agent-retitled'],
    says: /report-writer is now described as "Other"/,
  },
  {
    what: 'a role',
    change: ({ ada }) => ada.roles.push('auditor'),
    there: ['operator-role-added'],
    back: ['operator-role-removed'],
    says: /^ada gains the role auditor \(reads everything and changes nothing\)\.$/,
  },
  {
    what: 'another role',
    change: (policy) => Object.assign(policy.ada, { roles: ['security'] }),
    there: ['operator-role-added', 'operator-role-removed'],
    back: ['operator-role-added', 'operator-role-removed'],
    says: /^ada gains the role security/,
  },
  {
    what: 'a key of an operator',
    change: ({ sam }) => sam.keys.push(newKey),
    there: ['operator-key-added'],
    back: ['operator-key-removed'],
    says: /Whoever holds the new key new-1 may act as the operator sam/,
  },
  {
    what: 'an old key of an operator under another kid',
    change: ({ sam }) => Object.assign(sam.keys[0], { kid: 'sam-9' }),
    there: ['operator-key-relabelled'],
    back: ['operator-key-relabelled'],
    says: /now labelled sam-9 at the operator sam/,
  },
  {
    what: 'a development key of an operator',
    change: ({ sam }) => Object.assign(sam, { development_key: true }),
    there: ['operator-development-key-on'],
    back: ['operator-development-key-off'],
    says: /may act as sam/,
  },
  {
    what: "an operator's title",
    change: ({ sam }) => Object.assign(sam, { title: 'Other' }),
    there: ['operator-retitled'],
    back: ['operator-retitled'],
    says: /sam is now described as "Other"/,
  },
];
