-- Drills: every minute a canary is minted, accepted, revoked and refused at every enforcement point, so that it is
-- known that the kill switch works before it is needed. Their tokens are bound to keys that nobody keeps.

-- No catalogue can declare a name with a colon in it.
insert into agents (id, name, kind) values ('agt_00000000000000000000canary', 'mayfly:canary', 'canary');

create table drills (
  id          text        not null primary key,           -- drl_…
  started_at  timestamptz not null default clock_timestamp(),
  started_by  text        not null,                       -- an operator, or 'schedule'
  session_id  text,                                       -- of the canary, once it is minted
  minted_at   timestamptz,
  epoch       bigint,                                     -- of the entry that revokes it
  revoked_at  timestamptz,
  finished_at timestamptz,
  result      text check (result in ('passed', 'failed', 'held')), -- held: a kill that stands would refuse a canary
  because     text
);

create index drills_started_at on drills (started_at);

-- The canary token of each resource: its claims, not the token. Whoever has the signing key makes the same of them.
create table canaries (
  id       text  not null primary key,                    -- cnr_…
  drill_id text  not null references drills (id) on delete cascade,
  resource text  not null,
  kid      text  not null,
  claims   jsonb not null
);

create index canaries_drill_id on canaries (drill_id);

-- Who was live when the canaries were minted, and what each said of its resource's.
create table drill_verifiers (
  drill_id    text        not null references drills (id) on delete cascade,
  instance    text        not null,
  resource    text        not null,
  accepted_at timestamptz,
  refused_at  timestamptz,
  primary key (drill_id, instance)
);

grant select on drills, canaries, drill_verifiers to mayfly_app;
grant insert on canaries to mayfly_app;

-- Begins a drill, unless one is under way (that one is answered), or one began less than `pause` seconds ago.
create function start_drill(drill text, by_whom text, pause integer, longest integer) returns text
language plpgsql security definer set search_path = public, pg_temp as $$
declare
  found_id text;
begin
  perform pg_advisory_xact_lock(hashtext('mayfly drills'));
  update drills d set finished_at = clock_timestamp(), result = 'failed', because = 'the broker that ran it is gone'
   where d.finished_at is null and d.started_at < clock_timestamp() - make_interval(secs => longest);
  select d.id into found_id from drills d where d.finished_at is null;
  if found_id is not null then return found_id; end if;
  if exists (select from drills d where d.started_at > clock_timestamp() - make_interval(secs => pause)) then
    return null;
  end if;
  insert into drills (id, started_by) values (drill, by_whom);
  return drill;
end $$;

-- The canaries are out: whoever is live from here on is to judge them.
create function publish_drill(drill text, session text) returns void
language sql security definer set search_path = public, pg_temp as $$
  update drills d set session_id = session, minted_at = clock_timestamp() where d.id = drill and d.finished_at is null;
  insert into drill_verifiers (drill_id, instance, resource)
    select drill, v.instance, v.resource
      from verifiers v
     where v.closed_at is null and v.lease_ends_at > clock_timestamp()
       and v.resource in (select c.resource from canaries c where c.drill_id = drill)
$$;

-- Ends the canary's session: an ordinary entry of the ledger, with its line in the record.
create function revoke_canary(drill text, entry_id text, audit_id text) returns bigint
language plpgsql security definer set search_path = public, pg_temp as $$
declare
  canary text;
  entry record;
begin
  select d.session_id into canary from drills d where d.id = drill and d.finished_at is null and d.epoch is null;
  if canary is null then return null; end if;
  select a.epoch, a.created_at into entry
    from append_revocation(entry_id, 'session', canary, false, null, 'drill ' || drill, 'mayfly:drill', audit_id, null) a;
  update drills d set epoch = entry.epoch, revoked_at = entry.created_at where d.id = drill;
  return entry.epoch;
end $$;

-- What instances say: [[canary, instance, outcome]]. A canary that was accepted after it had been revoked is no news.
create function note_outcomes(heard jsonb) returns void
language sql security definer set search_path = public, pg_temp as $$
  update drill_verifiers v
     set accepted_at = coalesce(v.accepted_at, case when h.accepted then clock_timestamp() end),
         refused_at = coalesce(v.refused_at, case when h.refused and d.epoch is not null then clock_timestamp() end)
    from (select c.drill_id, c.resource, e.value->>1 as instance, bool_or(e.value->>2 = 'accepted') as accepted,
                 bool_or(e.value->>2 = 'refused') as refused
            from jsonb_array_elements(heard) as e join canaries c on c.id = e.value->>0
           group by 1, 2, 3) as h
    join drills d on d.id = h.drill_id and d.finished_at is null
   where v.drill_id = h.drill_id and v.instance = h.instance and v.resource = h.resource
$$;

create function finish_drill(drill text, outcome text, why text) returns void
language sql security definer set search_path = public, pg_temp as $$
  update drills d set finished_at = clock_timestamp(), result = outcome, because = why
   where d.id = drill and d.finished_at is null
$$;

-- Drills that ended more than `kept` days ago, and the sessions of canaries, whose keys are gone with them.
create function prune_drills(kept integer, at_most integer) returns integer
language plpgsql security definer set search_path = public, pg_temp as $$
declare
  pruned integer;
begin
  if kept < 1 or at_most not between 1 and 10000 then
    raise exception 'at least one day is kept, and at most 10000 drills go at once';
  end if;
  delete from drills where id in (
    select d.id from drills d where d.started_at < now() - make_interval(days => kept)
     order by d.started_at limit at_most for update skip locked);
  get diagnostics pruned = row_count;
  delete from sessions where id in (
    select s.id from sessions s
     where s.client_id = 'mayfly:canary' and s.expires_at < now() - make_interval(days => kept) limit at_most);
  return pruned;
end $$;

revoke all on function start_drill, publish_drill, revoke_canary, note_outcomes, finish_drill, prune_drills from public;
grant execute on function start_drill, publish_drill, revoke_canary, note_outcomes, finish_drill, prune_drills
  to mayfly_app;
