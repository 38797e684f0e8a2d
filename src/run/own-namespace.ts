/**
 * Linux, without any privilege: the program runs in a user and a mount namespace of its own. There the keys are
 * covered, and because it has no capability the covers cannot be taken off, not in a namespace that it makes itself
 * either (mount_namespaces(7): mounts that come from a more privileged one are locked). Every process outside belongs
 * to another user namespace, which keeps its memory, environment, open files and root to itself (ptrace(2), access
 * mode checks), so a key that came by environment or standard input is safe as well.
 */
import { execFileSync } from 'node:child_process';
import type { KeyFiles } from './long-lived-keys.ts';
import { requireTool } from './system-tool.ts';

/** No way back: also not by programs that are of another user when they are started (no_new_privs). */
export const WITHOUT_PRIVILEGES = [
  '--no-new-privs',
  '--ambient-caps=-all',
  '--inh-caps=-all',
  '--bounding-set=-all',
  '--pdeathsig=TERM', // when we are killed there is nobody left who would answer it
  '--',
];

/** Paths come as arguments and are never read by the shell; the tools are paths of ours. */
const coverThenStart = (mount: string, setpriv: string) => `
while [ "$1" != -- ]; do
  case $1 in
    file) ${mount} --bind /dev/null "$2" ;;
    folder) ${mount} -t tmpfs -o ro,size=4k,mode=555 mayfly-run "$2" ;;
  esac || exit 1
  shift 2
done
shift
exec ${setpriv} ${WITHOUT_PRIVILEGES.join(' ')} "$@"`;

/** @returns what to start in place of a command @throws {RunError} where the system lacks the tools */
export function inOwnNamespace({ files, folders }: KeyFiles): (command: readonly string[]) => string[] {
  const [unshare, shell, mount, setpriv] = ['unshare', 'sh', 'mount', 'setpriv'].map(requireTool);
  const covers = [...files.flatMap((path) => ['file', path]), ...folders.flatMap((path) => ['folder', path])];
  const prefix = [
    ...[`${unshare}`, '--user', '--map-current-user', '--keep-caps', '--mount', '--'],
    ...[`${shell}`, '-c', coverThenStart(`${mount}`, `${setpriv}`), 'mayfly-run', ...covers, '--'],
  ];
  return (command) => [...prefix, ...command];
}

/**
 * The program has our user, so it may send us signals; one that ends us with a core dump would write our memory to a
 * file of that user. From now on nothing of ours is dumped, nor of what we start.
 */
export function forbidCoreDumps(): void {
  execFileSync(requireTool('prlimit'), ['--pid', String(process.pid), '--core=0:0'], { stdio: 'ignore' });
}
