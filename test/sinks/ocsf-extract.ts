/**
 * What version 1.8.0 of the Open Cybersecurity Schema Framework demands of the classes that mayfly uses, written down
 * from the published schema (https://schema.ocsf.io/1.8.0/classes/<name> and …/objects/<name>; the schema is under the
 * Apache License 2.0): identifiers, required attributes, activities, constraints, and the types of what mayfly fills.
 */

type AttributeType =
  | 'integer'
  | 'string'
  | 'boolean'
  | 'time'
  | 'ip'
  | 'any'
  | { object: keyof typeof OBJECTS };

export type Shape = {
  required: readonly string[];
  atLeastOne?: readonly string[];
  attributes: Readonly<Record<string, AttributeType>>;
};

export const VERSION = '1.8.0';

export const SEVERITY_IDS = [0, 1, 2, 3, 4, 5, 6, 99];
export const STATUS_CAPTIONS: Readonly<Record<number, string>> = {
  0: 'Unknown',
  1: 'Success',
  2: 'Failure',
  99: 'Other',
};
export const SEVERITY_CAPTIONS: Readonly<Record<number, string>> = {
  0: 'Unknown',
  1: 'Informational',
  2: 'Low',
  3: 'Medium',
  4: 'High',
};
export const AUTH_PROTOCOLS: Readonly<Record<number, string>> = { 4: 'OpenID', 6: 'OAUTH 2.0' };

/** Objects. `_entity`, which several extend, demands a name or a uid. */
export const OBJECTS = {
  metadata: {
    required: ['product', 'version'],
    attributes: {
      correlation_uid: 'string',
      event_code: 'string',
      log_name: 'string',
      original_event_uid: 'string',
      original_time: 'string',
      product: { object: 'product' },
      uid: 'string',
      version: 'string',
    },
  },
  product: {
    required: [],
    atLeastOne: ['name', 'uid'],
    attributes: { name: 'string', uid: 'string', vendor_name: 'string', version: 'string' },
  },
  user: {
    required: [],
    atLeastOne: ['account', 'name', 'uid'],
    attributes: { name: 'string', uid: 'string', type: 'string', type_id: 'integer' },
  },
  actor: {
    required: [],
    atLeastOne: ['process', 'user', 'invoked_by', 'session', 'app_name', 'app_uid'],
    attributes: { user: { object: 'user' }, session: { object: 'session' } },
  },
  session: { required: [], attributes: { uid: 'string', issuer: 'string' } },
  service: { required: [], atLeastOne: ['name', 'uid'], attributes: { name: 'string', uid: 'string' } },
  api: {
    required: ['operation'],
    attributes: { operation: 'string', request: { object: 'request' }, service: { object: 'service' } },
  },
  request: { required: ['uid'], attributes: { uid: 'string' } },
  network_endpoint: {
    required: [],
    atLeastOne: [
      'ip',
      'uid',
      'name',
      'hostname',
      'svc_name',
      'instance_uid',
      'interface_uid',
      'interface_name',
      'domain',
    ],
    attributes: { ip: 'ip', name: 'string', uid: 'string', hostname: 'string' },
  },
  managed_entity: {
    required: [],
    atLeastOne: ['name', 'uid', 'device', 'group', 'org', 'policy', 'user'],
    attributes: { name: 'string', uid: 'string', type: 'string', type_id: 'integer', version: 'string' },
  },
} as const satisfies Record<string, unknown>;

const BASE_REQUIRED = [
  'activity_id',
  'category_uid',
  'class_uid',
  'metadata',
  'severity_id',
  'time',
  'type_uid',
];
const BASE_ATTRIBUTES: Shape['attributes'] = {
  activity_id: 'integer',
  activity_name: 'string',
  category_name: 'string',
  category_uid: 'integer',
  class_name: 'string',
  class_uid: 'integer',
  count: 'integer',
  message: 'string',
  metadata: { object: 'metadata' },
  severity: 'string',
  severity_id: 'integer',
  status: 'string',
  status_code: 'string',
  status_detail: 'string',
  status_id: 'integer',
  time: 'time',
  type_name: 'string',
  type_uid: 'integer',
  unmapped: 'any',
};
const IAM_ATTRIBUTES: Shape['attributes'] = {
  ...BASE_ATTRIBUTES,
  actor: { object: 'actor' },
  src_endpoint: { object: 'network_endpoint' },
};

export type OcsfClassShape = Shape & {
  uid: number;
  caption: string;
  category: number;
  activities: Readonly<Record<number, string>>;
};

const ANY_ACTIVITY = { 0: 'Unknown', 99: 'Other' };

export const CLASSES: readonly OcsfClassShape[] = [
  {
    uid: 0,
    caption: 'Base Event',
    category: 0,
    required: BASE_REQUIRED,
    activities: ANY_ACTIVITY,
    attributes: BASE_ATTRIBUTES,
  },
  {
    uid: 3001,
    caption: 'Account Change',
    category: 3,
    required: [...BASE_REQUIRED, 'user'],
    activities: {
      ...ANY_ACTIVITY,
      1: 'Create',
      2: 'Enable',
      3: 'Password Change',
      4: 'Password Reset',
      5: 'Disable',
      6: 'Delete',
      7: 'Attach Policy',
      8: 'Detach Policy',
      9: 'Lock',
      10: 'MFA Factor Enable',
      11: 'MFA Factor Disable',
      12: 'Unlock',
    },
    attributes: { ...IAM_ATTRIBUTES, user: { object: 'user' } },
  },
  {
    uid: 3002,
    caption: 'Authentication',
    category: 3,
    required: [...BASE_REQUIRED, 'user'],
    atLeastOne: ['service', 'dst_endpoint'],
    activities: {
      ...ANY_ACTIVITY,
      1: 'Logon',
      2: 'Logoff',
      3: 'Authentication Ticket',
      4: 'Service Ticket Request',
      5: 'Service Ticket Renew',
      6: 'Preauth',
      7: 'Account Switch',
    },
    attributes: {
      ...IAM_ATTRIBUTES,
      auth_protocol: 'string',
      auth_protocol_id: 'integer',
      is_remote: 'boolean',
      service: { object: 'service' },
      session: { object: 'session' },
      user: { object: 'user' },
    },
  },
  {
    uid: 3004,
    caption: 'Entity Management',
    category: 3,
    required: [...BASE_REQUIRED, 'entity'],
    activities: {
      ...ANY_ACTIVITY,
      1: 'Create',
      2: 'Read',
      3: 'Update',
      4: 'Delete',
      5: 'Move',
      6: 'Enroll',
      7: 'Unenroll',
      8: 'Enable',
      9: 'Disable',
      10: 'Activate',
      11: 'Deactivate',
      12: 'Suspend',
      13: 'Resume',
    },
    attributes: { ...IAM_ATTRIBUTES, entity: { object: 'managed_entity' } },
  },
  {
    uid: 6003,
    caption: 'API Activity',
    category: 6,
    required: [...BASE_REQUIRED, 'actor', 'api', 'src_endpoint'],
    activities: { ...ANY_ACTIVITY, 1: 'Create', 2: 'Read', 3: 'Update', 4: 'Delete' },
    attributes: {
      ...BASE_ATTRIBUTES,
      actor: { object: 'actor' },
      api: { object: 'api' },
      src_endpoint: { object: 'network_endpoint' },
    },
  },
];
