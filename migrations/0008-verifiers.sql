-- The enforcement points that hold a copy of the ledger, and until when each may act on what it holds: from that
-- follows which of them have applied an epoch, and when the others must have stopped. And what a broker needs to
-- notice that this is not the database any more that the ledger was written in.

alter table revocation_head
  add column floor             bigint not null default 0, -- copies need no ordinary entry at or below it
  add column system_identifier text,                      -- of the cluster in which the ledger goes on
  add column timeline          integer,
  add column moved_at          timestamptz;               -- when somebody last said: from here on it is this one

-- The timeline is that of the log being written: a promotion shows in it at once, in pg_control_checkpoint() only
-- after the next checkpoint.
create function database_identity(out system_identifier text, out timeline integer)
language sql security definer set search_path = pg_catalog, pg_temp as $$
  select c.system_identifier::text, ('x' || left(pg_walfile_name(pg_current_wal_lsn()), 8))::bit(32)::integer
    from pg_control_system() c
$$;

update revocation_head h set system_identifier = i.system_identifier, timeline = i.timeline
  from database_identity() i;

alter table revocation_head alter column system_identifier set not null, alter column timeline set not null;

-- What a snapshot holds besides the entries above the floor.
create index revocations_lasting on revocations (epoch)
  where (standing and released_epoch is null) or kind = 'signing-key';
create index revocations_releases on revocations (releases) where releases is not null;

-- One row for each createVerifier(), renewed about each second. Only columns without an index change, and pages are
-- left half empty for that, so that a renewal touches no index.
create table verifiers (
  instance      text        not null primary key,         -- ver_…
  resource      text        not null,
  started_at    timestamptz not null,
  generation    integer     not null,
  applied_epoch bigint      not null,
  renewed_at    timestamptz not null,
  lease_seconds integer     not null check (lease_seconds > 0),
  lease_ends_at timestamptz not null,                     -- of the longest lease that it was ever granted
  closed_at     timestamptz                               -- it said that it decides nothing any more
) with (fillfactor = 50, autovacuum_vacuum_scale_factor = 0.1, autovacuum_vacuum_threshold = 1000);

create index verifiers_resource on verifiers (resource);

grant select, insert on verifiers to mayfly_app;
grant update (generation, applied_epoch, renewed_at, lease_seconds, lease_ends_at, closed_at) on verifiers to mayfly_app;

-- Epochs of which somebody will want to know to the millisecond when each verifier applied them: those that are
-- standing, those that release, and those that whoever appends them says so of. What agents revoke of their own is
-- none of them, so that a flood of it costs no row for each verifier; of those it is known a little later, from the
-- verifier's row.
create table awaited_epochs (
  epoch      bigint      not null primary key,
  awaited_at timestamptz not null default now()
);

-- An instance applied everything up to this epoch at this moment; written when an awaited one was among it.
create table acknowledgements (
  instance   text        not null,
  epoch      bigint      not null,
  applied_at timestamptz not null,
  primary key (instance, epoch)
);

create index acknowledgements_epoch on acknowledgements (epoch);

grant select, insert on awaited_epochs, acknowledgements to mayfly_app;

create function await_acknowledgements() returns trigger
language plpgsql security definer set search_path = public, pg_temp as $$
begin
  insert into awaited_epochs (epoch) values (new.epoch) on conflict do nothing;
  return null;
end $$;

create trigger revocations_awaited after insert on revocations
  for each row when (new.standing or new.releases is not null) execute function await_acknowledgements();

-- What verifiers say they have seen of this ledger and it does not have: evidence that it went back in time. The
-- largest claim of each resource server; the next head is put above all of them that can be believed.
create table ledger_claims (
  resource   text        not null primary key,
  epoch      bigint      not null check (epoch between 0 and 4503599627370496),
  generation integer     not null,
  claimed_at timestamptz not null
);

grant select, insert on ledger_claims to mayfly_app;
grant update (epoch, generation, claimed_at) on ledger_claims to mayfly_app;

-- Puts the floor below what is younger than `youngest` seconds: as long as a token lives, with what clocks may be
-- apart. Whatever is older kills no token that is alive. Returns the floor.
create function raise_revocation_floor(youngest integer) returns bigint
language plpgsql security definer set search_path = public, pg_temp as $$
declare
  old_enough bigint;
begin
  if youngest < 1000 then raise exception 'tokens live 900 seconds, and clocks differ'; end if;
  select max(r.epoch) into old_enough
    from revocations r
   where r.epoch > (select h.floor from revocation_head h)
     and r.created_at < now() - make_interval(secs => youngest);
  update revocation_head h set floor = old_enough where h.floor < old_enough;
  return (select h.floor from revocation_head h);
end $$;

-- Ordinary entries below the floor and older than `kept` hours, at most `at_most` of them a call. A session lives for
-- up to 12 hours and asks for all that came after its beginning. What is standing or released, releases, and
-- revoked signing keys stay for good.
create function prune_revocations(kept integer, at_most integer) returns integer
language plpgsql security definer set search_path = public, pg_temp as $$
declare
  pruned integer;
begin
  if kept < 13 or at_most not between 1 and 10000 then
    raise exception 'at least 13 hours are kept, and at most 10000 entries go at once';
  end if;
  delete from revocations where epoch in (
    select r.epoch from revocations r
     where r.epoch <= (select h.floor from revocation_head h)
       and r.created_at < now() - make_interval(hours => kept)
       and not r.standing and r.releases is null and r.kind <> 'signing-key'
     order by r.epoch limit at_most for update skip locked);
  get diagnostics pruned = row_count;
  return pruned;
end $$;

-- Instances that ended more than `kept` days ago, with what they acknowledged, at most `at_most` a call.
create function prune_verifiers(kept integer, at_most integer) returns integer
language plpgsql security definer set search_path = public, pg_temp as $$
declare
  gone text[];
begin
  if kept < 1 or at_most not between 1 and 10000 then
    raise exception 'at least one day is kept, and at most 10000 instances go at once';
  end if;
  with pruned as (
    delete from verifiers where instance in (
      select v.instance from verifiers v
       where least(v.lease_ends_at, v.closed_at) < now() - make_interval(days => kept)
       limit at_most for update skip locked)
    returning instance)
  select array_agg(p.instance) into gone from pruned p;
  delete from acknowledgements a where a.instance = any (gone);
  delete from awaited_epochs w where w.awaited_at < now() - make_interval(days => kept);
  return coalesce(cardinality(gone), 0);
end $$;

-- The owner says: the ledger goes on in this database, whatever it may have forgotten. All that was minted or
-- opened before is revoked by an entry that lies above every epoch anybody can have seen, in a new generation, so
-- that every copy is thrown away. For the owner alone.
create function move_revocation_head(
  above bigint, entry_id text, entry_reason text, entry_actor text, audit_id text
) returns table (epoch bigint, generation integer)
language plpgsql set search_path = public, pg_temp as $$
declare
  margin constant bigint := 1000000;
  credible constant bigint := 1000000000000;              -- nobody lost more than that; larger claims are lies
  credible_moves constant integer := 1000;
  highest bigint;
  newest integer;                                         -- a backup from before a move has forgotten that one, too
begin
  select greatest(h.epoch, above, (select max(v.applied_epoch) from verifiers v),
                  (select max(c.epoch) from ledger_claims c where c.epoch < h.epoch + credible))
    into highest from revocation_head h for update;
  select greatest(h.generation, (select max(c.generation) from ledger_claims c
                                  where c.generation < h.generation + credible_moves))
    into newest from revocation_head h;
  if highest + margin > 4503599627370496 then raise exception 'epochs would get too large to be told apart'; end if;
  update revocation_head h
     set epoch = highest + margin - 1, generation = newest + 1, moved_at = clock_timestamp(),
         system_identifier = i.system_identifier, timeline = i.timeline
    from database_identity() i;
  delete from ledger_claims;
  return query
    select a.epoch, a.generation
      from append_revocation(entry_id, 'all', '', false, null, entry_reason, entry_actor, audit_id, null) a;
end $$;

revoke all on function database_identity, await_acknowledgements, raise_revocation_floor, prune_revocations,
  prune_verifiers, move_revocation_head from public;
grant execute on function database_identity, raise_revocation_floor, prune_revocations, prune_verifiers to mayfly_app;
