/**
 * `mayfly kill drill`: whether the kill switch works, as far as a canary could tell. Ends with 7 when it does not, or
 * when nobody knows, so that a script can watch it.
 */
import { Command } from 'commander';
import type { Environment } from '../config/environment.ts';
import { asOperator } from './as-operator.ts';
import { fail } from './failure.ts';
import { addConnectionOptions, type OperatorOptions } from './operator-commands.ts';
import { printOne } from './print.ts';

type DrillOptions = OperatorOptions & { now: boolean };

const PATH = '/v1/kill-switch/drill';

export function drillCommand(environment: Environment): Command {
  const command = new Command('drill')
    .description('how the last self-test of the switch went; ends with 7 when it was missed')
    .option('--now', 'run one now (mayfly:run:drills), which takes some seconds', false);
  return addConnectionOptions(command).action(async (options: DrillOptions) => {
    const { body } = await asOperator(environment, options, (client) =>
      options.now
        ? client.ask({ may: 'mayfly:run:drills', method: 'POST', path: PATH, body: {} })
        : client.ask({ may: 'mayfly:read:kill-switch', method: 'GET', path: PATH }),
    );
    printOne(body, options.output);
    if (body.missed !== false)
      fail('verification', 'The self-test was missed: nobody knows whether the switch works.');
  });
}
