/**
 * Brings every role to the deny that is wanted on it: looks what the ledger stopped while its credentials were out, puts
 * the policy that says so, makes it smaller as they end, and removes it with the last of them. All that is wanted stands
 * in the database; a broker that dies leaves nothing behind but a lease of half a minute. Kills know nothing of it (L2).
 *
 * IAM is no ledger: what it has taken it spreads, and promises no moment. So a receipt says when it was taken.
 */
import type { Log } from '../errors/log.ts';
import { textDigest } from '../operators/named-target.ts';
import type { Clock } from '../time/clock.ts';
import { newIdentifier } from '../time/identifier.ts';
import { denyPolicy, wideDenyPolicy } from './deny-policy.ts';
import type { DenyStore, RoleState } from './deny-store.ts';
import { type Iam, IamError } from './iam.ts';

/** Whether what stands on a role is still what was put there. */
const CHECK_SECONDS = 60;
const BACK_OFF_MILLISECONDS = { least: 1_000, most: 30_000 };
/** Of one look; more entries of the ledger wait for the next. */
const MAX_ROUNDS = 10;

const TROUBLE =
  'A deny on a role could not be put or removed: look at the role, and at what mayfly may do there.';

export type Denier = {
  /** One look: at the ledger, and at every role where something is to be done. */
  look(): Promise<void>;
};

export function createDenier(options: {
  store: DenyStore;
  iam: Iam;
  log: Log;
  clock: Clock;
  random?: () => number;
}): Denier {
  const { store, iam, log, clock, random = Math.random } = options;

  /** @returns the digest of what stands there now */
  async function bringAbout({ roleArn, denied, policySha256 }: RoleState): Promise<string> {
    const wanted = denyPolicy(denied);
    const digest = digestOf(wanted);
    if (digest === policySha256 && (wanted === null || digestOf(await iam.read(roleArn)) === digest))
      return digest;
    if (wanted === null) await iam.remove(roleArn);
    else await iam.put(roleArn, wanted);
    return digest;
  }

  /** Other policies of the role may have left no room for the exact one. */
  async function bringAboutSomehow(role: RoleState): Promise<string> {
    try {
      return await bringAbout(role);
    } catch (error) {
      const wide = wideDenyPolicy(role.denied);
      if (!(error instanceof IamError) || error.code !== 'LimitExceeded' || wide === null) throw error;
      log.warn(
        { roleArn: role.roleArn },
        'No room on this role for the exact deny: all credentials of before are denied.',
      );
      await iam.put(role.roleArn, wide);
      return digestOf(denyPolicy(role.denied));
    }
  }

  function pauseAfter(failures: number): number {
    const { least, most } = BACK_OFF_MILLISECONDS;
    return least + random() * Math.min(most, least * 2 ** Math.min(failures, 10));
  }

  /** With a lease, and only with it: what was read before another broker was here may be old. */
  async function attend(roleArn: string): Promise<void> {
    const lease = newIdentifier('lea', clock);
    if (!(await store.lease(roleArn, lease))) return;
    const role = await store.role(roleArn);
    if (role !== null && isDue(role)) await attendUnder(lease, role);
    else await store.release(roleArn, lease);
  }

  async function attendUnder(lease: string, role: RoleState): Promise<void> {
    const { roleArn, denied, open: epochs, failures } = role;
    try {
      const policySha256 = await bringAboutSomehow(role);
      const auditId = newIdentifier('aud', clock);
      const done = { roleArn, lease, policySha256, epochs, entries: denied.length, auditId };
      if (!(await store.put(done))) return;
      log.info({ roleArn, denied: denied.length }, 'IAM has what is to be denied on a role.');
    } catch (error) {
      if (!(error instanceof IamError)) throw error;
      const { code, unknown } = error;
      log.error({ roleArn, code, failures }, TROUBLE);
      const pauseMilliseconds = pauseAfter(failures);
      await store.fail({ roleArn, lease, error: code, pauseMilliseconds, unknown, epochs });
    }
  }

  return {
    async look() {
      for (let round = 0; round < MAX_ROUNDS; round += 1) if ((await store.note()) === 0) break;
      const due = (await store.roles()).filter(isDue);
      const outcomes = await Promise.allSettled(due.map(({ roleArn }) => attend(roleArn)));
      for (const outcome of outcomes) if (outcome.status === 'rejected') throw outcome.reason;
    },
  };
}

function isDue({ denied, open, policySha256, checkedSecondsAgo, failures }: RoleState): boolean {
  const isWanted = digestOf(denyPolicy(denied)) === policySha256;
  const isChecked = policySha256 === '' || checkedSecondsAgo < CHECK_SECONDS;
  return !isWanted || !isChecked || open.length > 0 || failures > 0;
}

/** '' stands for no policy. */
function digestOf(policy: string | null): string {
  return policy === null ? '' : textDigest(policy);
}
