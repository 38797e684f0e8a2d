/**
 * The connections of one broker: a few that only mint, so that nothing else can queue in front; a few for operators,
 * so that whoever floods the others does not stand between a person and the kill switch (L2); one that only kills,
 * with one beside it; two that only look after commits, the kill's and everybody's; a few for the ledger and for
 * leases; and the rest. What an operator needs to get as far as the kill switch does not wait for a synchronous
 * standby, nor do leases; the entry in the ledger does.
 */
import type { Kysely } from 'kysely';
import { type CommitStatement, createCommitWait } from './commit-wait.ts';
import { createPool, openKysely, type Pool, type PoolOptions } from './pool.ts';
import { type Reserved, reserveConnections } from './reserved-connection.ts';

export type Database = {
  mintPool: Pool;
  operatorMintPool: Pool;
  /** For admitting operators, and for what they have to see in an emergency. */
  operatorPool: Pool;
  operatorKysely: Kysely<unknown>;
  /** The one connection on which the kill switch is engaged and released. */
  killSwitch: CommitStatement;
  /** Beside it: for what comes after its commit, and must not wait behind the next one. */
  killSwitchPool: Pool;
  reserved: Reserved;
  /** For the ledger's pages and for leases: verifiers stop when nobody answers them. */
  ledgerPool: Pool;
  pool: Pool;
  kysely: Kysely<unknown>;
  /** On `pool`, for whatever else takes the head of the ledger: a standby that is gone does not let it keep that. */
  commit: CommitStatement;
  close(): Promise<void>;
};

const MINT_CONNECTIONS = 2;
const OPERATOR_MINT_CONNECTIONS = 1;
const OPERATOR_CONNECTIONS = 2;
const LEDGER_CONNECTIONS = 3;
const CONNECTIONS = 8;

/** A mint that takes longer holds up everything behind it: better to refuse. */
const MINT_TIMEOUT_MILLISECONDS = 2_000;
/** Kills wait for each other, and for the head of the ledger, and for nothing else. */
const KILL_WAIT_MILLISECONDS = 5_000;

type Target = Pick<PoolOptions, 'url' | 'log' | 'admit'>;

/** @param target.admit asked about every new connection; throws when it leads to the wrong place */
export function connectDatabase(target: Target): Database {
  const minting = {
    ...target,
    statementTimeoutMilliseconds: MINT_TIMEOUT_MILLISECONDS,
    lockTimeoutMilliseconds: MINT_TIMEOUT_MILLISECONDS / 2,
    planOnce: true,
  };
  const mintPool = createPool({ ...minting, size: MINT_CONNECTIONS, applicationName: 'mayfly mint' });
  const ledgerPool = createPool({
    ...minting,
    size: LEDGER_CONNECTIONS,
    applicationName: 'mayfly ledger',
    planOnce: false,
    commitLocally: true,
  });
  const pool = createPool({ ...target, size: CONNECTIONS, applicationName: 'mayfly' });
  const kysely = openKysely<unknown>(pool);
  const { close: closeReserved, onlookerPool, ...reserved } = connectReserved({ ...target, minting });
  return {
    ...reserved,
    mintPool,
    ledgerPool,
    pool,
    kysely,
    commit: createCommitWait({ pool, aside: onlookerPool, log: target.log }),
    async close() {
      await Promise.all([closeReserved(), mintPool.end(), ledgerPool.end(), kysely.destroy()]);
    },
  };
}

type Reservation = Pick<
  Database,
  | 'operatorMintPool'
  | 'operatorPool'
  | 'operatorKysely'
  | 'killSwitch'
  | 'killSwitchPool'
  | 'reserved'
  | 'close'
> & { onlookerPool: Pool };

function connectReserved({ minting, ...target }: Target & { minting: object }): Reservation {
  const keep = { ...target, keepOpen: true };
  const operatorMintPool = createPool({
    ...keep,
    ...minting,
    size: OPERATOR_MINT_CONNECTIONS,
    applicationName: 'mayfly operator mint',
    commitLocally: true,
  });
  const operatorPool = createPool({
    ...keep,
    size: OPERATOR_CONNECTIONS,
    applicationName: 'mayfly operator',
    commitLocally: true,
  });
  const killPool = createPool({
    ...keep,
    size: 1,
    applicationName: 'mayfly kill switch',
    connectTimeoutMilliseconds: KILL_WAIT_MILLISECONDS,
  });
  const killSwitchPool = createPool({
    ...keep,
    size: 1,
    applicationName: 'mayfly kill switch aside',
    connectTimeoutMilliseconds: KILL_WAIT_MILLISECONDS,
    commitLocally: true,
  });
  // Whoever reads or polls would delay ending a wait; so would the onlookers of everybody's commits a kill's.
  const newOnlookerPool = (applicationName: string) =>
    createPool({ ...keep, size: 1, applicationName, commitLocally: true });
  const killOnlookerPool = newOnlookerPool('mayfly kill switch onlooker');
  const onlookerPool = newOnlookerPool('mayfly onlooker');
  const operatorKysely = openKysely<unknown>(operatorPool);
  const pools = [operatorMintPool, operatorPool, killPool, killSwitchPool, killOnlookerPool, onlookerPool];
  const reserved = reserveConnections({ pools, log: target.log });
  return {
    operatorMintPool,
    operatorPool,
    operatorKysely,
    killSwitch: createCommitWait({ pool: killPool, aside: killOnlookerPool, log: target.log }),
    killSwitchPool,
    onlookerPool,
    reserved,
    async close() {
      await reserved.close();
      await Promise.all([
        operatorMintPool.end(),
        operatorKysely.destroy(),
        killPool.end(),
        killSwitchPool.end(),
        killOnlookerPool.end(),
        onlookerPool.end(),
      ]);
    },
  };
}
