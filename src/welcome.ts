import type { Broker } from './broker.ts';
import type { Configuration } from './config/configuration.ts';

/**
 * What is printed once the broker listens; the command works as it stands, in another terminal.
 * @param options.command how this mayfly is called: by npm in a checkout, by its name where it is installed
 */
export function welcome(
  configuration: Configuration,
  { issuer, url, metricsUrl }: Pick<Broker, 'issuer' | 'url' | 'metricsUrl'>,
  { tour = isBuilt ? 'mayfly tour' : 'npm run tour' }: { tour?: string } = {},
): string {
  const lines = [
    `mayfly is up: ${url}${issuer === url ? '' : ` (issuer ${issuer})`}, metrics at ${metricsUrl}/metrics`,
  ];
  if (configuration.database.kind === 'embedded') {
    lines.push(
      `Database and development keys are in ${configuration.dataDirectory}.`,
      'See it work, in another terminal:',
      '',
      `  ${settingsOf(configuration)}${tour}`,
      '',
    );
  }
  return `${lines.join('\n')}\n`;
}

/** The package holds the program as JavaScript; a checkout runs it as it is written. */
const isBuilt = import.meta.url.endsWith('.js');

/** The settings that another command needs to find this broker. */
function settingsOf({ port, issuer, dataDirectory, samplePort, noncePolicy }: Configuration): string {
  const settings: [name: string, value: string | number][] = [];
  if (port !== 8420) settings.push(['MAYFLY_PORT', port]);
  if (issuer !== `http://127.0.0.1:${port}`) settings.push(['MAYFLY_ISSUER', issuer]);
  if (samplePort !== port + 1) settings.push(['MAYFLY_SAMPLE_PORT', samplePort]);
  if (noncePolicy !== 'required') settings.push(['MAYFLY_DPOP_NONCE', noncePolicy]);
  if (dataDirectory !== `${process.cwd()}/.mayfly`) settings.push(['MAYFLY_DATA_DIR', dataDirectory]);
  return settings.map(([name, value]) => `${name}=${quoted(String(value))} `).join('');
}

/** A word of the shell, whatever is in it. */
function quoted(value: string): string {
  return /^[\w./:@-]+$/.test(value) ? value : `'${value.replaceAll("'", `'\\''`)}'`;
}
