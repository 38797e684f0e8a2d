/** What can happen, one small thing at a time, and a few things that go together. */
import { SENSITIVITIES } from '../../../src/revocations/ledger-message.ts';
import type { Task } from './brokers.ts';
import type { Step } from './moods.ts';
import type { Verifier } from './verifiers.ts';
import type { World } from './world.ts';

const PROBED = 5;

export function createAdversary(world: World): Record<Step, () => void> {
  const { choices, database, network, judge, brokers, verifiers, tokens, tasks, start, wait } = world;
  const isFailover = choices.chance(0.5);
  let restores = choices.pick([0, 1, 2]) ?? 0;
  let backup = database.backup();

  const anyVerifier = () => choices.pick(world.awake());
  const anyToken = () => (choices.chance(0.5) ? tokens.at(-1 - choices.below(4)) : choices.pick(tokens));
  const endOf = (verifier: Verifier) => verifier.lastAnsweredAsk() + verifier.longestMilliseconds;

  function target() {
    const token = anyToken();
    if (token === undefined || choices.chance(0.1)) return { kind: 'all', target: '' } as const;
    const { jti, agent } = token;
    return choices.chance(0.5)
      ? ({ kind: 'token', target: jti } as const)
      : ({ kind: 'agent', target: agent } as const);
  }

  const revocation = () => brokers.revoke({ ...target(), standing: choices.chance(0.3), releases: null });

  function release(): void {
    const standing = database.entries().filter((each) => each.standing && !database.isReleased(each.epoch));
    const entry = choices.pick(standing);
    if (entry === undefined) return;
    if (world.off === 'L3: a release is an entry of its own') {
      database.releaseInPlace(entry.epoch);
      for (const each of world.revoked) each.isReleased ||= each.entry.digest === entry.digest;
      return;
    }
    const { kind, target: id, epoch, digest } = entry;
    start(brokers.revoke({ kind, target: id, standing: false, releases: epoch, releasedDigest: digest }));
  }

  /** It is asked when the task begins. */
  function* renewal(verifier: Verifier): Task {
    yield* brokers.renew(verifier.ask());
  }

  /** One renewal against one revocation, and nothing else. */
  function race(): void {
    const verifier = choices.chance(0.5) ? anyVerifier() : world.newcomer();
    if (verifier === undefined) return;
    if (choices.chance(0.3)) restore();
    const racers = [renewal(verifier), revocation()];
    while (racers.length > 0) {
      if (choices.chance(0.3)) wait(choices.between(0, 1_500));
      const index = choices.below(racers.length);
      if (racers[index]?.next().done !== false) racers.splice(index, 1);
    }
    if (choices.chance(0.7)) verifier.hear(network.newest());
    if (choices.chance(0.4)) waitToAnEdge(endOf(verifier));
    probe();
  }

  /** Just before or after somebody has to stop. */
  function waitToAnEdge(...edges: number[]): void {
    const edge = choices.pick(edges.filter((at) => at > world.now() + 2));
    if (edge !== undefined) world.waitUntil(edge - choices.below(3));
  }

  /** Everybody is asked about the newest tokens. */
  function probe(): void {
    for (const verifier of world.awake()) {
      for (const token of tokens.slice(-PROBED)) {
        verifier.begin(token, 'LOW');
        verifier.finish();
      }
    }
  }

  function begin(): Verifier | undefined {
    const token = anyToken();
    const verifier = anyVerifier();
    if (token !== undefined) verifier?.begin(token, choices.pick(SENSITIVITIES) ?? 'HIGH');
    return verifier;
  }

  /** Another instance begins; its first question is under way at once. */
  const join = () => start(brokers.renew(world.newcomer().ask()), choices.below(3));

  function restore(): void {
    if (restores === 0) return;
    restores -= 1;
    database.restore(backup, { failover: isFailover });
    brokers.reset();
    judge.restored({ silently: !isFailover });
  }

  function renewAtOnce({ heard }: { heard: boolean }): void {
    const verifier = anyVerifier();
    if (verifier !== undefined && world.askAtOnce(verifier) && heard) verifier.hear(network.newest());
  }

  function news(): void {
    const verifier = anyVerifier();
    if (verifier === undefined) return;
    const { instance } = verifier;
    const since = choices.chance(0.8) ? verifier.position().epoch : 0;
    start(brokers.answerWant({ to: 'broker', what: 'want', instance, since, generation: null }));
  }

  return {
    ask: () => anyVerifier()?.ask(),
    'renew at once': () => renewAtOnce({ heard: true }),
    'ask in vain': () => renewAtOnce({ heard: false }),
    deliver: () => world.receive(network.next()),
    replay: () => world.receive(network.replayed(verifiers.map(({ instance }) => instance))),
    lose: () => void network.next(),
    'take up a task': () => world.takeUp(choices.pick(tasks)),
    'drop a task': () => void tasks.splice(choices.below(tasks.length), 1),
    news,
    'want missing': () => anyVerifier()?.wantMissing(),
    decide: () => begin()?.finish(),
    begin: () => void begin(),
    finish: () => anyVerifier()?.finish(),
    probe,
    mint: () => start(world.mintFor()),
    'mint at once': () => world.finish(world.mintFor()),
    forge: world.forge,
    revoke: () => start(revocation()),
    'revoke at once': () => start(revocation(), choices.between(1, 5)),
    'race a renewal': race,
    release,
    'revoke key': () => start(world.revokeKey()),
    wait: () => wait(choices.between(0, choices.pick([300, 1_000, 3_000]) ?? 0)),
    'wait long': () => wait(choices.pick([1_500, 4_000, 9_000, 16_000, 120_000]) ?? 0),
    'wait to an edge': () => waitToAnEdge(...verifiers.map(endOf), ...judge.stops()),
    sleep: () => anyVerifier()?.sleep(),
    wake: () => choices.pick(verifiers)?.wake(),
    'set clock': () =>
      anyVerifier()?.setClock(choices.pick([-600, -20, -3, 0, 3, 600].map((s) => s * 1_000)) ?? 0),
    restart() {
      choices.pick(verifiers)?.crash();
      join();
    },
    join,
    leave: () => anyVerifier()?.leave(),
    'raise floor': database.raiseFloor,
    backup() {
      backup = database.backup();
    },
    restore,
    'fail over at once'() {
      restore();
      world.moveHead();
    },
    'move head': world.moveHead,
  };
}
