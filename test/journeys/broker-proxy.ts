/**
 * What lies between verifiers and a broker: a network that can be cut, that loses the feed after each message, and
 * that holds answers back or gives old ones again. It cannot change what is signed, and needs not be trusted.
 */
import { createServer, type IncomingMessage, request, type ServerResponse } from 'node:http';
import type { AddressInfo } from 'node:net';
import { after } from 'node:test';

export type BrokerProxy = {
  url: string;
  /** Nothing gets through, and what is open is ended. */
  cut(): void;
  /** As a network ought to be. */
  mend(): void;
  /** Ends the feed after each message. */
  breakFeed(): void;
  /** Nothing is heard of the feed; it stays open. */
  muteFeed(): void;
  /** Gives the newest answer to a question of before, to each question from now on. */
  repeatAnswers(): void;
  /** Keeps answers to questions until the next `mend()`. */
  holdAnswers(): void;
  /** The one that is kept for longest. */
  giveOldestAnswer(): void;
  /** How often each of it has happened. */
  count: { feedBreaks: number; repeated: number; held: number };
};

type Mode = 'open' | 'cut' | 'break feed' | 'mute feed' | 'repeat answers' | 'hold answers';
type StoredAnswer = { status: number; headers: IncomingMessage['headers']; body: Buffer };

const LEASE_PATH = '/v1/verifiers/current/lease';

export async function createBrokerProxy(broker: string): Promise<BrokerProxy> {
  const { hostname, port } = new URL(broker);
  const count = { feedBreaks: 0, repeated: 0, held: 0 };
  const held: (() => void)[] = [];
  let mode: Mode = 'open';
  let lastAnswer: StoredAnswer | null = null;

  const server = createServer((incoming, outgoing) => {
    if (mode === 'cut') {
      incoming.socket.destroy();
      return;
    }
    const { method, url: path, headers } = incoming;
    const onward = request({ hostname, port, method, path, headers }, (answer) => {
      if (answer.headers['content-type']?.startsWith('text/event-stream')) passFeed(answer, outgoing);
      else passAnswer(answer, outgoing, path === LEASE_PATH);
    });
    onward.on('error', () => outgoing.destroy());
    outgoing.on('close', () => onward.destroy());
    incoming.pipe(onward);
  });

  function passFeed(answer: IncomingMessage, outgoing: ServerResponse): void {
    outgoing.writeHead(answer.statusCode ?? 502, answer.headers);
    outgoing.flushHeaders();
    answer.on('data', (chunk: Buffer) => {
      if (mode === 'mute feed') return;
      outgoing.write(chunk);
      if (mode !== 'break feed' || !chunk.includes('data: ')) return;
      count.feedBreaks += 1;
      outgoing.end();
    });
    answer.on('close', () => outgoing.destroy());
  }

  function passAnswer(answer: IncomingMessage, outgoing: ServerResponse, isLease: boolean): void {
    const chunks: Buffer[] = [];
    answer.on('data', (chunk: Buffer) => chunks.push(chunk));
    answer.on('end', () => {
      const given = {
        status: answer.statusCode ?? 502,
        headers: answer.headers,
        body: Buffer.concat(chunks),
      };
      const send = ({ status, headers, body }: StoredAnswer) => {
        const { 'transfer-encoding': _, ...rest } = headers;
        outgoing.writeHead(status, { ...rest, 'content-length': body.length }).end(body);
      };
      if (isLease && mode === 'repeat answers') {
        if (lastAnswer === null) return void outgoing.destroy(); // there is none of before
        count.repeated += 1;
        send(lastAnswer);
      } else if (isLease && mode === 'hold answers') {
        count.held += 1;
        held.push(() => send(given));
      } else {
        if (isLease && given.status === 200) lastAnswer = given;
        send(given);
      }
    });
  }

  await new Promise<void>((resolve) => server.listen(0, '127.0.0.1', resolve));
  after(() => {
    server.closeAllConnections();
    server.close();
  });

  const become = (next: Mode) => () => {
    mode = next;
    if (next === 'cut') server.closeAllConnections();
    for (const release of held.splice(0)) release();
  };
  return {
    url: `http://127.0.0.1:${(server.address() as AddressInfo).port}`,
    cut: become('cut'),
    mend: become('open'),
    breakFeed: become('break feed'),
    muteFeed: become('mute feed'),
    repeatAnswers: become('repeat answers'),
    holdAnswers: become('hold answers'),
    giveOldestAnswer: () => held.shift()?.(),
    count,
  };
}
