/** The terminal that we were started on, as the kernel has it. */
import { readFileSync } from 'node:fs';

/** proc_pid_stat(5): the fields from the state on. */
function ownStatus(): { group?: string; terminal?: string; foreground?: string } {
  const [, fields = ''] = /\) (.*)$/s.exec(readFileSync('/proc/self/stat', 'utf8')) ?? [];
  const [, , group, , terminal, foreground] = fields.split(' ');
  return { ...(group && { group }), ...(terminal && { terminal }), ...(foreground && { foreground }) };
}

/** Whether Ctrl-C there is for us. */
export function isInForeground(): boolean {
  try {
    const { group, foreground } = ownStatus();
    return group !== undefined && group === foreground;
  } catch {
    return process.stdin.isTTY === true; // no /proc here
  }
}

const MAY_TYPE = '/proc/sys/dev/tty/legacy_tiocsti';

/**
 * Whether a program of our session can type into our terminal (TIOCSTI, ioctl_tty(2)). The shell that started us would
 * take that for its user's words, so the program would have somebody outside who reads a key for it.
 */
export function canBeTypedInto(): boolean {
  try {
    if ((ownStatus().terminal ?? '0') === '0') return false;
    return readFileSync(MAY_TYPE, 'utf8').trim() !== '0';
  } catch {
    return true; // an older kernel, where everybody can
  }
}
