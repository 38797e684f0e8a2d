import type { Broker } from './broker.ts';
import type { Configuration } from './config/configuration.ts';

/** What is printed once the broker listens; the command works as it stands, in another terminal. */
export function welcome(configuration: Configuration, { issuer, url, metricsUrl }: Broker): string {
  const lines = [
    `mayfly is up: ${url}${issuer === url ? '' : ` (issuer ${issuer})`}, metrics at ${metricsUrl}/metrics`,
  ];
  if (configuration.database.kind === 'embedded') {
    lines.push(
      `Database and development keys are in ${configuration.dataDirectory}.`,
      'See it work, in another terminal:',
      '',
      `  ${settingsOf(configuration)}npm run tour`,
      '',
    );
  }
  return `${lines.join('\n')}\n`;
}

/** The settings that another command needs to find this broker. */
function settingsOf({ port, issuer, dataDirectory, samplePort }: Configuration): string {
  const settings: string[] = [];
  if (port !== 8420) settings.push(`MAYFLY_PORT=${port}`);
  if (issuer !== `http://127.0.0.1:${port}`) settings.push(`MAYFLY_ISSUER=${issuer}`);
  if (samplePort !== port + 1) settings.push(`MAYFLY_SAMPLE_PORT=${samplePort}`);
  if (!dataDirectory.endsWith('/.mayfly') || dataDirectory !== `${process.cwd()}/.mayfly`) {
    settings.push(`MAYFLY_DATA_DIR=${dataDirectory}`);
  }
  return settings.map((setting) => `${setting} `).join('');
}
