/** Actions: what one allows, how long, how freely, and with whose yes. */
import { canonicalJson } from '../json/canonical-json.ts';
import type { Action, Catalogue } from './catalogue.ts';
import { type NamedChange, partition, type Versions } from './catalogue-change.ts';
import { compareAws } from './compare-aws.ts';
import { isProvablyNarrower } from './narrower-schema.ts';
import { APPROVALS, SENSITIVITIES } from './read-action.ts';

export function compareActions({ before, after }: Versions): NamedChange[] {
  const { removed, added, kept } = partition(before.actions, after.actions);
  return [
    ...removed.map(({ name, title }) =>
      change('action-removed', name, `The action ${name} (${title}) is gone.`),
    ),
    ...added.map(actionAdded),
    ...kept.flatMap((versions) => changesOfAction(versions, holders(versions.after.name, after))),
  ];
}

function actionAdded({ name, title, resource, sensitivity, effect }: Action): NamedChange {
  const sentence = `The action ${name} (${title}; ${sensitivity}, ${effect}) is new at ${resource}.`;
  return change('action-added', name, sentence);
}

type Comparison = (versions: Versions<Action>, who: string) => NamedChange | null;

const COMPARISONS: readonly Comparison[] = [
  compareTitle,
  comparePlace,
  compareEffect,
  compareSensitivity,
  compareLifetime,
  compareUse,
  compareApproval,
  compareArguments,
  compareAws,
];

function changesOfAction(versions: Versions<Action>, who: string): NamedChange[] {
  return COMPARISONS.map((compare) => compare(versions, who)).filter((found) => found !== null);
}

function compareTitle({ before, after }: Versions<Action>): NamedChange | null {
  if (before.title === after.title) return null;
  const sentence = `${after.name} is now described as "${after.title}", before "${before.title}".`;
  return change('action-retitled', after.name, sentence);
}

function comparePlace({ before, after }: Versions<Action>, who: string): NamedChange | null {
  if (before.resource === after.resource) return null;
  const sentence = `${who} can now do ${after.name} at ${after.resource}, before at ${before.resource}.`;
  return change('action-moved', after.name, sentence);
}

function compareEffect({ before, after }: Versions<Action>, who: string): NamedChange | null {
  if (before.effect === after.effect) return null;
  const sentence = `What ${who} can do with ${after.name} changes its effect from ${before.effect} to ${after.effect}.`;
  return change('effect-changed', after.name, sentence);
}

function compareSensitivity({ before, after }: Versions<Action>, who: string): NamedChange | null {
  const step = SENSITIVITIES.indexOf(after.sensitivity) - SENSITIVITIES.indexOf(before.sensitivity);
  if (step === 0) return null;
  const sentence = `${after.name} counts as ${after.sensitivity}, before as ${before.sensitivity}, for ${who}.`;
  return change(step < 0 ? 'sensitivity-lowered' : 'sensitivity-raised', after.name, sentence);
}

function compareLifetime({ before, after }: Versions<Action>, who: string): NamedChange | null {
  const { defaultSeconds, maxSeconds } = after.lifetime;
  const earlier = before.lifetime;
  if (defaultSeconds === earlier.defaultSeconds && maxSeconds === earlier.maxSeconds) return null;
  const isLonger = defaultSeconds > earlier.defaultSeconds || maxSeconds > earlier.maxSeconds;
  const sentence =
    `Tokens of ${who} for ${after.name} live ${defaultSeconds} s by default and ${maxSeconds} s at most, ` +
    `before ${earlier.defaultSeconds} s and ${earlier.maxSeconds} s.`;
  return change(isLonger ? 'lifetime-lengthened' : 'lifetime-shortened', after.name, sentence);
}

function compareUse({ before, after }: Versions<Action>, who: string): NamedChange | null {
  if (before.use === after.use) return null;
  return after.use === 'session'
    ? change(
        'use-widened',
        after.name,
        `${who} can do ${after.name} any number of times with one token, before once.`,
      )
    : change(
        'use-narrowed',
        after.name,
        `${who} can do ${after.name} once with one token, before any number of times.`,
      );
}

function compareApproval({ before, after }: Versions<Action>, who: string): NamedChange | null {
  const step = APPROVALS.indexOf(after.approval) - APPROVALS.indexOf(before.approval);
  if (step === 0) return null;
  const sentence = `${after.name} by ${who} needs the yes of ${people(after)}, before of ${people(before)}.`;
  return change(step < 0 ? 'approval-weakened' : 'approval-strengthened', after.name, sentence);
}

function people({ approval }: Action): string {
  return { none: 'nobody', one: 'one person', two: 'two people' }[approval];
}

function compareArguments({ before, after }: Versions<Action>, who: string): NamedChange | null {
  const [from, to] = [before.arguments ?? true, after.arguments ?? true];
  if (canonicalJson(from) === canonicalJson(to)) return null;
  if (isProvablyNarrower({ before: from, after: to })) {
    const sentence = `${who} can do ${after.name} with fewer arguments than before.`;
    return change('arguments-narrowed', after.name, sentence);
  }
  const sentence = `${who} may be able to do ${after.name} with arguments that were refused before: its schema changes and is not provably narrower.`;
  return change('arguments-widened', after.name, sentence);
}

const MAX_NAMED_HOLDERS = 5;

/** Who has the action in this version, for a sentence. */
function holders(action: string, catalogue: Catalogue): string {
  const names = [...catalogue.agents.values()]
    .filter(({ may }) => may.includes(action))
    .map(({ name }) => name);
  if (names.length === 0) return 'nobody';
  const shown = names.slice(0, MAX_NAMED_HOLDERS).join(', ');
  const more = names.length - MAX_NAMED_HOLDERS;
  return more > 0 ? `${shown} and ${more} more` : shown;
}

function change(kind: NamedChange['kind'], action: string, sentence: string): NamedChange {
  return { kind, action, sentence };
}
