-- Which AWS credentials may be out, so that a receipt says until when those live that its entry could not reach. A row
-- is committed before AWS is asked, and the credentials are handed out only by a statement that begins after that and
-- finds their token alive. So whatever was handed out before an entry was visible stands here for whoever looks after
-- it: either nobody gets the credentials or the receipt counts them, and no kill waits for any of it (L2).
create table aws_credentials (
  id           text        not null primary key,          -- the line of the record that says who asked for them
  token_id     text        not null,
  epoch        bigint      not null,                      -- of the token
  -- What an entry of the ledger can name to kill the token (L8); nothing wide where wide targets pass it by (L4).
  keys         text[]      not null,
  role_arn     text        not null,
  expires_at   timestamptz not null,                      -- with the token: the policy in them denies everything then
  withdrawn_at timestamptz                                -- nobody got them
);

create index aws_credentials_keys on aws_credentials using gin (keys);
create index aws_credentials_expires_at on aws_credentials (expires_at);

grant select, insert, update (withdrawn_at) on aws_credentials to mayfly_app;

-- Those that ended more than `kept` hours ago, at most `at_most` of them a call.
create function prune_aws_credentials(kept integer, at_most integer) returns integer
language plpgsql security definer set search_path = public, pg_temp as $$
declare
  pruned integer;
begin
  if kept < 1 or at_most not between 1 and 10000 then
    raise exception 'at least one hour is kept, and at most 10000 rows go at once';
  end if;
  delete from aws_credentials where id in (
    select c.id from aws_credentials c where c.expires_at < now() - make_interval(hours => kept)
     order by c.expires_at limit at_most for update skip locked);
  get diagnostics pruned = row_count;
  return pruned;
end $$;

-- Receipts of before say nothing of AWS. Credentials that this database has forgotten in a failover live until
-- `aws_unlisted_until` at most; null when it has forgotten none (L25).
alter table receipts add column aws_stated boolean not null default false;
alter table receipts add column aws_unlisted_until timestamptz;

create table receipt_aws_roles (
  epoch       bigint      not null references receipts (epoch) on delete cascade,
  role_arn    text        not null,
  credentials integer     not null check (credentials > 0),
  live_until  timestamptz not null,
  primary key (epoch, role_arn)
);

grant select on receipt_aws_roles to mayfly_app;

-- What an entry killed and AWS still takes, at the moment that the receipt has for the commit. A revoked key kills
-- whatever epoch its tokens say (L8). A release kills nothing, and says nothing.
create function state_aws_credentials(entry_epoch bigint) returns void
language sql security definer set search_path = public, pg_temp as $$
  insert into receipt_aws_roles (epoch, role_arn, credentials, live_until)
  select p.epoch, c.role_arn, count(*), max(c.expires_at)
    from receipts p
    join revocations v on v.epoch = p.epoch and v.releases is null
    join aws_credentials c on c.keys @> array[v.key] and (c.epoch < v.epoch or v.kind = 'signing-key')
   where p.epoch = entry_epoch and c.withdrawn_at is null and c.expires_at > p.committed_at
   group by p.epoch, c.role_arn;
$$;

-- As in 0009, and what there is to say of AWS. A token lives for 900 seconds at most.
create or replace function settle_receipt(
  entry_epoch bigint, was_replicated boolean, longest_lease integer, margin integer
) returns void
language plpgsql security definer set search_path = public, pg_temp as $$
declare
  leeway constant interval := make_interval(secs => margin);
  longest_token constant interval := interval '900 seconds';
begin
  perform set_config('synchronous_commit', 'local', true);
  insert into receipts (epoch, committed_at, replicated, unlisted_stop_at, aws_stated, aws_unlisted_until)
    select entry_epoch, clock_timestamp(), was_replicated,
           (select h.moved_at + make_interval(secs => longest_lease) + leeway from revocation_head h
             where h.moved_at + make_interval(secs => longest_lease) + leeway > clock_timestamp()),
           r.releases is null,
           (select h.moved_at + longest_token + leeway from revocation_head h
             where r.releases is null and h.moved_at + longest_token + leeway > clock_timestamp())
      from revocations r where r.epoch = entry_epoch
        on conflict do nothing;
  if found then
    insert into receipt_instances (epoch, instance, resource, stops_at)
      select entry_epoch, v.instance, v.resource, v.lease_ends_at + leeway
        from verifiers v
       where v.closed_at is null and v.lease_ends_at + leeway > clock_timestamp();
    perform state_aws_credentials(entry_epoch);
  elsif was_replicated then
    update receipts p set replicated = true where p.epoch = entry_epoch and not p.replicated;
  end if;
  update receipt_instances i
     set applied_at = a.applied_at, stops_at = least(i.stops_at, a.closed_at)
    from (select o.instance, v.closed_at,
                 coalesce((select min(k.applied_at) from acknowledgements k
                            where k.instance = o.instance and k.epoch >= entry_epoch),
                          case when v.applied_epoch >= entry_epoch then v.renewed_at end) as applied_at
            from receipt_instances o join verifiers v on v.instance = o.instance
           where o.epoch = entry_epoch and o.applied_at is null) as a
   where i.epoch = entry_epoch and i.instance = a.instance
     and (a.applied_at is not null or a.closed_at < i.stops_at);
end $$;

revoke all on function prune_aws_credentials, state_aws_credentials from public;
grant execute on function prune_aws_credentials to mayfly_app;
