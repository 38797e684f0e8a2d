/** Everything that a run has, and who is handed what. */
import { type Brokers, createBrokers, type Task } from './brokers.ts';
import { createChoices } from './choices.ts';
import { createModelDatabase, type Written } from './database.ts';
import { createJudge } from './judge.ts';
import { createNetwork, type Message } from './messages.ts';
import type { Rule } from './rules.ts';
import { AGENTS, LIFETIME_MILLISECONDS, type Revoked, type Token } from './token.ts';
import { createModelVerifier, type Verifier } from './verifiers.ts';

const SEATS = ['one', 'two', 'three'];
const MAX_VERIFIERS = 6;
const MAX_TOKENS = 24;

export type World = ReturnType<typeof createWorld>;

export function createWorld(seed: number, off: Rule | undefined) {
  const choices = createChoices(seed);
  let now = 1_000_000_000_000;
  let events = 0;
  let instances = 0;
  let key = 1;
  const tokens: Token[] = [];
  const revoked: Revoked[] = [];
  const tasks: Task[] = [];
  const maxTasks = choices.pick([3, 8, 24]) ?? 8;
  const clock = () => now;
  const database = createModelDatabase({ now: clock, off, pageEntries: choices.pick([3, 50]) ?? 50 });
  const network = createNetwork(choices);
  const judge = createJudge({ database, now: clock, revoked });
  const brokers: Brokers = createBrokers({
    database,
    now: clock,
    order: nextOrder,
    send: network.send,
    onMint: keep,
    onCommit: happened,
    onReceipt: judge.note,
    waitsNoLonger: () => choices.chance(0.4),
    signingKey: () => `kid-${key}`,
    off,
  });
  const verifiers: Verifier[] = SEATS.map(newVerifier);

  function nextOrder(): number {
    events += 1;
    return events;
  }

  function happened(entry: Written): Revoked {
    const made = { entry, order: nextOrder(), committedAt: now, isReleased: false, isLost: false };
    for (const each of revoked) {
      const isIt = each.entry.epoch === entry.releases && database.hasIn(entry.digest, each.entry.digest);
      if (isIt) each.isReleased = true;
    }
    revoked.push(made);
    return made;
  }

  function newVerifier(seat: string): Verifier {
    instances += 1;
    const instance = `ver_${instances}`;
    const { send } = network;
    return createModelVerifier({ seat, instance, choices, now: clock, send, onGrant: judge.grant, off });
  }

  function keep(token: Token): void {
    tokens.push(token);
    if (tokens.length > MAX_TOKENS) tokens.shift();
  }

  function start(task: Task, steps = 0): void {
    for (let step = 0; step < steps; step += 1) task.next();
    if (tasks.length === maxTasks) tasks.shift();
    tasks.push(task);
  }

  function finish(task: Task): void {
    while (task.next().done !== true);
  }

  return {
    off,
    choices,
    now: clock,
    database,
    network,
    judge,
    brokers,
    verifiers,
    tokens,
    revoked,
    tasks,
    happened,
    start,
    finish,
    awake: () => verifiers.filter((verifier) => verifier.isAwake()),

    wait(milliseconds: number): void {
      now += milliseconds;
    },
    waitUntil(at: number): void {
      now = Math.max(now, at);
    },

    takeUp(task: Task | undefined): void {
      if (task?.next().done === true) tasks.splice(tasks.indexOf(task), 1);
    },

    receive(message: Message | undefined): void {
      if (message === undefined) return;
      if (message.what === 'question') start(brokers.renew(message.question));
      else if (message.what === 'want') start(brokers.answerWant(message));
      else verifiers.find(({ instance }) => instance === message.to)?.hear(message);
    },

    /** @returns whether it was answered; the answer is the newest message under way */
    askAtOnce(verifier: Verifier): boolean {
      const before = network.sent();
      const question = verifier.ask();
      finish(brokers.renew(question));
      return network.sent() > before + 1;
    },

    /** Another instance of a resource server; what was there may go on. */
    newcomer(): Verifier {
      if (verifiers.length === MAX_VERIFIERS) verifiers.shift()?.crash();
      const verifier = newVerifier(choices.pick(SEATS) ?? '');
      verifiers.push(verifier);
      return verifier;
    },

    mintFor: (agent = choices.pick(AGENTS) ?? '') => brokers.mint(agent),

    /** A thief of the key writes what he likes. */
    forge(): void {
      const epoch = database.head().epoch + (choices.pick([0, 3, 1_000_000]) ?? 0);
      const exp = Math.floor((now + LIFETIME_MILLISECONDS) / 1_000);
      const agent = choices.pick(AGENTS) ?? '';
      const kid = `kid-${key}`;
      keep({ jti: `forged-${nextOrder()}`, agent, kid, epoch, order: events, at: now, exp, isForged: true });
    },

    /** Who steals a key has it revoked, and the next one signs. */
    revokeKey(): Task {
      key += 1;
      return brokers.revoke({
        kind: 'signing-key',
        target: `kid-${key - 1}`,
        standing: false,
        releases: null,
      });
    },

    moveHead(): void {
      if (database.isKnownTimeline()) return;
      const entry = database.moveHead();
      if (entry !== null) happened(entry);
    },
  };
}
