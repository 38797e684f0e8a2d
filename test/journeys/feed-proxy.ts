/** What lies between one verifier and its broker, event by event: a test says what becomes of each. */
import { createServer, type IncomingMessage, request, type ServerResponse } from 'node:http';
import type { AddressInfo } from 'node:net';
import { after } from 'node:test';

export type Way = { send(text: string): void; cut(): void };
export type Deliver = (event: string, way: Way) => void;

const LEASE_PATH = '/v1/verifiers/current/lease';
const passOn: Deliver = (event, { send }) => send(event);

export async function createFeedProxy(broker: string) {
  const { hostname, port } = new URL(broker);
  let deliver = passOn;
  let losesQuestions = false;

  function passFeed(answer: IncomingMessage, outgoing: ServerResponse): void {
    const way: Way = { send: (text) => void outgoing.write(text), cut: () => void outgoing.destroy() };
    let read = '';
    outgoing.writeHead(answer.statusCode ?? 502, answer.headers);
    outgoing.flushHeaders();
    answer.setEncoding('utf8');
    answer.on('data', (text: string) => {
      const events = (read + text).split('\n\n');
      read = events.pop() ?? '';
      for (const event of events) {
        if (event.includes('data: ')) deliver(`${event}\n\n`, way);
        else way.send(`${event}\n\n`);
      }
    });
    answer.on('close', () => outgoing.destroy());
  }

  const server = createServer((incoming, outgoing) => {
    const { method, url: path, headers } = incoming;
    if (losesQuestions && path === LEASE_PATH) return void incoming.socket.destroy();
    const onward = request({ hostname, port, method, path, headers }, (answer) => {
      if (answer.headers['content-type']?.startsWith('text/event-stream')) passFeed(answer, outgoing);
      else {
        outgoing.writeHead(answer.statusCode ?? 502, answer.headers);
        answer.pipe(outgoing);
      }
    });
    onward.on('error', () => outgoing.destroy());
    outgoing.on('close', () => onward.destroy());
    incoming.pipe(onward);
  });
  await new Promise<void>((resolve) => server.listen(0, '127.0.0.1', resolve));
  after(() => {
    server.closeAllConnections();
    server.close();
  });

  return {
    url: `http://127.0.0.1:${(server.address() as AddressInfo).port}`,
    deliverBy(next: Deliver): void {
      deliver = next;
    },
    /** Then all that is heard is the feed. */
    loseQuestions(whether: boolean): void {
      losesQuestions = whether;
    },
  };
}
