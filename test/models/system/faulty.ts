/**
 * A verifier's state with one rule switched off. The real code has no such switches, so what reaches it is bent until
 * it behaves as if it had not the rule: what it is told, when, and by which clock.
 */
import { copyOfSnapshot, type LedgerCopy } from '../../../src/revocations/ledger-copy.ts';
import type { LedgerPage } from '../../../src/revocations/ledger-entry.ts';
import { SENSITIVITIES, type Sensitivity } from '../../../src/revocations/ledger-message.ts';
import type { Revocable } from '../../../src/revocations/rule.ts';
import {
  createLeaseState,
  type Decision,
  type LeaseAnswer,
  type LeaseState,
} from '../../../src/verifier/lease-state.ts';
import type { Moment } from '../../../src/verifier/moment.ts';
import type { Rule } from './rules.ts';

const ANY_DIGEST = 'A'.repeat(43);

export function createFaultyState(instance: string, off: Rule | undefined): LeaseState {
  const real = createLeaseState({ instance });
  const asked = new Map<string, readonly Sensitivity[]>();
  const heard = new Map<number, string>();
  let latest: LedgerCopy | null = null;

  function bentMoment({ wall, monotonic }: Moment): Moment {
    if (off === 'L15: suspended time counts') return { wall: monotonic, monotonic };
    if (off === 'L15: setting back the clock buys nothing') return { wall, monotonic: wall };
    return { wall, monotonic };
  }

  function bentPage(page: LedgerPage): LedgerPage {
    if (off === 'L17: a fork is noticed') return asFirstHeard(page);
    if (off === 'L17: a new generation starts anew') return { ...page, generation: 1 };
    if (off === 'L3: a snapshot is swapped in whole' && page.snapshot) {
      const digest = page.entries.at(-1)?.digest ?? page.head.digest;
      return { ...page, since: 0, since_digest: null, head: { epoch: page.through, digest } };
    }
    if (off === 'L8: what stands kills whatever the epoch') {
      return { ...page, entries: page.entries.map((entry) => ({ ...entry, standing: false })) };
    }
    return page;
  }

  function asFirstHeard({ head, entries, ...page }: LedgerPage): LedgerPage {
    const first = (epoch: number, digest: string) => {
      if (!heard.has(epoch)) heard.set(epoch, digest);
      return heard.get(epoch) ?? digest;
    };
    return {
      ...page,
      since_digest: page.since_digest === null ? null : first(page.since, page.since_digest),
      entries: entries.map((entry) => ({ ...entry, digest: first(entry.epoch, entry.digest) })),
      head: { ...head, digest: first(head.epoch, head.digest) },
    };
  }

  /** An answer that adds nothing to what is known, but is believed all the same. */
  function asIfNothingWereNew(answer: LeaseAnswer): LeaseAnswer {
    const { generation, epoch, digest } = real.position();
    if (digest === null || generation !== answer.page.generation) return answer;
    const page = { ...answer.page, snapshot: false, since: epoch, since_digest: digest, through: epoch };
    return { ...answer, page: { ...page, head: { epoch, digest }, entries: [] } };
  }

  function isAhead({ page }: LeaseAnswer): boolean {
    const { generation, epoch } = real.position();
    return page.generation === generation && page.head.epoch < epoch;
  }

  function bentAnswer(answer: LeaseAnswer, at: Moment): LeaseAnswer {
    const isMine = asked.has(answer.nonce);
    const again = (nonce: string) =>
      real.ask({ nonce, sensitivities: asked.get(nonce) ?? SENSITIVITIES, at });
    if (off === 'L13: a lease is for the instance that asked' && !isMine) {
      again(answer.nonce);
      return { ...answer, instance };
    }
    if (off === 'L14: an answer is for one question' && isMine) again(answer.nonce);
    if (off === 'L15: a lease runs from the question' && isMine) again(answer.nonce);
    if (off === 'L17: a late answer proves no rollback' && isMine && isAhead(answer)) again(answer.nonce);
    if (off === 'L15: a lease counts once its epoch is applied') return asIfNothingWereNew(answer);
    if (off === 'L17: a rollback is noticed' && isAhead(answer)) return asIfNothingWereNew(answer);
    return answer;
  }

  function copyLatest(page: LedgerPage): void {
    if (off !== 'L13: the epoch never goes down' && off !== 'L13: nothing is served without a lease') return;
    if (latest?.append(page) !== true && page.snapshot) latest = copyOfSnapshot([page]) ?? latest;
  }

  /** As if whoever wrote the token were a broker that had seen so much of the ledger. */
  function believe(claimed: number): void {
    const { generation, epoch, digest } = real.position();
    if (digest === null || claimed <= epoch) return;
    const place = { since: epoch, since_digest: digest, through: epoch, entries: [] };
    real.take(
      {
        generation,
        snapshot: false,
        floor: 0,
        ...place,
        head: { epoch: claimed, digest: ANY_DIGEST },
      },
      'ledger-1',
    );
  }

  function bentSubject({ signingKey, ...subject }: Revocable): Revocable {
    if (off === 'L8: a larger epoch kills') subject.epoch += 1;
    if (off === 'L8: a revoked signing key kills whatever the epoch') return subject;
    return signingKey === undefined ? subject : { ...subject, signingKey };
  }

  const isAboutLease = (decision: Decision) => decision === 'lease_missing' || decision === 'lease_expired';

  const isAboutToken = (decision: Decision) => decision === 'token_revoked';

  return {
    ...real,
    ask({ nonce, sensitivities, at }) {
      const declared =
        off === 'L15: no lease is longer than what was declared' ? SENSITIVITIES : sensitivities;
      asked.set(nonce, declared);
      return real.ask({ nonce, sensitivities: declared, at: bentMoment(at) });
    },
    answer(answer, at) {
      copyLatest(answer.page);
      const bent = bentAnswer(answer, bentMoment(at));
      return real.answer({ ...bent, page: bentPage(bent.page) }, bentMoment(at));
    },
    take(page, signedBy) {
      copyLatest(page);
      return real.take(bentPage(page), signedBy);
    },
    decide({ subject, exp, sensitivity }, at) {
      const bent = { subject: bentSubject(subject), exp, sensitivity };
      if (off === 'L11: the epoch of a token proves nothing') believe(bent.subject.epoch);
      const decision = real.decide(bent, bentMoment(at));
      const hinders = off === 'L13: nothing is served without a lease' ? isAboutLease : isAboutToken;
      return hinders(decision) && latest?.isDead(bent.subject) === false ? 'granted' : decision;
    },
    readiness: (sensitivity, at) => real.readiness(sensitivity, bentMoment(at)),
  };
}
