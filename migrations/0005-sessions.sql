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

-- Sessions that ended more than `kept` days ago, at most `at_most` of them a call. They are kept long after their
-- end, since a key whose session is forgotten could open another one.
create function prune_sessions(kept integer, at_most integer) returns integer
language plpgsql security definer set search_path = public, pg_temp as $$
declare
  pruned integer;
begin
  if kept < 30 or at_most not between 1 and 10000 then
    raise exception 'at least 30 days are kept, and at most 10000 sessions go at once';
  end if;
  delete from sessions where id in (
    select s.id from sessions s where s.expires_at < now() - make_interval(days => kept)
     order by s.expires_at limit at_most for update skip locked);
  get diagnostics pruned = row_count;
  return pruned;
end $$;

revoke all on function prune_sessions from public;
grant execute on function prune_sessions to mayfly_app;
