import assert from 'node:assert/strict';
import { test } from 'node:test';
import { LINT_RULES } from '../../src/catalogue/index.ts';
import { type Loose, loadChanged, type Policy, rulesOf } from './policy-fixture.ts';

/** An acceptance with everything that it has to say. */
const accept = (rule: string, about?: string): Loose => ({
  rule,
  ...(about === undefined ? {} : { for: about }),
  because: 'Reviewed: the caller is a fixture and holds nothing worth taking.',
  reviewed_by: 'security-review',
});

const share = ({ storage }: Policy): Loose => storage.actions['storage:share:exports'];
const write = ({ storage }: Policy): Loose => storage.actions['storage:write:exports'];

type Case = {
  rule: keyof typeof LINT_RULES;
  /** Makes the rule find one thing. */
  breakIt(policy: Policy): unknown;
  /** Where an acceptance goes, and what it is about. */
  acceptAt(policy: Policy): Loose;
  about?: string;
};

const ACCEPTABLE: Case[] = [
  {
    rule: 'read-and-destructive',
    breakIt: ({ writer }) => writer.may.push('db:delete:customers'),
    acceptAt: ({ writer }) => writer,
    about: 'https://customers.example.com',
  },
  {
    rule: 'high-without-approval',
    breakIt: (policy) => Object.assign(share(policy), { approval: 'none' }),
    acceptAt: share,
  },
  {
    rule: 'high-with-session-use',
    breakIt: (policy) => Object.assign(share(policy), { use: 'session' }),
    acceptAt: share,
  },
  {
    rule: 'action-unused',
    breakIt: ({ writer }) => writer.may.splice(writer.may.indexOf('storage:share:exports'), 1),
    acceptAt: share,
  },
  {
    rule: 'lifetime-over-ceiling',
    breakIt: (policy) => Object.assign(share(policy), { lifetime: { default: 60, max: 301 } }),
    acceptAt: share,
  },
  {
    rule: 'risky-argument-schema',
    breakIt: (policy) => delete write(policy).arguments.properties.name.maxLength,
    acceptAt: write,
    about: '/properties/name',
  },
  {
    rule: 'auditor-who-acts',
    breakIt: ({ sam }) => sam.roles.push('auditor'),
    acceptAt: ({ sam }) => sam,
  },
  {
    rule: 'kill-without-second-person',
    breakIt: ({ ada }) => Object.assign(ada, { roles: ['approver'] }),
    acceptAt: ({ sam }) => sam,
  },
];

for (const { rule, breakIt, acceptAt, about } of ACCEPTABLE) {
  test(`${rule} is found, says how it is accepted, and is silent once it is`, async () => {
    const red = await loadChanged(breakIt);
    assert.deepEqual(rulesOf(red), [rule]);
    assert.equal(red.catalogue, null);
    assert.match(red.problems[0]?.fix ?? '', new RegExp(`accept: \\[\\{ rule: ${rule}[ ,]`));
    const green = await loadChanged((policy) => {
      breakIt(policy);
      acceptAt(policy).accept = [accept(rule, about)];
    });
    assert.deepEqual(green.problems, []);
  });

  test(`an acceptance of ${rule} where it finds nothing is an error`, async () => {
    const stale = await loadChanged((policy) => {
      acceptAt(policy).accept = [accept(rule, about)];
    });
    assert.deepEqual(rulesOf(stale), ['acceptance-of-nothing']);
  });
}

test('every rule of the table is proved here or below', () => {
  const proved = [...ACCEPTABLE.map(({ rule }) => rule), 'wildcard-in-grant'];
  assert.deepEqual(Object.keys(LINT_RULES).sort(), proved.sort());
});

test('a wildcard is found in a grant and in what a zone may call, and no acceptance helps', async () => {
  for (const wildcard of ['*', 'db:*:customers', 'db:read:*', '*:*:*']) {
    const loaded = await loadChanged(({ writer }) => {
      writer.may.push(wildcard);
      writer.accept = [accept('wildcard-in-grant')];
    });
    assert.ok(rulesOf(loaded).includes('wildcard-in-grant'), wildcard);
  }
  const zone = await loadChanged(({ zones }) => zones.zones.analytics.may_call.push('*'));
  assert.deepEqual(rulesOf(zone), ['wildcard-in-grant']);
});

test('an acceptance covers the thing that it names and no other', async () => {
  const unnamed = await loadChanged((policy) => {
    policy.writer.may.push('db:delete:customers');
    policy.writer.accept = [accept('read-and-destructive')];
  });
  assert.deepEqual(rulesOf(unnamed).sort(), ['acceptance-of-nothing', 'read-and-destructive']);
  const other = await loadChanged((policy) => {
    policy.writer.may.push('db:delete:customers');
    policy.writer.accept = [accept('read-and-destructive', 'https://storage.example.com')];
  });
  assert.deepEqual(rulesOf(other).sort(), ['acceptance-of-nothing', 'read-and-destructive']);
  const otherRule = await loadChanged((policy) => {
    Object.assign(share(policy), { approval: 'none', accept: [accept('high-with-session-use')] });
  });
  assert.deepEqual(rulesOf(otherRule).sort(), ['acceptance-of-nothing', 'high-without-approval']);
});

test('an acceptance has to name a rule that exists, say why, and who looked', async () => {
  const broken: [Loose, string][] = [
    [{ ...accept('high-without-aproval') }, 'unknown-rule'],
    [{ ...accept('high-without-approval'), because: 'ok' }, 'invalid-value'],
    [{ rule: 'high-without-approval', reviewed_by: 'a' }, 'missing-key'],
    [{ rule: 'high-without-approval', because: accept('x').because }, 'missing-key'],
    [{ ...accept('high-without-approval'), until: 'never' }, 'unknown-key'],
  ];
  for (const [acceptance, rule] of broken) {
    const loaded = await loadChanged((policy) => {
      Object.assign(share(policy), { approval: 'none', accept: [acceptance] });
    });
    assert.ok(rulesOf(loaded).includes(rule), `${rule}: ${rulesOf(loaded)}`);
    assert.equal(loaded.catalogue, null);
  }
});

test('reading at one resource and destroying at another is two things', async () => {
  const loaded = await loadChanged(({ clerk }) => clerk.may.push('storage:list:exports'));
  assert.deepEqual(loaded.problems, []);
});

test('the ceiling of a lifetime is the sensitivity, not the roof of all', async () => {
  const at = (max: number) =>
    loadChanged((policy) => Object.assign(share(policy), { lifetime: { default: 60, max } }));
  assert.deepEqual(rulesOf(await at(300)), []);
  assert.deepEqual(rulesOf(await at(301)), ['lifetime-over-ceiling']);
});
