-- Where each sink of the audit log has got to. The application moves a cursor forward through functions only and cannot
-- turn one back; what it skips or settles is still in the log.

create table audit_sinks (
  name          text        not null primary key,
  next_index    bigint      not null default 0 check (next_index >= 0), -- everything below it was received or parked
  holder        text,                                     -- the broker that sends now
  held_until    timestamptz,
  moved_at      timestamptz,                              -- when the cursor moved last
  failing_since timestamptz,
  failure       text,                                     -- what went wrong last
  created_at    timestamptz not null default clock_timestamp()
);

-- What a receiver would not take: the leaves, and how many of them it refused when it does not say which.
create table audit_dead_letters (
  sink        text        not null references audit_sinks (name),
  first_index bigint      not null,
  last_index  bigint      not null,
  refused     integer     not null check (refused > 0),
  because     text        not null,
  parked_at   timestamptz not null default clock_timestamp(),
  replayed_at timestamptz,                                -- when a person had it sent again, and it was taken
  primary key (sink, first_index),
  check (last_index >= first_index)
);

grant select on audit_sinks, audit_dead_letters to mayfly_app;

-- The sink is this broker's for so many seconds, and it begins where the cursor is; null when another one has it.
create function claim_audit_sink(sink text, by_whom text, seconds integer) returns bigint
language sql security definer set search_path = public, pg_temp as $$
  insert into audit_sinks as s (name, holder, held_until)
    values (sink, by_whom, clock_timestamp() + make_interval(secs => seconds))
  on conflict (name) do update set holder = by_whom, held_until = excluded.held_until
    where s.holder is null or s.holder = by_whom or s.held_until < clock_timestamp()
  returning s.next_index
$$;

create function release_audit_sink(sink text, by_whom text) returns void
language sql security definer set search_path = public, pg_temp as $$
  update audit_sinks s set holder = null, held_until = null where s.name = sink and s.holder = by_whom
$$;

-- Moves the cursor on; false when it is not where the caller believes, or the sink is not the caller's any more.
create function advance_audit_sink(sink text, by_whom text, expected_index bigint, new_index bigint) returns boolean
language plpgsql security definer set search_path = public, pg_temp as $$
begin
  if new_index <= expected_index then raise exception 'a cursor only moves forward'; end if;
  update audit_sinks s
     set next_index = new_index, moved_at = clock_timestamp(), failing_since = null, failure = null
   where s.name = sink and s.holder = by_whom and s.next_index = expected_index;
  return found;
end $$;

-- Leaves that were refused are put aside and the cursor goes past them, both or neither.
create function park_audit_entries(
  sink text, by_whom text, expected_index bigint, first_parked bigint, last_parked bigint, how_many integer,
  why text) returns boolean
language plpgsql security definer set search_path = public, pg_temp as $$
begin
  if first_parked < expected_index then raise exception 'what is parked is not behind the cursor'; end if;
  if not advance_audit_sink(sink, by_whom, expected_index, last_parked + 1) then return false; end if;
  insert into audit_dead_letters (sink, first_index, last_index, refused, because)
    values (sink, first_parked, last_parked, how_many, left(why, 1000));
  return true;
end $$;

create function note_audit_sink_failure(sink text, by_whom text, why text) returns void
language sql security definer set search_path = public, pg_temp as $$
  update audit_sinks s
     set failing_since = coalesce(s.failing_since, clock_timestamp()), failure = left(why, 1000)
   where s.name = sink and s.holder = by_whom
$$;

-- The leaves from first to last were sent again and taken. Answers how many dead letters that settles.
create function settle_dead_letters(replayed_sink text, first_replayed bigint, last_replayed bigint) returns integer
language plpgsql security definer set search_path = public, pg_temp as $$
declare
  settled integer;
begin
  update audit_dead_letters d set replayed_at = clock_timestamp()
   where d.sink = replayed_sink and d.first_index >= first_replayed and d.last_index <= last_replayed
     and d.replayed_at is null;
  get diagnostics settled = row_count;
  return settled;
end $$;

revoke all on function claim_audit_sink, release_audit_sink, advance_audit_sink, park_audit_entries,
  note_audit_sink_failure, settle_dead_letters from public;
grant execute on function claim_audit_sink, release_audit_sink, advance_audit_sink, park_audit_entries,
  note_audit_sink_failure, settle_dead_letters to mayfly_app;
