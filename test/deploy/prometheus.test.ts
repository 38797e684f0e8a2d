import assert from 'node:assert/strict';
import { execFile } from 'node:child_process';
import { before, test } from 'node:test';
import { promisify } from 'node:util';
import { parse } from 'yaml';
import { REFUSAL_REASONS } from '../../src/errors/refusal-reasons.ts';
import { createTestWorld } from '../test-broker.ts';
import { ROOT, textOf } from './files.ts';

type Rule = {
  alert: string;
  expr: string;
  for?: string;
  labels: { severity: string };
  annotations: { summary: string };
};

const { groups } = parse(textOf('deploy/prometheus/alerts.yml')) as { groups: { rules: Rule[] }[] };
const rules = groups.flatMap((group) => group.rules);
const run = promisify(execFile);
const withoutPromtool: string | false = await run('promtool', ['--version']).then(
  () => false,
  () => 'promtool is not installed here',
);

let metrics: string;
before(async () => {
  const world = await createTestWorld();
  const { metricsUrl } = await world.startBroker();
  metrics = await (await fetch(`${metricsUrl}/metrics`)).text();
});

for (const { alert, expr, labels, annotations } of rules) {
  test(`${alert} is about metrics and refusals that exist, and the runbook says what to do`, () => {
    const names = expr.match(/\bmayfly_\w+/g) ?? [];
    assert.ok(names.length > 0 || expr.startsWith('up{job="mayfly"}'), expr);
    for (const name of names) {
      assert.match(metrics, new RegExp(`^# TYPE ${name.replace(/_bucket$/, '')} `, 'm'), name);
    }
    for (const [, list = ''] of expr.matchAll(/reason=~?"([^"]+)"/g)) {
      for (const reason of list.split('|')) assert.ok(reason in REFUSAL_REASONS, reason);
    }
    assert.ok(['page', 'ticket'].includes(labels.severity));
    assert.ok(annotations.summary.length > 0);
    assert.ok(textOf('docs/runbook.md').includes(`**${alert}**`), 'the runbook says nothing about it');
  });
}

test('Prometheus itself takes the configuration and the rules', { skip: withoutPromtool }, async () => {
  await run('promtool', ['check', 'config', `${ROOT}deploy/prometheus/prometheus.yml`]);
});
