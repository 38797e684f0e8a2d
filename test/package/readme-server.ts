/** The code of the README for resource servers, as somebody copies it who has installed the package. */
import { readFileSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';

const README = new URL('../../README.md', import.meta.url);

/** @param place what differs from the README: where this broker, its keys and this server are */
export function writeReadmeServers(
  folder: string,
  place: { brokerPort: number; dataFolder: string; port: number },
): { express: string; fetch: string } {
  const [, section = ''] = readFileSync(README, 'utf8').split('\n## For a resource server\n');
  const [server = '', handler = ''] = [...section.matchAll(/^```js\n(.*?)^```$/gms)].map(([, code]) => code);
  const placed = server
    .replace('127.0.0.1:8420', `127.0.0.1:${place.brokerPort}`)
    .replace('.mayfly/', `${place.dataFolder}/`)
    .replaceAll('3000', String(place.port));
  const [imports = ''] = placed.split('const app = express()');
  const programs = { express: join(folder, 'server.js'), fetch: join(folder, 'handler.js') };
  writeFileSync(programs.express, placed);
  writeFileSync(programs.fetch, `${imports}${handler}${ASK_HANDLER}`);
  return programs;
}

/** Asks it what it is told on its standard input, line by line, and says what it answers. */
const ASK_HANDLER = `
import { createInterface } from 'node:readline';
await verifier.ready();
process.stdout.write('ready\\n');
for await (const line of createInterface({ input: process.stdin })) {
  const { url, headers } = JSON.parse(line);
  const response = await handle(new Request(url, { headers }));
  const answer = [response.status, Object.fromEntries(response.headers), await response.json()];
  process.stdout.write(JSON.stringify(answer) + '\\n');
}
await verifier.close();
`;
