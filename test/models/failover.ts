/**
 * A failover, small enough to look at every state of it (L21, L25): a primary and a standby, one kill, an entry that
 * means nobody, two tokens, one verifier. Each action is atomic; what happens inside of them the system model bends.
 */
export type Off =
  | 'L21: complete only when replicated'
  | 'L25: brokers stop at another timeline'
  | 'L25: a moved head revokes all'
  | 'L25: a moved head is far above'
  | 'L25: nothing is complete until one lease after the move';

export const SWITCHES: readonly Off[] = [
  'L21: complete only when replicated',
  'L25: brokers stop at another timeline',
  'L25: a moved head revokes all',
  'L25: a moved head is far above',
  'L25: nothing is complete until one lease after the move',
];

type Entry = { epoch: number; means: 'agent' | 'all' | 'nobody' };
type Ledger = { generation: number; epoch: number; entries: readonly Entry[] };

/** What is replicated: the ledger, and what is known of the verifier. */
type Database = { ledger: Ledger; row: { applied: number; generation: number } | null };

export type State = {
  primary: Database;
  standby: Database | null;
  standbyAnswers: boolean;
  /** Whether the head row names the timeline that the database is on. */
  isKnownTimeline: boolean;
  movedLately: boolean;
  kill: { epoch: number; replicated: boolean } | null;
  isComplete: boolean;
  /** In the order of minting; `before`: its checks saw no kill yet. */
  tokens: readonly { epoch: number; before: boolean }[];
  verifier: { copy: Ledger; hasLease: boolean } | null;
  others: number;
};

export type Mode = 'synchronous' | 'asynchronous';

const FAR = 10;
const MAX_TOKENS = 2;
const MAX_OTHERS = 2;

export const START: State = (() => {
  const empty: Database = { ledger: { generation: 1, epoch: 0, entries: [] }, row: null };
  return {
    primary: empty,
    standby: empty,
    standbyAnswers: true,
    isKnownTimeline: true,
    movedLately: false,
    kill: null,
    isComplete: false,
    tokens: [],
    verifier: null,
    others: 0,
  };
})();

function append(state: State, means: Entry['means'], mode: Mode): State {
  const { ledger, row } = state.primary;
  const epoch = ledger.epoch + 1;
  const primary = { ledger: { ...ledger, epoch, entries: [...ledger.entries, { epoch, means }] }, row };
  const isAnswered = mode === 'synchronous' && state.standbyAnswers && state.standby !== null;
  return { ...state, primary, standby: isAnswered ? primary : state.standby };
}

export const isIn = ({ entries }: Ledger, epoch: number, means: Entry['means']) =>
  entries.some((entry) => entry.epoch === epoch && entry.means === means);

export function accepts({ verifier }: State, { epoch }: State['tokens'][number]): boolean {
  if (verifier === null || !verifier.hasLease) return false;
  return !verifier.copy.entries.some(({ epoch: at, means }) =>
    means === 'agent' ? true : means === 'all' && at > epoch,
  );
}

/** Every state that one action leads to. */
export function next(state: State, mode: Mode, off?: Off): State[] {
  const { primary, standby, kill, tokens } = state;
  const serves = state.isKnownTimeline || off === 'L25: brokers stop at another timeline';
  const isStopped = primary.ledger.entries.some(({ means }) => means === 'agent');
  const states: State[] = [];
  if (serves && !isStopped && tokens.length < MAX_TOKENS) {
    const minted = { epoch: primary.ledger.epoch, before: kill === null };
    states.push({ ...state, tokens: [...tokens, minted] });
  }
  if (serves && state.others < MAX_OTHERS) {
    states.push(append({ ...state, others: state.others + 1 }, 'nobody', mode));
  }
  if (serves && kill === null) {
    const killed = append(state, 'agent', mode);
    const replicated = mode === 'asynchronous' || killed.standby === killed.primary;
    states.push({ ...killed, kill: { epoch: killed.primary.ledger.epoch, replicated } });
  }
  if (serves) states.push(renewed(state, mode));
  if (serves && kill !== null && !state.isComplete && mayComplete(state, kill, off)) {
    states.push({ ...state, isComplete: true });
  }
  states.push({ ...state, standbyAnswers: !state.standbyAnswers }, leasePassed(state));
  if (standby !== null) {
    states.push({ ...state, standby: primary });
    states.push({ ...state, primary: standby, standby: null, isKnownTimeline: false });
  }
  if (!state.isKnownTimeline) states.push(moved(state, mode, off));
  return states;
}

function renewed(state: State, mode: Mode): State {
  const { ledger } = state.primary;
  const known = state.verifier?.copy;
  const isOurs = known === undefined || known.generation < ledger.generation || known.epoch <= ledger.epoch;
  const copy = isOurs ? ledger : known;
  const primary = { ledger, row: { applied: copy.epoch, generation: copy.generation } };
  const isAnswered = mode === 'synchronous' && state.standbyAnswers && state.standby !== null;
  const standby = isAnswered ? primary : state.standby;
  return { ...state, primary, standby, verifier: { copy, hasLease: isOurs } };
}

function mayComplete(state: State, kill: NonNullable<State['kill']>, off?: Off): boolean {
  const { ledger, row } = state.primary;
  if (!isIn(ledger, kill.epoch, 'agent')) return false;
  if (!kill.replicated && off !== 'L21: complete only when replicated') return false;
  if (state.movedLately && off !== 'L25: nothing is complete until one lease after the move') return false;
  return row === null || (row.generation === ledger.generation && row.applied >= kill.epoch);
}

/** The longest lease goes by, and nobody renews: the verifier has stopped, and its row says so. */
function leasePassed(state: State): State {
  const { primary, verifier } = state;
  const stopped = verifier === null ? null : { ...verifier, hasLease: false };
  return { ...state, primary: { ...primary, row: null }, verifier: stopped, movedLately: false };
}

function moved(state: State, mode: Mode, off?: Off): State {
  const { ledger, row } = state.primary;
  const highest = Math.max(ledger.epoch, state.verifier?.copy.epoch ?? 0);
  const epoch = off === 'L25: a moved head is far above' ? ledger.epoch : highest + FAR;
  const jumped = { ...ledger, epoch, generation: ledger.generation + 1 };
  const known = { ...state, primary: { ledger: jumped, row }, isKnownTimeline: true, movedLately: true };
  return off === 'L25: a moved head revokes all' ? known : append(known, 'all', mode);
}
