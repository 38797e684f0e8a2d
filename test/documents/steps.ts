/** A part of a document that is to be done step by step: files to be saved, commands to be run, and what they print. */
export type Step =
  | { kind: 'save'; name: string; text: string }
  | { kind: 'run'; commands: string[] }
  | { kind: 'printed'; lines: string[] };

const FENCE = /(?:^<!-- ([\w.-]+) -->\n)?^```(\w+)\n([\s\S]*?)^```$/gm;

/** @param heading of the section; it ends with the next one of its kind @throws {Error} for a block that is no step */
export function stepsOf(text: string, heading: string): Step[] {
  const [, section] = text.split(`\n## ${heading}\n`);
  if (section === undefined) throw new Error(`there is no "${heading}"`);
  const [own = ''] = section.split('\n## ');
  return [...own.matchAll(FENCE)].map(([, name, language = '', body = '']) => {
    const lines = body.trimEnd().split('\n');
    if (name !== undefined) return { kind: 'save', name, text: body };
    if (language === 'sh') return { kind: 'run', commands: lines };
    if (language === 'text') return { kind: 'printed', lines };
    throw new Error(`a block of ${language} that nobody saves`);
  });
}

/** `…` stands for the rest of a line, and alone in a line for lines. */
export function patternOf(lines: readonly string[]): RegExp {
  const patterns = lines.map((line) =>
    line.trim() === '…' ? String.raw`(?:.*\n)*?` : `${line.split('…').map(escaped).join('.*')}\n`,
  );
  return new RegExp(`^${patterns.join('')}`, 'm');
}

const escaped = (text: string) => text.replaceAll(/[.*+?^${}()|[\]\\]/g, '\\$&');
