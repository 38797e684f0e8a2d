/** A program was not started; the message says why and what to do. */
export class RunError extends Error {
  override readonly name = 'RunError';
  readonly exitCode: number;

  constructor(message: string, { exitCode = EXIT_REFUSED }: { exitCode?: number } = {}) {
    super(message);
    this.exitCode = exitCode;
  }
}

const EXIT_REFUSED = 1;
