/**
 * Lines in a file. A batch counts once it is on the disk. Possible worlds after a crash or a full disk, and what the
 * next batch does in each:
 * - nothing of the batch was written, and the batch comes again: written;
 * - some lines, the last one torn: the torn one is cut off, what stands whole before it is not written again;
 * - all lines, but the cursor did not move: the batch comes again, and nothing of it is written;
 * - the file was moved away in between (rotation): the next batch opens a new one of the same name, where lines that
 *   stand at the end of the old one are not known. Only here can an id stand twice, and only after a crash.
 */
import { constants } from 'node:fs';
import { type FileHandle, open, stat } from 'node:fs/promises';
import { dirname } from 'node:path';
import { type EventFormat, eventText } from './event-text.ts';
import { type Delivery, type Receiver, reasonOf } from './receiver.ts';
import type { SinkEvent } from './sink-entry.ts';

const OWNER_ONLY = 0o600;
const NEW_LINE = 0x0a;
const FLAGS = constants.O_RDWR | constants.O_APPEND | constants.O_NOFOLLOW | constants.O_NONBLOCK;
/** Longer than any line: an entry has at most 65,535 bytes, and an escape makes six of one. */
const MAX_LINE_BYTES = 1_048_576;

type OpenFile = { handle: FileHandle; device: number; inode: number; lastLine: string | null };

/**
 * @param repair false for whoever writes beside the broker that has the sink: a torn line is then somebody's who is
 * still writing
 */
export function createFileReceiver({
  path,
  format,
  repair = true,
}: {
  path: string;
  format: EventFormat;
  repair?: boolean;
}): Receiver {
  let file: OpenFile | null = null;

  async function opened(): Promise<OpenFile> {
    if (file !== null && !(await isInPlace(file, path))) await release();
    file ??= await openFile(path, repair);
    return file;
  }

  async function release(): Promise<void> {
    const { handle } = file ?? {};
    file = null;
    await handle?.close().catch(() => {});
  }

  async function append(target: OpenFile, lines: readonly string[]): Promise<void> {
    const { handle } = target;
    await handle.appendFile(lines.map((line) => `${line}\n`).join(''));
    await handle.sync();
    target.lastLine = null;
  }

  return {
    async deliver(batch: readonly SinkEvent[]): Promise<Delivery> {
      try {
        const target = await opened();
        const lines = batch.map((event) => eventText(format, event));
        const written = target.lastLine === null ? -1 : lines.lastIndexOf(target.lastLine);
        const missing = lines.slice(written + 1);
        if (missing.length > 0) await append(target, missing);
        return { outcome: 'accepted' };
      } catch (error) {
        await release();
        return { outcome: 'failed', because: reasonOf(error) };
      }
    },
    close: release,
  };
}

/** Rotation moves the file; what is written to the one that is open would go where nobody looks any more. */
async function isInPlace({ device, inode }: OpenFile, path: string): Promise<boolean> {
  try {
    const found = await stat(path);
    return found.dev === device && found.ino === inode;
  } catch {
    return false;
  }
}

async function openFile(path: string, repair: boolean): Promise<OpenFile> {
  const handle = await openOrCreate(path);
  try {
    const { dev, ino, size } = await handle.stat();
    const { kept, lastLine } = await endOf(handle, size);
    if (kept < size) {
      if (!repair) throw new Error('the last line of the file is not whole');
      await handle.truncate(kept);
      await handle.sync();
    }
    // Whoever writes beside the broker writes what stands there already, on purpose.
    return { handle, device: dev, inode: ino, lastLine: repair ? lastLine : null };
  } catch (error) {
    await handle.close();
    throw error;
  }
}

async function openOrCreate(path: string): Promise<FileHandle> {
  const handle = await open(path, FLAGS | constants.O_CREAT, OWNER_ONLY);
  const found = await handle.stat();
  if (!found.isFile()) {
    await handle.close();
    throw new Error('not an ordinary file');
  }
  if (found.size === 0) await syncFolder(dirname(path));
  return handle;
}

/** The name of a new file is on the disk only when its folder is. */
async function syncFolder(path: string): Promise<void> {
  const folder = await open(path, constants.O_RDONLY);
  try {
    await folder.sync();
  } finally {
    await folder.close();
  }
}

/** Up to where the file has whole lines, and the last of them. */
async function endOf(handle: FileHandle, size: number): Promise<{ kept: number; lastLine: string | null }> {
  const start = Math.max(0, size - 2 * MAX_LINE_BYTES);
  const tail = Buffer.alloc(size - start);
  let length = 0;
  while (length < tail.length) {
    const { bytesRead } = await handle.read(tail, length, tail.length - length, start + length);
    if (bytesRead === 0) break;
    length += bytesRead;
  }
  const end = tail.subarray(0, length).lastIndexOf(NEW_LINE);
  if (end === -1 && start > 0) throw new Error('the end of the file is no line of this sink');
  const before = end <= 0 ? -1 : tail.subarray(0, end).lastIndexOf(NEW_LINE);
  return { kept: start + end + 1, lastLine: end === -1 ? null : tail.toString('utf8', before + 1, end) };
}
