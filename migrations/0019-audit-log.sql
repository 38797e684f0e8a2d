-- The record becomes a log that shows what was done to it: every committed line gets a place, the places are the
-- leaves of a Merkle tree (RFC 9162 §2.1), and the heads of that tree are signed and handed out (C2SP tlog). The
-- application adds; it changes and removes nothing, here or there.

-- Lines lie by the day they were written on, so that retention drops whole days. `xid` is the transaction that
-- wrote the line: the sequencer asks for what became visible since it last looked, and a number or a time would
-- miss what commits late.
alter table audit_entries rename to audit_entries_before;
alter table audit_entries_before rename constraint audit_entries_pkey to audit_entries_before_pkey;
alter index audit_entries_at rename to audit_entries_before_at;

create table audit_entries (
  day         integer     not null default floor(extract(epoch from now()) / 86400),
  -- Ordered by time, when mayfly names it. Lengths are asked for apart: counting in a pattern costs twenty times as much.
  id          text        not null check (id ~ '^aud_[0-9A-Za-z_-]+$' and length(id) <= 80),
  xid         bigint      not null default pg_current_xact_id()::text::bigint,
  at          timestamptz not null default now(),
  action      text        not null check (action ~ '^[a-z][a-z_]*\.[a-z][a-z_]*$' and length(action) <= 65),  -- past tense
  outcome     text        not null check (outcome in ('allowed', 'refused')),
  reason      text,                                       -- of a refusal: a closed set, errors/refusal.ts
  request_id  text,
  actor       text,                                       -- the client that was authenticated, or claimed
  session_id  text,
  token_id    text,
  repetitions integer     not null default 1 check (repetitions > 0),
  details     jsonb       not null default '{}',
  primary key (day, id)
) partition by range (day);

create index audit_entries_by_transaction on audit_entries (xid);
create index audit_entries_by_session on audit_entries (session_id) where session_id is not null;
-- A receipt cites the line of its entry of the ledger.
create index audit_entries_by_epoch on audit_entries ((details->>'epoch'))
  where action in ('revocation.appended', 'revocation.released');

create trigger audit_entries_append_only before update or delete on audit_entries
  for each row execute function refuse_rewriting();
create trigger audit_entries_not_truncated before truncate on audit_entries
  for each statement execute function refuse_rewriting();

grant select on audit_entries to mayfly_app;
grant insert (id, action, outcome, reason, request_id, actor, session_id, token_id, repetitions, details)
  on audit_entries to mayfly_app;

-- As make_partitions in 0006, by the day.
create function make_audit_partitions(ahead integer) returns integer
language plpgsql security definer set search_path = public, pg_temp set lock_timeout = '2s' as $$
declare
  today integer := floor(extract(epoch from now()) / 86400);
  made integer := 0;
  name text;
begin
  if ahead not between 1 and 30 then raise exception 'ahead has to be 1 to 30 days'; end if;
  if not pg_try_advisory_xact_lock(hashtext('mayfly partitions')) then return 0; end if;
  for each_day in today - 1 .. today + ahead loop
    name := 'audit_entries_' || each_day;
    continue when to_regclass(name) is not null;
    execute format('create table %I (like audit_entries including defaults including constraints)', name);
    execute format('alter table %I add constraint %I check (day = %s)', name, name || '_day', each_day);
    execute format('alter table audit_entries attach partition %I for values from (%s) to (%s)',
                   name, each_day, each_day + 1);
    execute format('alter table %I drop constraint %I', name, name || '_day');
    made := made + 1;
  end loop;
  return made;
end $$;

select make_audit_partitions(14);

do $$
declare
  each_day integer;
begin
  for each_day in select distinct floor(extract(epoch from at) / 86400)::integer from audit_entries_before loop
    continue when to_regclass('audit_entries_' || each_day) is not null;
    execute format('create table audit_entries_%s partition of audit_entries for values from (%s) to (%s)',
                   each_day, each_day, each_day + 1);
  end loop;
end $$;

-- Spread over the transactions there were until now, in the order of time: batches are cut between transactions.
insert into audit_entries (day, id, xid, at, action, outcome, reason, request_id, actor, session_id, token_id,
                           repetitions, details)
select floor(extract(epoch from at) / 86400)::integer, id,
       3 + div((row_number() over (order by at, id) - 1) * (pg_current_xact_id()::text::numeric - 3), count(*) over ()),
       at, action, outcome, reason, request_id, actor, session_id, token_id, repetitions, details
  from audit_entries_before;
drop table audit_entries_before;

-- The place of each line, and the hash of what it said: both stay when the line itself is past its retention.
create table audit_leaves (
  leaf_index bigint  primary key check (leaf_index >= 0),
  entry_id   text    not null unique,
  day        integer not null,
  hash       bytea   not null check (length(hash) = 32)
);

-- Roots of complete subtrees of 256, 256², … leaves: level 1, 2, … of the tiles. Level 0 is audit_leaves.
create table audit_nodes (
  level      smallint not null check (level between 1 and 7),
  node_index bigint   not null check (node_index >= 0),
  hash       bytea    not null check (length(hash) = 32),
  primary key (level, node_index)
);

-- What tells one cluster from its copy in another one.
create function audit_cluster() returns bigint language sql stable security definer set search_path = public, pg_temp as $$
  select system_identifier from pg_control_system()
$$;

-- How far the log is. `seen` is the snapshot up to which every line has a place; while `target` is being worked
-- off, those up to (after_xid, after_id) have theirs. Snapshots mean something within one cluster only, so its
-- name stands beside them.
create table audit_log_head (
  only_one   boolean     not null primary key default true check (only_one),
  size       bigint      not null default 0,
  frontier   bytea[]     not null default '{}',           -- roots of the complete subtrees, largest first
  cluster    bigint      not null,
  -- Once the lines came from elsewhere, their transactions are those of another cluster, for good.
  moved      boolean     not null default false,
  seen       pg_snapshot not null default '3:3:',
  target     pg_snapshot,
  after_xid  bigint      not null default 0,
  after_id   text        not null default ''
);
insert into audit_log_head (cluster) values (audit_cluster());

-- Signed heads (C2SP tlog-checkpoint): what was ever handed out.
create table audit_checkpoints (
  size bigint      primary key check (size > 0),
  root bytea       not null check (length(root) = 32),
  note text        not null,
  kid  text        not null,
  at   timestamptz not null default now()
);

-- From one key of the log to the next: signed by both.
create table audit_hand_overs (
  to_kid   text        primary key,
  from_kid text        not null,
  size     bigint      not null,
  note     text        not null,
  at       timestamptz not null default now()
);

-- What witnesses signed of a checkpoint: signature lines of a C2SP cosignature.
create table audit_cosignatures (
  size    bigint      not null references audit_checkpoints (size),
  witness text        not null,
  line    text        not null,
  at      timestamptz not null default now(),
  primary key (size, witness)
);

grant select on audit_leaves, audit_nodes, audit_log_head, audit_checkpoints, audit_hand_overs, audit_cosignatures
  to mayfly_app;

do $$
declare
  name text;
begin
  foreach name in array array['audit_leaves', 'audit_nodes', 'audit_checkpoints', 'audit_hand_overs',
                              'audit_cosignatures'] loop
    execute format('create trigger %I before update or delete on %I for each row execute function refuse_rewriting()',
                   name || '_append_only', name);
    execute format('create trigger %I before truncate on %I for each statement execute function refuse_rewriting()',
                   name || '_not_truncated', name);
  end loop;
end $$;

-- Gives lines their places. Whoever believes in another size than this has been overtaken by another sequencer:
-- false, and nothing has happened. The one update of the head makes two at once take turns.
create function append_leaves(
  expected_size bigint, ids text[], days integer[], hashes bytea[], new_frontier bytea[],
  node_levels smallint[], node_indexes bigint[], node_hashes bytea[],
  new_seen pg_snapshot, new_target pg_snapshot, new_after_xid bigint, new_after_id text, is_caught_up boolean
) returns boolean
language plpgsql security definer set search_path = public, pg_temp as $$
declare
  added integer := cardinality(ids);
begin
  if cardinality(days) <> added or cardinality(hashes) <> added then
    raise exception 'every line has an id, a day and a hash';
  end if;
  update audit_log_head h
     set size = expected_size + added, frontier = new_frontier, seen = new_seen, target = new_target,
         after_xid = new_after_xid, after_id = new_after_id,
         moved = h.moved or h.cluster <> audit_cluster(),
         cluster = case when is_caught_up then audit_cluster() else h.cluster end
   where h.size = expected_size;
  if not found then return false; end if;
  insert into audit_leaves (leaf_index, entry_id, day, hash)
  select expected_size + l.place - 1, l.id, l.day, l.hash
    from unnest(ids, days, hashes) with ordinality as l (id, day, hash, place);
  insert into audit_nodes (level, node_index, hash)
  select n.level, n.node_index, n.hash from unnest(node_levels, node_indexes, node_hashes) as n (level, node_index, hash);
  return true;
end $$;

-- Keeps a signed head; false when one was kept that is as large. Never one that is smaller than another, or larger
-- than the log.
create function keep_checkpoint(checkpoint_size bigint, checkpoint_root bytea, checkpoint_note text, key_kid text)
returns boolean
language plpgsql security definer set search_path = public, pg_temp as $$
declare
  log_size bigint;
begin
  select h.size into log_size from audit_log_head h for update;
  if checkpoint_size > log_size then raise exception 'the log has % leaves only', log_size; end if;
  if checkpoint_size <= coalesce((select max(c.size) from audit_checkpoints c), 0) then return false; end if;
  insert into audit_checkpoints (size, root, note, kid)
    values (checkpoint_size, checkpoint_root, checkpoint_note, key_kid);
  return true;
end $$;

create function keep_hand_over(new_kid text, old_kid text, at_size bigint, hand_over_note text) returns boolean
language sql security definer set search_path = public, pg_temp as $$
  with kept as (
    insert into audit_hand_overs (to_kid, from_kid, size, note) values (new_kid, old_kid, at_size, hand_over_note)
        on conflict do nothing returning 1)
  select exists (select from kept)
$$;

create function keep_cosignature(checkpoint_size bigint, witness_name text, signature_line text) returns boolean
language sql security definer set search_path = public, pg_temp as $$
  with kept as (
    insert into audit_cosignatures (size, witness, line) values (checkpoint_size, witness_name, signature_line)
        on conflict do nothing returning 1)
  select exists (select from kept)
$$;

-- Drops the oldest day that lies more than `kept` days back and of which every line has its place. Returns its
-- name, or null. As drop_partition in 0006.
create function drop_audit_partition(kept integer) returns text
language plpgsql security definer set search_path = public, pg_temp set lock_timeout = '200ms' as $$
declare
  today integer := floor(extract(epoch from now()) / 86400);
  oldest text;
  waits boolean;
begin
  -- Whatever a broker is told, or was made to say.
  if kept < 30 then raise exception 'at least thirty days have to be kept'; end if;
  if not pg_try_advisory_xact_lock(hashtext('mayfly partitions')) then return null; end if;
  select c.relname into oldest
    from pg_inherits i join pg_class c on c.oid = i.inhrelid
   where i.inhparent = 'audit_entries'::regclass and substring(c.relname from '[0-9]+$')::integer < today - kept
   order by substring(c.relname from '[0-9]+$')::integer limit 1;
  if oldest is null then return null; end if;
  if exists (select from audit_log_head h where not h.moved and h.target is null and h.cluster = audit_cluster()) then
    -- Whatever was visible in `seen` has its place: only what was under way then, or came later, may wait. By the index.
    execute format('select exists (select from %I e cross join audit_log_head h
                                    where e.xid >= pg_snapshot_xmin(h.seen)::text::bigint
                                      and not pg_visible_in_snapshot(e.xid::text::xid8, h.seen))', oldest) into waits;
  else
    execute format('select exists (select from %I e
                                    where not exists (select from audit_leaves l where l.entry_id = e.id))', oldest)
      into waits;
  end if;
  if waits then return null; end if;
  execute format('drop table %I', oldest);
  return oldest;
end $$;

-- As in 0006, for all that lies in partitions: what is there for lines counts as hours too.
create or replace function partitions_ahead() returns integer language sql stable set search_path = public, pg_temp as $$
  select least(
    (select coalesce(min(newest), -1) - floor(extract(epoch from now()) / 3600)::integer
       from (select max(substring(c.relname from '[0-9]+$')::integer) as newest
               from pg_class p left join pg_inherits i on i.inhparent = p.oid left join pg_class c on c.oid = i.inhrelid
              where p.relname in ('tokens', 'spent_jti') and p.relnamespace = 'public'::regnamespace
              group by p.relname) as each_parent),
    (select (coalesce(max(substring(c.relname from '[0-9]+$')::integer), -1) + 1) * 24
            - floor(extract(epoch from now()) / 3600)::integer - 1
       from pg_inherits i join pg_class c on c.oid = i.inhrelid where i.inhparent = 'audit_entries'::regclass))
$$;

revoke all on function make_audit_partitions, append_leaves, keep_checkpoint, keep_hand_over, keep_cosignature,
  drop_audit_partition, audit_cluster from public;
grant execute on function make_audit_partitions, append_leaves, keep_checkpoint, keep_hand_over, keep_cosignature,
  drop_audit_partition, audit_cluster to mayfly_app;

-- A ring of its own for the key that signs the log's heads.
alter table signing_keys drop constraint signing_keys_purpose_check;
alter table signing_keys add constraint signing_keys_purpose_check
  check (purpose in ('token', 'ledger', 'nonce', 'log'));
