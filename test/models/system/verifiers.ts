/** One verifier process: the real state machine, with clocks, questions and decisions under way around it. */
import assert from 'node:assert/strict';
import { SENSITIVITIES, type Sensitivity } from '../../../src/revocations/ledger-message.ts';
import { createLeaseState, type LeaseState } from '../../../src/verifier/lease-state.ts';
import type { Moment } from '../../../src/verifier/moment.ts';
import type { Choices } from './choices.ts';
import { createFaultyState } from './faulty.ts';
import { LEASES, type Message, type Question } from './messages.ts';
import type { Rule } from './rules.ts';
import { revocableOf, type Token } from './token.ts';

export type Grant = { verifier: Verifier; token: Token; sensitivity: Sensitivity };

export type Verifier = ReturnType<typeof createModelVerifier>;

/** Decisions that wait for something, such as a replay store. */
const MAX_UNDER_WAY = 4;

export function createModelVerifier(options: {
  seat: string;
  instance: string;
  choices: Choices;
  now: () => number;
  send: (message: Message) => void;
  onGrant: (grant: Grant) => void;
  off: Rule | undefined;
}) {
  const { seat, instance, choices, now, send, onGrant, off } = options;
  const state: LeaseState =
    off === undefined ? createLeaseState({ instance }) : createFaultyState(instance, off);
  const sensitivities = choices.pick([['HIGH'], ['MED', 'HIGH'], SENSITIVITIES] as const) ?? SENSITIVITIES;
  /** A machine that sleeps, or one whose wall clock is set: both at once is more than clocks can tell (L22). */
  const sleeps = choices.chance(0.5);
  const row = off === 'L12: an instance answers for itself alone' ? seat : instance;
  const askedAt = new Map<string, number>();
  const answeredAsks: number[] = [];
  const underWay: { token: Token; sensitivity: Sensitivity; early: boolean }[] = [];
  let wallOffset = choices.between(-20_000, 20_000);
  let sleptMilliseconds = 0;
  let fellAsleepAt: number | null = null;
  let questions = 0;
  let isGone = false;
  let last = { generation: 0, epoch: 0 };

  const moment = (): Moment => ({ wall: now() + wallOffset, monotonic: now() - sleptMilliseconds });
  const isAwake = () => !isGone && fellAsleepAt === null;

  function checkPosition(): void {
    const { generation, epoch } = state.position();
    if (generation === 0) return; // nothing yet, or nothing of a new generation yet
    const wentOn = generation > last.generation || (generation === last.generation && epoch >= last.epoch);
    assert.ok(wentOn, `L13: ${instance} went back from ${JSON.stringify(last)} to ${generation}/${epoch}`);
    last = { generation, epoch };
  }

  function decide(token: Token, sensitivity: Sensitivity): boolean {
    const subject = revocableOf(token);
    return state.decide({ subject, exp: token.exp, sensitivity }, moment()) === 'granted';
  }

  function ask(leaving = false): Question {
    questions += 1;
    const nonce = `${instance}-${questions}`;
    askedAt.set(nonce, now());
    const { generation, epoch, digest } = state.ask({ nonce, sensitivities, at: moment() });
    const question = { instance, row, nonce, generation, applied: epoch, digest, sensitivities, leaving };
    send({ to: 'broker', what: 'question', question });
    return question;
  }

  return {
    seat,
    instance,
    row,
    isAwake,
    isGone: () => isGone,
    position: state.position,
    ask,
    /** No lease of this instance is longer. */
    longestMilliseconds: Math.max(...sensitivities.map((each) => LEASES[each])) * 1_000,
    /** When the newest question was asked of which it heard the answer. */
    lastAnsweredAsk: () => Math.max(Number.NEGATIVE_INFINITY, ...answeredAsks.slice(-20)),

    hear(message: Message | undefined): void {
      if (!isAwake() || message === undefined) return;
      if (message.what === 'page') state.take(message.page, 'ledger-1');
      if (message.what === 'answer') {
        const at = askedAt.get(message.answer.nonce);
        if (at !== undefined) answeredAsks.push(at);
        state.answer(message.answer, moment());
      }
      checkPosition();
    },

    /** @returns whether anything is missing */
    wantMissing(): boolean {
      const since = state.missing();
      if (since !== null) send({ to: 'broker', what: 'want', instance, since, generation: null });
      return since !== null;
    },

    /** A request comes; what it needs to wait for takes a while. */
    begin(token: Token, sensitivity: Sensitivity): void {
      if (underWay.length === MAX_UNDER_WAY) return;
      underWay.push({
        token,
        sensitivity,
        early: off === 'L16: the decision is the last step' && decide(token, sensitivity),
      });
    },

    finish(): void {
      const next = underWay.shift();
      if (next === undefined) return;
      const { token, sensitivity, early } = next;
      if (early || decide(token, sensitivity)) onGrant({ verifier: this, token, sensitivity });
    },

    alarm(): string | null {
      const decision = state.readiness('HIGH', moment());
      return decision === 'ledger_forked' || decision === 'ledger_rolled_back' ? decision : null;
    },

    sleep(): void {
      if (sleeps) fellAsleepAt ??= now();
    },
    wake(): void {
      if (fellAsleepAt !== null) sleptMilliseconds += now() - fellAsleepAt;
      fellAsleepAt = null;
    },
    setClock(milliseconds: number): void {
      if (!sleeps) wallOffset = milliseconds;
    },

    recover(): void {
      underWay.length = 0;
      this.wake();
      wallOffset = 0;
    },

    decides: (token: Token, sensitivity: Sensitivity) => decide(token, sensitivity),

    /** From now on it decides nothing, and says so. */
    leave(): void {
      if (off === 'L12: an instance leaves after its last decision') {
        ask(true);
        return;
      }
      while (underWay.length > 0) this.finish();
      ask(true);
      state.close();
      isGone = true;
    },
    crash(): void {
      isGone = true;
    },
  };
}
