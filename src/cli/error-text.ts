/** What a command says on stderr when it does not end well: a sentence, or JSON where the output was to be that. */
export type ToldError = {
  message: string;
  exitCode: number;
  /** What a broker called it. */
  told?: { status: number; code: string; requestId: string } | undefined;
};

export function errorText({ message, exitCode, told }: ToldError, { asJson }: { asJson: boolean }): string {
  if (!asJson) return `${message}\n`;
  const facts =
    told === undefined ? {} : { code: told.code, status: told.status, request_id: told.requestId };
  return `${JSON.stringify({ error: { ...facts, message, exit_code: exitCode } })}\n`;
}

/** Whether the words of a command line ask for JSON, also where nothing else of them is understood. */
export function wantsJson(words: readonly string[]): boolean {
  const ended = words.indexOf('--');
  return words.slice(0, ended === -1 ? words.length : ended).some((word, index, all) => {
    const [, attached] = /^(?:-o=?|--output=)(.+)$/.exec(word) ?? [];
    const format = word === '-o' || word === '--output' ? all[index + 1] : attached;
    return format === 'json' || format === 'jsonl';
  });
}
