/**
 * Under which account Postgres runs. It refuses to run as root, so root needs another way:
 *
 * - a *user namespace* in which root appears as an ordinary user: needs no ownership changed, and works below a
 *   folder that only root may enter;
 * - the *owner of the data folder*, when that is somebody else (`sudo` inside a home folder);
 * - the system user `postgres`, to whom the cluster's folder is then given;
 * - `nobody` likewise, as the last resort: a container often has no other user, and forbids namespaces.
 *
 * `initdb` also refuses an account without an entry in /etc/passwd; a user namespace heals that, too. Whether a
 * way works here (containers forbid some) is found out by trying it on the real folder and the real program.
 */
import { execFile } from 'node:child_process';
import { readFileSync } from 'node:fs';
import { chmod, lchown, readdir, stat } from 'node:fs/promises';
import { userInfo } from 'node:os';
import { dirname, join } from 'node:path';
import { promisify } from 'node:util';
import type { PostgresBinaries } from './postgres-binaries.ts';

export type PostgresAccount = {
  title: string;
  /** The words to put in front of a command line. */
  prefix: readonly string[];
  /** The user and group to start it as; absent: our own. */
  ids?: { uid: number; gid: number };
  /** Who owns, seen from outside, what Postgres creates. */
  ownerUid: number;
  environment: Readonly<Record<string, string>>;
  /** Of the programs, e.g. 18. */
  majorVersion: number;
};

export type AccountWay = 'itself' | 'user-namespace' | 'directory-owner' | SystemUser;
type SystemUser = (typeof SYSTEM_USERS)[number];
type Candidate = Pick<PostgresAccount, 'title' | 'prefix' | 'ids' | 'ownerUid'>;

const ROOT = 0;
const PROBE_TIMEOUT_MILLISECONDS = 10_000;
const SYSTEM_USERS = ['postgres', 'nobody'] as const;
const EVERY_WAY: readonly AccountWay[] = ['itself', 'user-namespace', 'directory-owner', ...SYSTEM_USERS];
/** Enough for `unshare`, `setpriv` and the shell; ours may hold anything, PGDATA and PGOPTIONS included. */
const SEARCH_PATH = '/usr/local/bin:/usr/bin:/bin:/usr/sbin:/sbin:/run/current-system/sw/bin';

const run = promisify(execFile);

/**
 * @param directory holds the cluster; exists already
 * @param ways for tests: only these are tried
 * @throws when Postgres cannot run here under any account; the message says what was tried
 */
export async function findAccount({
  binaries,
  directory,
  ways = EVERY_WAY,
}: {
  binaries: PostgresBinaries;
  directory: string;
  ways?: readonly AccountWay[] | undefined;
}): Promise<PostgresAccount> {
  const environment = { PATH: SEARCH_PATH, LC_ALL: 'C', TZ: 'UTC', ...binaries.environment };
  const failures: string[] = [];
  for (const candidate of await candidates(directory, ways)) {
    try {
      await offer(directory, candidate);
      const majorVersion = await probe({ binaries, directory, candidate, environment });
      return { ...candidate, environment, majorVersion };
    } catch (error) {
      failures.push(`- ${candidate.title}: ${firstLine(error)}`);
    }
  }
  throw new Error(
    [`Postgres cannot run in ${directory} (it never runs as root). Tried:`, ...failures, ADVICE].join('\n'),
  );
}

const ADVICE =
  'Run mayfly as an ordinary user that may enter this folder, set MAYFLY_DATA_DIR to another folder, or set ' +
  'DATABASE_URL to a Postgres of your own.';

/** Gives the folder and everything in it to the account, where it is not its own. Only root can. */
async function offer(directory: string, { ids, ownerUid }: Candidate): Promise<void> {
  if (process.getuid?.() !== ROOT) return;
  if ((await stat(directory)).uid === ownerUid) return;
  const gid = ids?.gid ?? ROOT;
  for (const entry of await readdir(directory, { recursive: true })) {
    await lchown(join(directory, entry), ownerUid, gid);
  }
  await lchown(directory, ownerUid, gid);
  if (ids !== undefined) await letPass(dirname(directory));
}

/** The account has to walk through the data folder, which stays ours and unreadable to it. */
async function letPass(dataDirectory: string): Promise<void> {
  const { uid, mode } = await stat(dataDirectory);
  if (uid === ROOT) await chmod(dataDirectory, (mode & 0o777) | 0o011);
}

async function candidates(directory: string, ways: readonly AccountWay[]): Promise<Candidate[]> {
  const ownUid = process.getuid?.() ?? ROOT;
  const clusterOwner = (await stat(directory)).uid;
  const found = ownUid === ROOT ? await candidatesOfRoot(directory) : candidatesOfUser(ownUid);
  const allowed = found.filter(([way]) => ways.includes(way)).map(([, candidate]) => candidate);
  // Whoever owns the cluster goes first: nothing then changes hands between two starts.
  return allowed.toSorted(
    (a, b) => Number(b.ownerUid === clusterOwner) - Number(a.ownerUid === clusterOwner),
  );
}

function candidatesOfUser(ownUid: number): [AccountWay, Candidate][] {
  const itself: Candidate = { title: 'this user', prefix: [], ownerUid: ownUid };
  const viaNamespace: [AccountWay, Candidate] = ['user-namespace', inUserNamespace(ownUid)];
  return hasPasswdEntry() ? [['itself', itself]] : [viaNamespace, ['itself', itself]];
}

async function candidatesOfRoot(directory: string): Promise<[AccountWay, Candidate][]> {
  const found: [AccountWay, Candidate][] = [['user-namespace', inUserNamespace(ROOT)]];
  const above = await stat(dirname(dirname(directory)));
  const folder = await stat(directory);
  const owner = [folder, above].find(({ uid }) => uid !== ROOT);
  if (owner !== undefined) {
    found.push(['directory-owner', asUser(`the owner of the folder (uid ${owner.uid})`, owner)]);
  }
  for (const name of SYSTEM_USERS) {
    const user = readPasswd().find((entry) => entry.name === name);
    if (user !== undefined) found.push([name, asUser(`the system user ${name}`, user)]);
  }
  return found;
}

function asUser(title: string, { uid, gid }: { uid: number; gid: number }): Candidate {
  return { title, prefix: [], ids: { uid, gid }, ownerUid: uid };
}

function inUserNamespace(ownerUid: number): Candidate {
  const uid = namespaceUid();
  return {
    title: 'a user namespace (unshare)',
    prefix: ['unshare', '--user', `--map-user=${uid}`, `--map-group=${uid}`, '--'],
    ownerUid,
  };
}

/** Any account but root will do, as long as it has a name. */
function namespaceUid(): number {
  const users = readPasswd().filter(({ uid }) => uid !== ROOT);
  return (users.find(({ uid }) => uid === 1000) ?? users.at(-1))?.uid ?? 1000;
}

const PROBE = `cd -- "$1" || exit
test -w . && test -O . || { echo "$1 belongs to another user" >&2; exit 1; }
exec "$2" -V`;

/** Enters the folder, writes there and runs the program: what a start will need, without its consequences. */
async function probe({
  binaries,
  directory,
  candidate: { prefix, ids },
  environment,
}: {
  binaries: PostgresBinaries;
  directory: string;
  candidate: Candidate;
  environment: Record<string, string>;
}): Promise<number> {
  const [command, ...args] = [...prefix, 'sh', '-c', PROBE, 'sh', directory, binaries.postgres];
  const { stdout } = await run(command as string, args, {
    cwd: '/',
    env: environment,
    timeout: PROBE_TIMEOUT_MILLISECONDS,
    ...ids,
  });
  const version = /\(PostgreSQL\) (\d+)/.exec(stdout)?.[1];
  if (version === undefined) throw new Error(`unexpected version: ${stdout.trim()}`);
  return Number(version);
}

function firstLine(error: unknown): string {
  const { stderr, message } = error as { stderr?: string; message: string };
  return (stderr?.trim() || message).split('\n')[0] ?? 'failed';
}

function hasPasswdEntry(): boolean {
  try {
    return userInfo().username !== '';
  } catch {
    return false;
  }
}

function readPasswd(): { name: string; uid: number; gid: number }[] {
  let text: string;
  try {
    text = readFileSync('/etc/passwd', 'utf8');
  } catch {
    return [];
  }
  return text.split('\n').flatMap((line) => {
    const [name, , uid, gid] = line.split(':');
    return name && uid && gid ? [{ name, uid: Number(uid), gid: Number(gid) }] : [];
  });
}
