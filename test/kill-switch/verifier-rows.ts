/** Enforcement points as the database sees them, written by hand. */
import { systemClock } from '../../src/time/clock.ts';
import { newIdentifier } from '../../src/time/identifier.ts';
import type { TestWorld } from '../test-broker.ts';

export function createVerifierRows(world: TestWorld) {
  return {
    async add({
      leaseSeconds,
      closed = false,
      resource = 'https://customers.example.com',
    }: {
      leaseSeconds: number;
      closed?: boolean;
      resource?: string;
    }): Promise<string> {
      const instance = newIdentifier('ver', systemClock);
      await world.query(
        `insert into verifiers (instance, resource, started_at, generation, applied_epoch, renewed_at, lease_seconds,
                                lease_ends_at, closed_at)
         select $1, $4, now(), h.generation, h.epoch, now(), greatest($2, 1),
                now() + make_interval(secs => $2), case when $3 then now() end
           from revocation_head h`,
        [instance, leaseSeconds, closed, resource],
      );
      return instance;
    },

    /** The epoch of the next entry that is committed. */
    async nextEpoch(): Promise<number> {
      const read = async () =>
        Number((await world.query<{ epoch: string }>('select epoch from revocation_head'))[0]?.epoch);
      const before = await read();
      for (;;) {
        const epoch = await read();
        if (epoch > before) return epoch;
      }
    },

    async applies(instance: string, epoch: number): Promise<void> {
      await world.query(
        `with v as (update verifiers set applied_epoch = $2, renewed_at = now() where instance = $1)
         insert into acknowledgements (instance, epoch, applied_at) values ($1, $2, now())`,
        [instance, epoch],
      );
    },

    async renews(instance: string): Promise<void> {
      await world.query(
        `update verifiers set renewed_at = now(), lease_ends_at = now() + make_interval(secs => lease_seconds)
          where instance = $1`,
        [instance],
      );
    },

    /** It is there, whatever it says. @returns ends that */
    async goesOnRenewing(instance: string): Promise<() => void> {
      await this.renews(instance);
      const timer = setInterval(() => void this.renews(instance).catch(() => {}), 200);
      return () => clearInterval(timer);
    },

    /** It left nothing but its lease, a while ago. */
    async isGone(instance: string): Promise<void> {
      await world.query(
        `update verifiers set renewed_at = now() - interval '10 seconds' where instance = $1`,
        [instance],
      );
    },

    async removeAll(): Promise<void> {
      await world.query('delete from verifiers');
      await world.query('delete from acknowledgements');
    },
  };
}
