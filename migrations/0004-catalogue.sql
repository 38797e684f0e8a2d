-- The reviewed catalogue as brokers have to agree on it: one active version. The application role can read it
-- and nothing else: what an agent may do widens by a reviewed commit that the owner role applies, never by a
-- call to a broker.

create table catalogue_versions (
  version    integer     not null primary key generated always as identity,
  digest     text        not null,
  document   jsonb       not null,
  applied_at timestamptz not null default now(),
  applied_by text        not null,
  active     boolean     not null
);

create unique index catalogue_versions_active on catalogue_versions (active) where active;

-- The identity behind a name. An agent that is removed and declared again gets another id, and so inherits no
-- session, key or approval of its namesake.
create table agents (
  id         text        not null primary key,            -- agt_…
  name       text        not null,
  created_at timestamptz not null default now(),
  removed_at timestamptz
);

create unique index agents_name on agents (name) where removed_at is null;

-- Makes a version the active one, together with all that follows from it: identities for new agents, the end of
-- removed ones, and the revocations of what the new version takes away. Compare-and-set on the version that the
-- caller compared with, so that two who apply at once cannot lose one's revocations.
-- added: [{"id", "name"}], removed: names, revoked: [{"id", "kind", "target", "reason", "audit_id"}].
create function apply_catalogue(
  expected_version integer, new_digest text, new_document jsonb, actor text,
  added jsonb, removed text[], revoked jsonb, entry_id text
) returns integer
language plpgsql set search_path = public, pg_temp as $$
declare
  new_version integer;
  item jsonb;
begin
  perform pg_advisory_xact_lock(hashtext('mayfly catalogue'));
  if expected_version is distinct from (select c.version from catalogue_versions c where c.active) then
    raise exception 'another version was applied meanwhile' using errcode = 'serialization_failure';
  end if;
  update catalogue_versions c set active = false where c.active;
  insert into catalogue_versions (digest, document, applied_by, active)
    values (new_digest, new_document, actor, true) returning version into new_version;
  update agents a set removed_at = now() where a.removed_at is null and a.name = any (removed);
  insert into agents (id, name) select j.id, j.name from jsonb_to_recordset(added) as j (id text, name text);
  for item in select value from jsonb_array_elements(revoked) loop
    perform append_revocation(item->>'id', item->>'kind', item->>'target', false, null,
                              item->>'reason', actor, item->>'audit_id', null);
  end loop;
  insert into audit_entries (id, action, outcome, actor, details)
    values (entry_id, 'catalogue.changed', 'allowed', actor,
            jsonb_build_object('version', new_version, 'digest', new_digest, 'before', expected_version,
                               'agents_added', added, 'agents_removed', to_jsonb(removed),
                               'revocations', jsonb_array_length(revoked)));
  return new_version;
end $$;

revoke all on function apply_catalogue from public;
grant select on catalogue_versions, agents to mayfly_app;
