/**
 * A Postgres for one test file, for what is true of a whole cluster: import it before anything that makes a database.
 * `standby('nobody')` makes every commit wait for a synchronous standby that does not exist.
 */
import { after } from 'node:test';
import type pg from 'pg';
import { asSuperuser, SOCKET_VARIABLE, startTestCluster } from './test-cluster.ts';

/** Few, so that a test can take them all. */
export const MAX_CONNECTIONS = 60;

const cluster = await startTestCluster({
  wal_level: 'replica',
  max_wal_senders: 1,
  max_connections: MAX_CONNECTIONS,
});
process.env[SOCKET_VARIABLE] = cluster.socketDirectory;
after(() => cluster.stop());

export const socketDirectory = cluster.socketDirectory;

/** Resolves when commits wait, or do not wait any more: the checkpointer takes its time to notice. */
export async function standby(name: 'nobody' | ''): Promise<void> {
  await asSuperuser(socketDirectory, async (client) => {
    await client.query(`alter system set synchronous_standby_names = '${name}'`);
    await client.query('select pg_reload_conf()');
    while ((await doesCommitWait(client)) !== (name === 'nobody'));
  });
}

async function doesCommitWait(client: pg.Client): Promise<boolean> {
  return asSuperuser(socketDirectory, async (probe) => {
    const { rows } = await probe.query('select pg_backend_pid() as pid');
    const pid = rows[0].pid;
    let isOver = false;
    const commit = probe.query(`select pg_logical_emit_message(true, 'probe', '')`).finally(() => {
      isOver = true;
    });
    while (!isOver) {
      const waiting = await client.query(
        `select pg_cancel_backend(pid) from pg_stat_activity where pid = ${pid} and wait_event = 'SyncRep'`,
      );
      if (waiting.rowCount === 0) continue;
      await commit;
      return true;
    }
    return false;
  });
}
