/** Whether these files can be served with these settings: what neither of them can be found wrong in alone. */
import { developmentClients } from './agents/development-keys.ts';
import { AWS_PATH } from './catalogue/aws-access.ts';
import type { Catalogue } from './catalogue/catalogue.ts';
import { type Configuration, ConfigurationError } from './config/configuration.ts';

/** @throws {ConfigurationError} with every mistake */
export function requireFittingCatalogue(configuration: Configuration, catalogue: Catalogue): void {
  const problems = [...problemsOf(configuration, catalogue)];
  if (problems.length > 0) throw new ConfigurationError(problems);
}

function* problemsOf({ database, issuer }: Configuration, catalogue: Catalogue): Iterable<string> {
  // Keys that lie in a folder of one machine are for trying things out; nothing real may trust them.
  const clients = developmentClients(catalogue).map(({ clientId }) => clientId);
  if (database.kind === 'external' && clients.length > 0) {
    yield `development_key: true is only for the embedded database, and DATABASE_URL is set. Give these clients keys ` +
      `of their own (\`mayfly agent new\`): ${clients.join(', ')}`;
  }
  // The audience of operators' tokens, which wide revocations pass by (L4): no agent may get a token for it.
  for (const name of [issuer, `${issuer}/`]) {
    if (catalogue.resources.has(name)) {
      yield `${name} is the issuer, the resource of mayfly's own actions: no file can declare it. Give the resource server another name`;
    }
  }
  const own = `${issuer}${AWS_PATH}`;
  for (const { name, aws, resource } of catalogue.actions.values()) {
    if (aws === undefined || resource === own) continue;
    yield `${name} gives AWS credentials, which the broker serves itself: its resource has to be ${own}, and is ${resource}`;
  }
}
