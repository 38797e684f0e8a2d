/** What travels. The network may hold, repeat, reorder and lose it, and hand it to somebody else; not change it. */
import type { LedgerPage } from '../../../src/revocations/ledger-entry.ts';
import type { Sensitivity } from '../../../src/revocations/ledger-message.ts';
import type { LeaseAnswer } from '../../../src/verifier/lease-state.ts';
import type { Choices } from './choices.ts';

export const LEASES: Record<Sensitivity, number> = { LOW: 15, MED: 6, HIGH: 2 };

export type Question = {
  instance: string;
  /** The name of its row; another one only where a rule is switched off. */
  row: string;
  nonce: string;
  generation: number;
  applied: number;
  digest: string | null;
  sensitivities: readonly Sensitivity[];
  leaving: boolean;
};

export type Message =
  | { to: 'broker'; what: 'question'; question: Question }
  | { to: 'broker'; what: 'want'; instance: string; since: number; generation: null }
  | { to: string; what: 'answer'; answer: LeaseAnswer }
  | { to: string; what: 'page'; page: LedgerPage };

export type Network = ReturnType<typeof createNetwork>;

export function createNetwork(choices: Choices) {
  const waiting: Message[] = [];
  /** An eavesdropper keeps some of it. */
  const kept: Message[] = [];
  const maxMessages = choices.pick([6, 20, 60]) ?? 20;
  let sent = 0;

  function add(list: Message[], message: Message): void {
    list.push(message);
    if (list.length > maxMessages) list.shift();
  }

  return {
    send(message: Message) {
      sent += 1;
      add(waiting, message);
      if (choices.chance(0.3)) add(kept, message);
    },
    sent: () => sent,
    /** The oldest, the newest, or any. */
    next(): Message | undefined {
      const index = choices.pick([0, 0, waiting.length - 1, choices.below(waiting.length)]) ?? 0;
      return waiting.splice(index, 1)[0];
    },
    oldest: () => waiting.shift(),
    newest: () => waiting.pop(),
    /** One from the past, perhaps to somebody whom it was not meant for. */
    replayed(instances: readonly string[]): Message | undefined {
      const message = choices.pick(kept);
      const another = choices.chance(0.3) ? choices.pick(instances) : undefined;
      if (another === undefined || message?.what === 'question' || message?.what === 'want') return message;
      return message && { ...message, to: another };
    },
    clear: () => void waiting.splice(0),
  };
}
