// The same with the library: several requests at once, some of them with a body, and one that the run refuses.
import { fetchOfRun } from '../../../src/sdk/node.ts';

const [url] = process.argv.slice(2);
const fetch = fetchOfRun();
const answers = await Promise.all([
  fetch(url),
  fetchOfRun()(new Request(url)),
  fetch(url, { method: 'HEAD' }),
]);
const refusal = await fetch(url, { actions: ['db:delete:customers'] }).catch((error) => error);
if (refusal.code !== 'denied' || refusal.hint === undefined) throw new Error(`not refused: ${refusal}`);
const [{ data, read_by: readBy }] = await Promise.all(answers.slice(0, 2).map((answer) => answer.json()));
const [status, ...others] = answers.map((answer) => answer.status);
if (others.some((other) => other !== status)) throw new Error(String(others));
process.stdout.write(JSON.stringify({ status, rows: data.length, readBy }));
