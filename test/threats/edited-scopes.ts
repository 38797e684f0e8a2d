/** The scopes of a world with some files rewritten: what a reviewed change would make of them. */
import { existsSync } from 'node:fs';
import { cp, mkdtemp, readFile, rm, writeFile } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import type { Catalogue } from '../../src/catalogue/catalogue.ts';
import { loadCatalogue } from '../../src/catalogue/load-catalogue.ts';
import type { TestWorld } from '../test-broker.ts';

/** What becomes of a file's text, which is empty when there is none; null when the file goes. */
export type Edits = Readonly<Record<string, (text: string) => string | null>>;

/** @returns what is wrong with the files as text; empty exactly when there is a catalogue */
export async function editScopes(
  world: TestWorld,
  edits: Edits,
): Promise<{ catalogue: Catalogue | null; problems: string }> {
  const root = await mkdtemp(join(tmpdir(), 'mayfly-edited-'));
  try {
    const directory = join(root, 'scopes');
    await cp(world.scopes.directory, directory, { recursive: true });
    for (const [file, edit] of Object.entries(edits)) {
      const path = join(directory, file);
      const before = existsSync(path) ? await readFile(path, 'utf8') : '';
      const after = edit(before);
      if (after === before) throw new Error(`${file} is as it was`);
      if (after === null) await rm(path);
      else await writeFile(path, after);
    }
    const { catalogue, problems } = await loadCatalogue(directory);
    return { catalogue, problems: catalogue === null ? JSON.stringify(problems) : '' };
  } finally {
    await rm(root, { recursive: true, force: true });
  }
}

/** @throws when the files are no catalogue any more */
export async function editedCatalogue(world: TestWorld, edits: Edits): Promise<Catalogue> {
  const { catalogue, problems } = await editScopes(world, edits);
  if (catalogue === null) throw new Error(problems);
  return catalogue;
}

/** Takes a line out. */
export const without =
  (line: string | RegExp) =>
  (text: string): string =>
    text
      .split('\n')
      .filter((each) => (typeof line === 'string' ? each.trim() !== line : !line.test(each)))
      .join('\n');
