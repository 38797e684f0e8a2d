/** What an answer says in JSON, bounded in bytes. */
import { NetworkFailure, networkCodeOf } from './send.ts';

const MAX_BYTES = 65_536;

/**
 * @returns an empty object for what is too long, or no JSON object
 * @throws {NetworkFailure} when it breaks off
 */
export async function readAnswer(response: Response): Promise<Readonly<Record<string, unknown>>> {
  const bytes = await readBytes(response.body, MAX_BYTES).catch((error: unknown) => {
    throw new NetworkFailure(networkCodeOf(error));
  });
  if (bytes.rest !== null) {
    await bytes.rest.cancel();
    return {};
  }
  try {
    const value: unknown = JSON.parse(new TextDecoder().decode(bytes.read));
    return typeof value === 'object' && value !== null && !Array.isArray(value) ? { ...value } : {};
  } catch {
    return {};
  }
}

/**
 * The beginning of a stream, and if there is more than `maxBytes` of it, all of it again as a stream.
 * @throws whatever the stream fails with
 */
export async function readBytes(
  stream: ReadableStream<Uint8Array> | null,
  maxBytes: number,
): Promise<{ read: Uint8Array<ArrayBuffer>; rest: ReadableStream<Uint8Array> | null }> {
  const reader = stream?.getReader();
  const parts: Uint8Array[] = [];
  let length = 0;
  while (reader !== undefined && length <= maxBytes) {
    const { done, value } = await reader.read();
    if (done) break;
    parts.push(value);
    length += value.byteLength;
  }
  const read = new Uint8Array(length);
  let at = 0;
  for (const part of parts) {
    read.set(part, at);
    at += part.byteLength;
  }
  return { read, rest: reader === undefined || length <= maxBytes ? null : continued(read, reader) };
}

function continued(
  read: Uint8Array,
  reader: ReadableStreamDefaultReader<Uint8Array>,
): ReadableStream<Uint8Array> {
  return new ReadableStream<Uint8Array>({
    start: (controller) => controller.enqueue(read),
    async pull(controller) {
      const { done, value } = await reader.read();
      if (done) controller.close();
      else controller.enqueue(value);
    },
    cancel: (reason) => reader.cancel(reason),
  });
}
