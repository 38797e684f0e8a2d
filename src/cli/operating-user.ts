import { userInfo } from 'node:os';

/** Who runs this command, for the record. In a container that may be a number without a name. */
export function operatingUser(): string {
  try {
    return userInfo().username;
  } catch {
    return `uid ${process.getuid?.() ?? 'unknown'}`;
  }
}
