/** The program runs as a user who cannot read the keys: for whoever is root, and where namespaces are forbidden. */
import { execFileSync } from 'node:child_process';
import { WITHOUT_PRIVILEGES } from './own-namespace.ts';
import { RunError } from './run-error.ts';
import { requireTool } from './system-tool.ts';

export type OtherUser = { name: string; uid: number; gid: number; home: string };

/** @throws {RunError} for nobody's name, for root, and when we may not become somebody else */
export function findUser(name: string): OtherUser {
  if (process.getuid?.() !== 0) throw new RunError('Only root can start a program as another user.');
  const { name: own, uid, gid, home } = parseUser(lookUp(name)) ?? nobodyCalled(name);
  if (uid === 0) throw new RunError('The user root reads every key: name another one with --user.');
  return { name: own, uid, gid, home };
}

function lookUp(name: string): string {
  try {
    return execFileSync(requireTool('getent'), ['passwd', '--', name], { encoding: 'utf8' });
  } catch {
    return nobodyCalled(name);
  }
}

/** passwd(5) */
function parseUser(line: string): OtherUser | null {
  const [name = '', , uid = '', gid = '', , home = '/'] = line.trim().split(':');
  const isUser = /^\d+$/.test(uid) && /^\d+$/.test(gid);
  return isUser ? { name, uid: Number(uid), gid: Number(gid), home } : null;
}

function nobodyCalled(name: string): never {
  throw new RunError(`There is no user ${name} on this machine.`);
}

/** @returns what to start in place of a command */
export function asOtherUser({ uid, gid }: OtherUser): (command: readonly string[]) => string[] {
  const ids = ['--reuid', String(uid), '--regid', String(gid), '--init-groups'];
  const prefix = [requireTool('setpriv'), ...ids, ...WITHOUT_PRIVILEGES];
  return (command) => [...prefix, ...command];
}
