/**
 * How a program comes to the secret of its run. What stands in an environment is inherited by everything that the
 * program starts, is shown to debuggers and ends in crash reports; so the code there is good once, and whoever finds it
 * later has nothing. Somebody who was first shows: the program itself is refused, and the run says so.
 */
import { bearerOf, type Guard, requireBearer } from './bearer.ts';
import type { Verb } from './local-endpoint.ts';
import { refuseHere } from './refused-here.ts';
import { isSame, newSecret } from './secret.ts';

export type Bootstrap = {
  /** For the environment of the program. */
  code: string;
  verb: Verb;
  /** Of every other verb. */
  guard: Guard;
};

const MAX_WRONG_CODES = 5;

/** @param report one line for whoever started the run */
export function createBootstrap({ report }: { report: (line: string) => void }): Bootstrap {
  const code = newSecret();
  let secret: string | undefined;
  let wrongCodes = 0;
  let wasTold = false;

  function requireCode(authorization: string | undefined): void {
    if (wrongCodes >= MAX_WRONG_CODES) {
      refuseHere('bootstrap_closed', 'Too many wrong codes were tried: start the run again.');
    }
    if (isSame(bearerOf(authorization), code)) return;
    wrongCodes += 1;
    if (wrongCodes === MAX_WRONG_CODES) report('Too many wrong bootstrap codes: no more are taken.');
    refuseHere('bootstrap_wrong', 'Send Authorization: Bearer with the value of MAYFLY_BOOTSTRAP.');
  }

  function refuseSecondUse(): never {
    if (!wasTold) report('The bootstrap code was shown a second time; the secret given first goes on.');
    wasTold = true;
    refuseHere('bootstrap_used', 'It is good once: keep the secret, and hand it on to what needs it.');
  }

  return {
    code,
    guard: requireBearer(() => secret),
    verb: {
      method: 'POST',
      name: 'bootstrap',
      guard: requireCode,
      async work() {
        if (secret !== undefined) return refuseSecondUse();
        secret = newSecret();
        return { secret };
      },
    },
  };
}
