-- The stored log is compared with itself in steps, since no broker may live as long as that takes for a long one. Where
-- it has got to, when it last came to its end, and what was found is the same for all brokers.

create table audit_examination (
  only_one   boolean     not null primary key default true check (only_one),
  turn       bigint      not null default 0,              -- each step is one: the fence between two brokers
  next_index bigint      not null default 0,              -- the leaves before it were compared
  frontier   bytea[]     not null default '{}',           -- of those
  after_day  integer,                                     -- once lines are looked at: up to this one they were
  after_id   text,
  ended_at   timestamptz not null default now(),          -- the last one, whatever it found
  sound_at   timestamptz not null default now(),          -- the last one that found nothing; at first, since when there is none
  fault      jsonb,                                       -- what the last one found
  check ((after_day is null) = (after_id is null))
);
insert into audit_examination default values;
grant select on audit_examination to mayfly_app;

-- Writes down how far one is. False when it is not the caller's turn: then another broker did it.
create function keep_examination(
  expected_turn bigint, new_index bigint, new_frontier bytea[], new_after_day integer, new_after_id text
) returns boolean
language plpgsql security definer set search_path = public, pg_temp as $$
begin
  update audit_examination x
     set turn = x.turn + 1, next_index = new_index, frontier = new_frontier, after_day = new_after_day,
         after_id = new_after_id
   where x.turn = expected_turn;
  return found;
end $$;

-- Everything was compared, or something is wrong. The next one begins at the beginning.
create function end_examination(expected_turn bigint, found_fault jsonb) returns boolean
language plpgsql security definer set search_path = public, pg_temp as $$
begin
  update audit_examination x
     set turn = x.turn + 1, next_index = 0, frontier = '{}', after_day = null, after_id = null, ended_at = now(),
         sound_at = case when found_fault is null then now() else x.sound_at end, fault = found_fault
   where x.turn = expected_turn;
  return found;
end $$;

revoke all on function keep_examination, end_examination from public;
grant execute on function keep_examination, end_examination to mayfly_app;
