/** The small policy with a resource that gives AWS credentials, and one of its parts changed. */
import { stringify } from 'yaml';
import { type LoadedCatalogue, loadCatalogue } from '../../src/catalogue/index.ts';
import { type Loose, policyFiles, smallPolicy, withFolder } from './policy-fixture.ts';

export const ACCOUNT = '123456789012';
export const ROLE = `arn:aws:iam::${ACCOUNT}:role/mayfly/reports`;
export const READ_REPORT = 'aws:read:reports';

/** A file of `resources/`, as its YAML reads. */
export function awsResource(audience = 'https://broker.example.com/v1/aws'): Loose {
  return {
    resource: audience,
    title: 'Reports in object storage',
    zone: 'shared',
    actions: {
      [READ_REPORT]: {
        title: 'Read a report of one team',
        sensitivity: 'MED',
        effect: 'read',
        lifetime: { default: 60, max: 300 },
        use: 'session',
        approval: 'none',
        arguments: {
          type: 'object',
          properties: {
            team: { enum: ['search', 'billing'] },
            day: { type: 'string', pattern: '^[0-9]{4}-[0-9]{2}-[0-9]{2}$', maxLength: 10 },
          },
          required: ['team', 'day'],
          additionalProperties: false,
        },
        aws: {
          account: ACCOUNT,
          role_arn: ROLE,
          region: 'eu-central-1',
          via: 'web_identity',
          policy: {
            Version: '2012-10-17',
            Statement: [
              {
                Effect: 'Allow',
                Action: ['s3:GetObjectVersion', 's3:GetObject'],
                // biome-ignore lint/suspicious/noTemplateCurlyInString: as it stands in a policy
                Resource: 'arn:aws:s3:::reports/${arguments.team}/${arguments.day}/*',
              },
            ],
          },
        },
      },
    },
  };
}

/** @param change has its way with the resource and with its action */
export function loadAws(
  change: (action: Loose, resource: Loose) => unknown = () => {},
): Promise<LoadedCatalogue> {
  const policy = smallPolicy();
  policy.writer.may.push(READ_REPORT);
  const resource = awsResource();
  change(resource.actions[READ_REPORT], resource);
  const text = stringify(resource, { aliasDuplicateObjects: false });
  return withFolder({ ...policyFiles(policy), 'resources/aws.yaml': text }, (directory) =>
    loadCatalogue(directory),
  );
}
