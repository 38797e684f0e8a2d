-- A session is one run of one agent, bound to the thumbprint of one ephemeral key. It obeys the ledger as a
-- token does: it stores the epoch at which it opened, and each mint asks again whether it is still alive.

create table sessions (
  id           text        not null primary key,          -- ses_…
  agent_id     text        not null references agents (id),
  client_id    text        not null,
  jkt          text        not null,
  zone         text        not null,
  opened_epoch bigint      not null,
  opened_at    timestamptz not null,
  expires_at   timestamptz not null,
  unique (agent_id, jkt)                                  -- a key whose session ended never opens another
);

create index sessions_expires_at on sessions (expires_at);

grant select, insert on sessions to mayfly_app;
