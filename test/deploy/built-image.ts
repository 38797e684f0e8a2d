/**
 * What the Dockerfile makes, made by hand: the same sources compiled by the same script, the dependencies that
 * `npm ci --omit=dev --omit=optional` would install (copied from this checkout, since tests use no network), in a
 * folder that nobody may write to.
 */
import { execFile } from 'node:child_process';
import { chmod, cp, lstat, mkdir, mkdtemp, readdir, rm, symlink } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { dirname, join } from 'node:path';
import { promisify } from 'node:util';
import { ROOT, textOf } from './files.ts';

const run = promisify(execFile);

export type BuiltImage = {
  /** What is `/app` in the image. */
  app: string;
  /** A folder that everybody may enter and only we may write to, for what is mounted. */
  mounts: string;
  remove(): Promise<void>;
};

export async function buildImage(): Promise<BuiltImage> {
  const root = await mkdtemp(join(tmpdir(), 'mayfly-image-'));
  await chmod(root, 0o755);
  const [build, app, mounts] = [join(root, 'build'), join(root, 'app'), join(root, 'mounts')];
  for (const folder of [build, app, mounts]) await mkdir(folder, { mode: 0o755 });
  await Promise.all([compile(build), copyDependencies(app)]);
  await cp(join(build, 'dist'), join(app, 'dist'), { recursive: true });
  for (const path of ['package.json', 'openapi.yaml', 'LICENSE', 'migrations']) {
    await cp(`${ROOT}${path}`, join(app, path), { recursive: true });
  }
  await cp(`${ROOT}deploy/healthcheck.js`, join(app, 'healthcheck.js'));
  await setModes(app, { file: 0o444, folder: 0o555 });
  return {
    app,
    mounts,
    async remove() {
      await setModes(app, { file: 0o644, folder: 0o755 });
      await rm(root, { recursive: true, force: true });
    },
  };
}

async function compile(build: string): Promise<void> {
  for (const path of ['package.json', 'build.js', 'tsconfig.json', 'tsconfig.build.json', 'src']) {
    await cp(`${ROOT}${path}`, join(build, path), { recursive: true });
  }
  await symlink(`${ROOT}node_modules`, join(build, 'node_modules'));
  await run(process.execPath, ['build.js'], { cwd: build });
}

async function copyDependencies(app: string): Promise<void> {
  const { packages } = JSON.parse(textOf('package-lock.json')) as {
    packages: Record<string, { dev?: true; optional?: true; devOptional?: true }>;
  };
  const needed = Object.entries(packages)
    .filter(([path, { dev, optional, devOptional }]) => path !== '' && !dev && !optional && !devOptional)
    .map(([path]) => path);
  for (const path of needed) {
    await mkdir(dirname(join(app, path)), { recursive: true });
    // packages within packages come with an entry of their own
    const filter = (source: string) => !source.slice(ROOT.length + path.length).includes('node_modules');
    await cp(`${ROOT}${path}`, join(app, path), { recursive: true, filter });
  }
}

/** Every file below a folder, with its size and the time of its last change. */
export async function listing(folder: string): Promise<string[]> {
  const entries = await readdir(folder, { recursive: true, withFileTypes: true });
  return Promise.all(
    entries.map(async (entry) => {
      const path = join(entry.parentPath, entry.name);
      const { size, mtimeMs } = await lstat(path);
      return `${path} ${size} ${mtimeMs}`;
    }),
  );
}

async function setModes(
  folder: string,
  { file, folder: own }: { file: number; folder: number },
): Promise<void> {
  await chmod(folder, 0o755);
  for (const entry of await readdir(folder, { withFileTypes: true })) {
    const path = join(folder, entry.name);
    if (entry.isDirectory()) await setModes(path, { file, folder: own });
    else if (entry.isFile()) await chmod(path, file);
  }
  await chmod(folder, own);
}
