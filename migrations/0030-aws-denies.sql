-- Credentials that AWS takes although an entry of the ledger killed their token can be denied on their role, where the
-- catalogue says so: by an inline policy that mayfly keeps there until they have ended. What is wanted stands here, so
-- that any broker brings it about, also after the death of the one that was asked; the kill waits for none of it (L2).
alter table aws_credentials add column deny boolean not null default false;

-- Of what an entry stopped too late: whether a deny is wanted for it, and what came of it. The first moment at which IAM
-- had taken it, and until then the last at which it had not; what was put is never taken back.
alter table receipt_aws_roles add column deny boolean not null default false;
alter table receipt_aws_roles add column put_at timestamptz;
alter table receipt_aws_roles add column failed_at timestamptz;
create index receipt_aws_roles_denied on receipt_aws_roles (live_until) where deny;

-- What stands on a role, as far as it is known: the digest of the policy, '' for none, null when nobody knows. One broker
-- at a time is at work on a role; what it says after its lease has ended counts for nothing.
create table aws_role_denies (
  role_arn      text        not null primary key,
  policy_sha256 text        default '',
  checked_at    timestamptz not null,
  lease         text,
  leased_until  timestamptz not null,
  failures      integer     not null default 0,
  last_error    text,
  next_at       timestamptz not null
);

grant select on aws_role_denies to mayfly_app;

-- How far the ledger was looked through for entries that call for a deny.
create table aws_ledger_scan (
  one   boolean not null primary key default true check (one),
  epoch bigint  not null
);

insert into aws_ledger_scan (epoch) select h.epoch from revocation_head h;

-- As in 0029. What an agent ended of its own calls for no deny.
create or replace function state_aws_credentials(entry_epoch bigint) returns void
language sql security definer set search_path = public, pg_temp as $$
  insert into receipt_aws_roles (epoch, role_arn, credentials, live_until, deny)
  select p.epoch, c.role_arn, count(*), max(c.expires_at),
         bool_or(c.deny and not c.keys @> array['agent:' || v.actor])
    from receipts p
    join revocations v on v.epoch = p.epoch and v.releases is null
    join aws_credentials c on c.keys @> array[v.key] and (c.epoch < v.epoch or v.kind = 'signing-key')
   where p.epoch = entry_epoch and c.withdrawn_at is null and c.expires_at > p.committed_at
   group by p.epoch, c.role_arn;
$$;

-- Gives a receipt to every entry that calls for a deny and has none: whoever was to ask for it may have died. Entries
-- become visible in order, so none is passed over. One broker at a time. Returns how many entries were looked at.
create function note_aws_denies(at_most integer, longest_lease integer, margin integer) returns integer
language plpgsql security definer set search_path = public, pg_temp as $$
declare
  looked integer := 0;
  through bigint;
  entry record;
begin
  perform set_config('synchronous_commit', 'local', true);
  select s.epoch into through from aws_ledger_scan s
   where exists (select from revocation_head h where h.epoch > s.epoch) for update skip locked;
  if not found then return 0; end if;
  for entry in
    select v.epoch, v.releases is null and exists (
             select from aws_credentials c
              where c.deny and c.keys @> array[v.key] and (c.epoch < v.epoch or v.kind = 'signing-key')
                and not c.keys @> array['agent:' || v.actor] and c.withdrawn_at is null and c.expires_at > now()) as calls
      from revocations v where v.epoch > through order by v.epoch limit at_most
  loop
    if entry.calls then perform settle_receipt(entry.epoch, false, longest_lease, margin); end if;
    through := entry.epoch;
    looked := looked + 1;
  end loop;
  update aws_ledger_scan s set epoch = through where s.epoch < through;
  return looked;
end $$;

-- The role is this lease's for so long, unless it is another's, or has to be left alone for a while after a failure.
create function lease_aws_role(wanted_role text, new_lease text, lease_seconds integer) returns boolean
language plpgsql security definer set search_path = public, pg_temp as $$
begin
  if lease_seconds not between 1 and 300 then raise exception 'a lease lasts for 1 to 300 seconds'; end if;
  insert into aws_role_denies as d (role_arn, checked_at, lease, leased_until, next_at)
    values (wanted_role, clock_timestamp(), new_lease, clock_timestamp() + make_interval(secs => lease_seconds), '-infinity')
  on conflict (role_arn) do update
    set lease = new_lease, leased_until = clock_timestamp() + make_interval(secs => lease_seconds)
    where d.leased_until < clock_timestamp() and d.next_at <= clock_timestamp();
  return found;
end $$;

-- Nothing was to be done after all.
create function release_aws_role(released_role text, by_lease text) returns void
language sql security definer set search_path = public, pg_temp as $$
  update aws_role_denies d set leased_until = '-infinity' where d.role_arn = released_role and d.lease = by_lease;
$$;

-- What IAM took, in a statement that begins after its answer. A lease that has ended may have put an old policy over a
-- newer one: then nobody knows what stands there, and somebody looks.
create function put_aws_denies(put_role text, by_lease text, put_sha256 text, put_epochs bigint[]) returns boolean
language plpgsql security definer set search_path = public, pg_temp as $$
begin
  update aws_role_denies d
     set policy_sha256 = put_sha256, checked_at = clock_timestamp(), leased_until = '-infinity', failures = 0,
         last_error = null, next_at = '-infinity'
   where d.role_arn = put_role and d.lease = by_lease and d.leased_until > clock_timestamp();
  if not found then
    update aws_role_denies d set policy_sha256 = null where d.role_arn = put_role;
    return false;
  end if;
  update receipt_aws_roles r set put_at = clock_timestamp()
   where r.role_arn = put_role and r.epoch = any (put_epochs) and r.deny and r.put_at is null;
  return true;
end $$;

-- `unknown`: IAM may have taken it all the same.
create function fail_aws_denies(
  failed_role text, by_lease text, error text, pause_milliseconds integer, unknown boolean, failed_epochs bigint[]
) returns void
language plpgsql security definer set search_path = public, pg_temp as $$
begin
  update aws_role_denies d
     set failures = least(d.failures + 1, 1000), last_error = left(error, 100), leased_until = '-infinity',
         next_at = clock_timestamp() + make_interval(secs => pause_milliseconds / 1000.0),
         policy_sha256 = case when unknown then null else d.policy_sha256 end
   where d.role_arn = failed_role and d.lease = by_lease;
  update receipt_aws_roles r set failed_at = clock_timestamp()
   where r.role_arn = failed_role and r.epoch = any (failed_epochs) and r.deny and r.put_at is null;
end $$;

revoke all on function note_aws_denies, lease_aws_role, release_aws_role, put_aws_denies, fail_aws_denies from public;
grant execute on function note_aws_denies, lease_aws_role, release_aws_role, put_aws_denies, fail_aws_denies
  to mayfly_app;
