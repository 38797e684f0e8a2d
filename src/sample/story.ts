/** Tells the tour: one numbered step after the other, each with its exchanges, and whether it went as it has to. */
import { styleText } from 'node:util';
import type { Exchange } from '../sdk/bound-session.ts';
import { jsonOf, linesOfNonceRound, linesOfRequest, linesOfResponse } from './exchange-text.ts';

export type StoryOutput = { write(text: string): unknown };

export type Step = {
  title: string;
  /** What is going to happen, in a sentence. */
  about: string;
  act: () => Promise<Exchange[]>;
  /** Of the last answer: its status, and the error that it names. */
  expect: { status: number | readonly number[]; error?: string };
  /** Why it came out so; said afterwards. */
  because: string | (() => string);
};

export type Story = {
  say(text: string): void;
  /** @returns the last exchange @throws {Surprise} when it went otherwise @throws when the tour is cut short */
  tell(step: Step): Promise<Exchange>;
};

/** What came back is not what this tour promises. */
export class Surprise extends Error {
  override readonly name = 'Surprise';
}

type Style = 'bold' | 'green' | 'red' | 'cyan';

export function createStory(output: StoryOutput, signal: AbortSignal): Story {
  let number = 0;
  const say = (text: string) => void output.write(`${text}\n`);
  const paint = (style: Style, text: string) => (output === process.stdout ? styleText(style, text) : text);

  function show(exchanges: readonly Exchange[]): void {
    const [first, ...retries] = exchanges;
    if (first !== undefined) printLines(linesOfRequest(first), 'cyan');
    if (first !== undefined && retries.length > 0) printLines(linesOfNonceRound(first), 'cyan');
    const last = exchanges.at(-1);
    if (last !== undefined) printLines(linesOfResponse(last), 'bold');
  }

  function printLines([head = '', ...rest]: string[], style: Style): void {
    say(`   ${paint(style, head)}`);
    for (const line of rest) say(`   ${line}`);
  }

  return {
    say,
    async tell({ title, about, act, expect, because }) {
      signal.throwIfAborted();
      number += 1;
      say(`\n${paint('bold', `${number}. ${title}`)}\n   ${about}\n`);
      const exchanges = await act();
      show(exchanges);
      const last = exchanges.at(-1);
      if (last === undefined || !isAsExpected(last, expect)) {
        say(`\n   ${paint('red', '✘ This was to be')} ${expect.status} ${expect.error ?? ''}`);
        throw new Surprise(`step ${number}, "${title}", went otherwise`);
      }
      say(`\n   ${paint('green', '✔')} ${typeof because === 'string' ? because : because()}`);
      return last;
    },
  };
}

function isAsExpected({ response }: Exchange, expect: Step['expect']): boolean {
  const { error, code } = jsonOf(response.body);
  return [expect.status].flat().includes(response.status) && (error ?? code) === expect.error;
}
