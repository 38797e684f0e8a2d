-- Every request and decision leaves a line here, written in the transaction of the change itself, so that
-- nothing can happen without a record. The application may add lines and read them, never change them.

create table audit_entries (
  id          text        not null primary key,           -- aud_…, ordered by time
  at          timestamptz not null default now(),
  action      text        not null,                       -- past tense: token.minted, token.refused, …
  outcome     text        not null check (outcome in ('allowed', 'refused')),
  reason      text,                                       -- of a refusal: a closed set, errors/refusal.ts
  request_id  text,
  actor       text,                                       -- the client that was authenticated, or claimed
  session_id  text,
  token_id    text,
  repetitions integer     not null default 1 check (repetitions > 0),
  details     jsonb       not null default '{}'
);

create index audit_entries_at on audit_entries using brin (at);

create function refuse_rewriting() returns trigger language plpgsql as $$
begin
  raise exception 'rows of % are never changed or removed', tg_table_name using errcode = 'insufficient_privilege';
end $$;

create trigger audit_entries_append_only before update or delete on audit_entries
  for each row execute function refuse_rewriting();
create trigger audit_entries_not_truncated before truncate on audit_entries
  for each statement execute function refuse_rewriting();

grant select, insert on audit_entries to mayfly_app;
