-- A record that moved to another cluster (a dump, pg_upgrade) is looked through for lines without a place page by page,
-- since no statement may take as long as millions of lines need. Where that has got to stands in the head, so that
-- whoever comes next goes on there; and days of a log that moved can be dropped without looking through them.

alter table audit_log_head
  -- Every append is a turn. Pages in which nothing was without a place change no size, so the size alone is no fence.
  add column turn           bigint not null default 0,
  -- The cluster in which `target` is a snapshot. While it is this one and `cluster` another, all lines are being looked
  -- through: those up to (after_day, after_id) have their places, and so will everything in `target` when it is done.
  add column target_cluster bigint,
  add column after_day      integer,
  -- Every line of an earlier day has its place, whichever cluster wrote it.
  add column settled_day    integer;

update audit_log_head h set target_cluster = h.cluster where h.target is not null;
update audit_log_head h set settled_day = floor(extract(epoch from now()) / 86400)::integer - 1
 where h.moved and h.target is null and h.cluster = audit_cluster();

drop function append_leaves(bigint, text[], integer[], bytea[], bytea[], smallint[], bigint[], bytea[],
                            pg_snapshot, pg_snapshot, bigint, text, boolean);

-- As before, with a fence for appends that add nothing. Brokers of before neither say their turn nor look page by page.
create function append_leaves(
  expected_size bigint, ids text[], days integer[], hashes bytea[], new_frontier bytea[],
  node_levels smallint[], node_indexes bigint[], node_hashes bytea[],
  new_seen pg_snapshot, new_target pg_snapshot, new_after_xid bigint, new_after_id text, is_caught_up boolean,
  new_after_day integer default null, expected_turn bigint default null
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
         target_cluster = case when new_target is null then null else audit_cluster() end,
         after_xid = new_after_xid, after_id = new_after_id, after_day = new_after_day, turn = h.turn + 1,
         moved = h.moved or h.cluster <> audit_cluster(),
         cluster = case when is_caught_up then audit_cluster() else h.cluster end,
         -- What is not in `seen` was written by transactions that were under way, none of them for a day.
         settled_day = case when is_caught_up and new_target is null
                            then floor(extract(epoch from now()) / 86400)::integer - 1 else h.settled_day end
   where h.size = expected_size and (expected_turn is null or h.turn = expected_turn);
  if not found then return false; end if;
  insert into audit_leaves (leaf_index, entry_id, day, hash)
  select expected_size + l.place - 1, l.id, l.day, l.hash
    from unnest(ids, days, hashes) with ordinality as l (id, day, hash, place);
  insert into audit_nodes (level, node_index, hash)
  select n.level, n.node_index, n.hash from unnest(node_levels, node_indexes, node_hashes) as n (level, node_index, hash);
  return true;
end $$;

-- As before, without a look at every line of a log that moved: numbers of transactions tell nothing there, the day does.
create or replace function drop_audit_partition(kept integer) returns text
language plpgsql security definer set search_path = public, pg_temp set lock_timeout = '200ms' as $$
declare
  today integer := floor(extract(epoch from now()) / 86400);
  head audit_log_head%rowtype;
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
  select h.* into head from audit_log_head h;
  if head.cluster <> audit_cluster() then return null; end if;
  if head.moved then
    waits := substring(oldest from '[0-9]+$')::integer >= coalesce(head.settled_day, 0);
  else
    -- Whatever was visible in `seen` has its place: only what was under way then, or came later, may wait. By the index.
    execute format('select exists (select from %I e where e.xid >= pg_snapshot_xmin($1)::text::bigint
                                                      and not pg_visible_in_snapshot(e.xid::text::xid8, $1))', oldest)
      into waits using head.seen;
  end if;
  if waits then return null; end if;
  execute format('drop table %I', oldest);
  return oldest;
end $$;

revoke all on function append_leaves from public;
grant execute on function append_leaves to mayfly_app;
