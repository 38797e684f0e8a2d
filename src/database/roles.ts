/**
 * Two roles from the first migration on. `mayfly_owner` owns the database, runs migrations and owns the
 * `security definer` functions of upkeep. `mayfly_app` is what a broker connects as: it cannot create, change or
 * drop anything, and gets table by table what the migrations grant it, so that an append-only table stays
 * append-only even in the hands of a broker that was taken over.
 */

export const OWNER_ROLE = 'mayfly_owner';
export const APPLICATION_ROLE = 'mayfly_app';
export const DATABASE_NAME = 'mayfly';

/** For a superuser, on any database of the cluster. Can be run again; also puts changed limits right. */
export const ROLE_STATEMENTS: readonly string[] = [
  createRole(OWNER_ROLE),
  createRole(APPLICATION_ROLE),
  // Whoever recovers a database sees what its brokers left waiting in it, and may end that.
  `grant ${APPLICATION_ROLE} to ${OWNER_ROLE}`,
  ...roleSettings(OWNER_ROLE, { lock_timeout: '10s', idle_in_transaction_session_timeout: '60s' }),
  ...roleSettings(APPLICATION_ROLE, {
    statement_timeout: '10s',
    lock_timeout: '3s',
    idle_in_transaction_session_timeout: '10s',
  }),
];

/** For a superuser, from any database of the cluster. Who may connect. Can be run again. */
export function databaseGrants(database: string = DATABASE_NAME): string[] {
  return [
    `revoke all on database ${database} from public`,
    `grant connect on database ${database} to ${OWNER_ROLE}, ${APPLICATION_ROLE}`,
  ];
}

/** For a superuser, connected to the database itself. A clone of the database has them already. */
export const SCHEMA_STATEMENTS: readonly string[] = [
  'revoke create on schema public from public',
  `grant usage on schema public to ${APPLICATION_ROLE}`,
  // Postgres lets everybody call a new function; upkeep runs with the owner's rights.
  `alter default privileges for role ${OWNER_ROLE} revoke execute on functions from public`,
];

/** The same as a script for `psql`, run once by a superuser of a production database. Sets no passwords. */
export function rolesScript(): string {
  return [
    '-- Run once, as a superuser or as the administrator of a managed Postgres:',
    '-- psql --set ON_ERROR_STOP=1 --file roles.sql',
    ...ROLE_STATEMENTS.map((statement) => `${statement};`),
    // An administrator who is no superuser may give a database only to a role that they are in.
    `grant ${OWNER_ROLE} to current_user;`,
    `select 'create database ${DATABASE_NAME} owner ${OWNER_ROLE} ${DATABASE_OPTIONS}'`,
    `  where not exists (select from pg_database where datname = '${DATABASE_NAME}') \\gexec`,
    `\\connect ${DATABASE_NAME}`,
    ...[...databaseGrants(), ...SCHEMA_STATEMENTS].map((statement) => `${statement};`),
    `revoke ${OWNER_ROLE} from current_user;`,
    `-- Then set passwords: \\password ${OWNER_ROLE} and \\password ${APPLICATION_ROLE}`,
    '',
  ].join('\n');
}

/** Names and digests are compared byte by byte, the same way on every machine and after every upgrade. */
const DATABASE_OPTIONS =
  "template template0 encoding UTF8 locale_provider builtin builtin_locale 'C.UTF-8' locale 'C'".replaceAll(
    "'",
    "''",
  );

function createRole(role: string): string {
  return `do $$ begin
  if not exists (select from pg_roles where rolname = '${role}') then
    create role ${role} login nosuperuser nocreatedb nocreaterole noreplication nobypassrls;
  end if;
end $$`;
}

function roleSettings(role: string, limits: Record<string, string>): string[] {
  const settings = {
    ...limits,
    search_path: 'public',
    timezone: 'UTC',
    // The mint reads the epoch in the snapshot of one statement (ledger rule L9).
    default_transaction_isolation: 'read committed',
  };
  return Object.entries(settings).map(([name, value]) => `alter role ${role} set ${name} = '${value}'`);
}
