-- Who waits for a synchronous standby keeps its locks. A command of the owner's may keep the head of the ledger so, or
-- what is left of one whose program is gone: no timeout of Postgres ends that, and a broker neither sees the wait of
-- another role nor may end it. So the owner lets it (L2, L21).

-- Ends such waits of the owner's, where they stand in the way of the caller's own statement, at once or in a queue.
-- What waited is committed here; whether it is anywhere else nobody knows. Returns whose waits were ended.
create function end_owners_waits(before integer) returns setof integer
language sql security definer set search_path = pg_catalog, pg_temp as $$
  with recursive in_the_way (pid) as (
    select unnest(pg_blocking_pids(before))
    union
    select unnest(pg_blocking_pids(i.pid)) from in_the_way i
  ), waits (pid) as materialized (
    select w.pid
      from pg_stat_activity w join in_the_way i on i.pid = w.pid
     where session_user <> current_user and w.usename = current_user and w.datname = current_database()
       and w.wait_event = 'SyncRep'
       and exists (select from pg_stat_activity c where c.pid = before and c.usename = session_user)
  )
  select e.pid from (select w.pid, pg_cancel_backend(w.pid) as ended from waits w) as e where e.ended
$$;

revoke all on function end_owners_waits from public;
grant execute on function end_owners_waits to mayfly_app;
