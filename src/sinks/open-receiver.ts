/** From a declaration to the other end. */
import type { Clock } from '../time/clock.ts';
import { createFileReceiver } from './file-receiver.ts';
import { createOtlpReceiver } from './otlp-receiver.ts';
import type { Receiver } from './receiver.ts';
import type { SinkDeclaration } from './sink-declaration.ts';
import { createSyslogReceiver } from './syslog-receiver.ts';
import { createWebhookReceiver } from './webhook-receiver.ts';

/**
 * @param options.hostName who sends, for syslog
 * @param options.beside true for a replay or a test, while a broker may be writing to the same file
 */
export function openReceiver(
  declaration: SinkDeclaration,
  { clock, hostName, beside = false }: { clock: Clock; hostName: string; beside?: boolean },
): Receiver {
  const { name, format } = declaration;
  switch (declaration.kind) {
    case 'file':
      return createFileReceiver({ path: declaration.path, format, repair: !beside });
    case 'syslog':
      return createSyslogReceiver({ ...declaration.target, format, hostName });
    case 'webhook':
      return createWebhookReceiver({
        name,
        format,
        target: declaration.target,
        secret: declaration.secret,
        clock,
      });
    case 'otlp':
      return createOtlpReceiver({
        format,
        target: declaration.target,
        compress: declaration.compress,
        clock,
      });
  }
}
