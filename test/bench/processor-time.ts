/**
 * How long processors worked, as Linux tells it (`/proc`): the whole machine, kernel and interrupts included, and
 * of that a server's process and all processes of Postgres. Anything else that runs on the machine shows as the
 * difference.
 */
import { readdirSync, readFileSync } from 'node:fs';

/** Seconds since some start. */
export type ProcessorTime = { machine: number; server: number; postgres: number };

/** USER_HZ, in which `/proc` counts on every architecture that Node runs on. */
const TICKS_PER_SECOND = 100;

export function readProcessorTime(pids: { server: number; postmaster: number }): ProcessorTime {
  return {
    machine: machineSeconds(),
    server: statOf(pids.server)?.seconds ?? 0,
    postgres: postgresSeconds(pids.postmaster),
  };
}

export function machineSeconds(): number {
  const [cpu = ''] = readFileSync('/proc/stat', 'utf8').split('\n', 1);
  // user nice system idle iowait irq softirq steal: neither idle time nor what the hypervisor took
  const [user = 0, nice = 0, system = 0, , , irq = 0, softirq = 0] = cpu.split(/\s+/).slice(1).map(Number);
  return (user + nice + system + irq + softirq) / TICKS_PER_SECOND;
}

/** The postmaster, its children, and what those of its children that ended had used. */
function postgresSeconds(postmaster: number): number {
  let seconds = statOf(postmaster)?.secondsWithEndedChildren ?? 0;
  for (const name of readdirSync('/proc')) {
    const stat = /^\d+$/.test(name) ? statOf(Number(name)) : null;
    if (stat?.parent === postmaster) seconds += stat.seconds;
  }
  return seconds;
}

type Stat = { parent: number; seconds: number; secondsWithEndedChildren: number };

function statOf(pid: number): Stat | null {
  try {
    const text = readFileSync(`/proc/${pid}/stat`, 'utf8');
    const fields = text
      .slice(text.lastIndexOf(')') + 2) // a name may have spaces and parentheses in it
      .split(' ')
      .map(Number);
    const at = (field: number) => fields[field - 3] ?? 0; // numbered as in proc(5); the third comes first
    const seconds = (at(14) + at(15)) / TICKS_PER_SECOND;
    return {
      parent: at(4),
      seconds,
      secondsWithEndedChildren: seconds + (at(16) + at(17)) / TICKS_PER_SECOND,
    };
  } catch {
    return null; // it has ended
  }
}
