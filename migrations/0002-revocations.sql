-- The revocation ledger: one ordered list of what is revoked, each entry with the next epoch. Whoever holds a
-- copy up to an epoch can decide by comparing numbers. Only append_revocation() writes here, so that no caller
-- can leave a gap, reorder, or hold the head's lock open.

create table revocation_head (
  one        boolean not null primary key default true check (one),
  epoch      bigint  not null,
  generation integer not null,
  digest     bytea   not null                             -- running SHA-256 over every entry
);

insert into revocation_head (epoch, generation, digest) values (0, 1, sha256('mayfly revocation ledger'));

create table revocations (
  epoch          bigint      not null primary key,
  id             text        not null unique,             -- rev_…
  kind           text        not null check (kind in
    ('token', 'session', 'agent', 'zone', 'action', 'resource', 'subject', 'signing-key', 'all')),
  target         text        not null check ((kind = 'all') = (target = '')),
  key            text        not null generated always as
    (case when kind = 'all' then 'all' else kind || ':' || target end) stored,
  standing       boolean     not null,                    -- kills what exists and stops minting until released
  releases       bigint      references revocations (epoch),
  released_epoch bigint      check (released_epoch > epoch),
  reason         text        not null,
  actor          text        not null,
  created_at     timestamptz not null,
  digest         bytea       not null,
  check (released_epoch is null or standing),
  check (releases is null or not standing)
);

create index revocations_key on revocations (key, epoch);
create index revocations_standing on revocations (key) where standing and released_epoch is null;

-- One autocommit statement: bump the head, insert the entry, write the audit entry. The row lock on the head
-- makes epochs gapless and visible in order. The digest chains the entry as a JSON array of strings in the
-- canonical form of RFC 8785.
create function append_revocation(
  entry_id text, entry_kind text, entry_target text, entry_standing boolean, entry_releases bigint,
  entry_reason text, entry_actor text, audit_id text, audit_request_id text
) returns table (epoch bigint, generation integer, digest bytea, created_at timestamptz)
language plpgsql security definer set search_path = public, pg_temp as $$
declare
  next_epoch bigint;
  next_generation integer;
  previous bytea;
  next_digest bytea;
  written timestamptz;
begin
  select h.epoch + 1, h.generation, h.digest into next_epoch, next_generation, previous
    from revocation_head h for update;
  written := clock_timestamp();                           -- after the lock: times are ordered as epochs are
  next_digest := sha256(previous || convert_to('[' || array_to_string(array[
    to_json(next_epoch::text), to_json(entry_id), to_json(entry_kind), to_json(entry_target),
    to_json(entry_standing::text), to_json(coalesce(entry_releases::text, '')), to_json(entry_reason),
    to_json(entry_actor), to_json(floor(extract(epoch from written) * 1000)::bigint::text)
  ]::text[], ',') || ']', 'UTF8'));
  update revocation_head h set epoch = next_epoch, digest = next_digest;
  insert into revocations (epoch, id, kind, target, standing, releases, reason, actor, created_at, digest)
    values (next_epoch, entry_id, entry_kind, entry_target, entry_standing, entry_releases, entry_reason,
            entry_actor, written, next_digest);
  if entry_releases is not null then
    update revocations r set released_epoch = next_epoch
      where r.epoch = entry_releases and r.standing and r.released_epoch is null;
    if not found then
      raise exception 'epoch % is not a standing revocation that could be released', entry_releases
        using errcode = 'no_data_found';
    end if;
  end if;
  insert into audit_entries (id, action, outcome, request_id, actor, details)
    values (audit_id,
            case when entry_releases is null then 'revocation.appended' else 'revocation.released' end,
            'allowed', audit_request_id, entry_actor,
            jsonb_build_object('epoch', next_epoch, 'kind', entry_kind, 'target', entry_target,
                               'standing', entry_standing, 'reason', entry_reason));
  return query select next_epoch, next_generation, next_digest, written;
end $$;

revoke all on function append_revocation from public;
grant execute on function append_revocation to mayfly_app;
grant select on revocation_head, revocations to mayfly_app;
