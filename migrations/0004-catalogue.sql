-- The reviewed catalogue as brokers have to agree on it: one active version. The application role can read it
-- and nothing else: what an agent may do widens by a reviewed commit that the owner role applies, never by a
-- call to a broker.

create table catalogue_versions (
  digest     text        not null primary key,
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

grant select on catalogue_versions, agents to mayfly_app;
