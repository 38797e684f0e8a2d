-- The ring of keys that brokers share: what signs tokens, what signs ledger messages, what nonces derive from.
-- It lies in the database so that every broker publishes a key before any of them signs with it. Secrets are
-- sealed with a key-encryption key that the database never sees; whoever can only write here cannot add a key
-- that a broker would use. Rows are kept after their secret is erased (about three a day): they say which key
-- signed when. Only the functions below write, each changes one row and leaves its audit entry with it.

create table signing_keys (
  kid           text        not null primary key check (length(kid) = 43),
  purpose       text        not null check (purpose in ('token', 'ledger', 'nonce')),
  algorithm     text        not null check (algorithm in ('Ed25519', 'HMAC-SHA256')),
  generation    integer     not null check (generation > 0),
  public_key    bytea       check (length(public_key) = 32),
  sealed_secret bytea       check (length(sealed_secret) between 1 and 256),  -- null once erased
  sealed_by     text        not null,                     -- fingerprint of the key-encryption key
  published_at  timestamptz not null default date_trunc('milliseconds', now()),
  active_from   timestamptz not null,
  revoked_at    timestamptz,
  unique (purpose, generation),                           -- exactly one broker makes the next key
  check (active_from >= published_at),
  check ((purpose = 'nonce') = (public_key is null)),
  check ((purpose = 'nonce') = (algorithm = 'HMAC-SHA256')),
  check (revoked_at is null or sealed_secret is null)
);

grant select on signing_keys to mayfly_app;

-- When a key stops signing is not stored, it follows from its successors: 60 seconds after the first of them
-- became active, so that a broker whose copy of the ring is a little old is not refused. A successor that was
-- revoked before it became active takes over from nobody. (src/signing-keys/key-state.ts states the same.)
create view signing_key_times as
  select k.kid, k.purpose, k.generation, k.published_at, k.active_from, k.revoked_at,
         (select min(n.active_from) + interval '60 seconds'
            from signing_keys n
           where n.purpose = k.purpose and n.generation > k.generation
             and (n.revoked_at is null or n.revoked_at > n.active_from)) as retire_at
    from signing_keys k;

create view signing_keys_that_may_sign as
  select t.kid, t.purpose
    from signing_key_times t
   where t.revoked_at is null and t.active_from <= now() and (t.retire_at is null or t.retire_at > now());

-- What a statement that mints asks, in its own snapshot: a stable function sees what the statement sees, takes no
-- lock and calls nothing volatile (ledger rule L9). Its names are bound here and now, whatever the search path.
create function token_key_may_sign(key_kid text) returns boolean language sql stable
  return exists (select from signing_keys_that_may_sign s where s.kid = key_kid and s.purpose = 'token');

grant select on signing_key_times, signing_keys_that_may_sign to mayfly_app;
grant execute on function token_key_may_sign to mayfly_app;

-- Stores the next key of a purpose; false when that generation exists already. Times are this database's: the
-- key becomes active `key_lead_seconds` from now or at `key_not_before`, whichever is later.
create function add_signing_key(
  key_kid text, key_purpose text, key_algorithm text, key_generation integer, key_public bytea,
  key_sealed_secret bytea, key_sealed_by text, key_lead_seconds integer, key_not_before timestamptz,
  audit_id text, audit_actor text
) returns boolean language sql security definer set search_path = public, pg_temp as $$
  with added as (
    insert into signing_keys (kid, purpose, algorithm, generation, public_key, sealed_secret, sealed_by, active_from)
    values (key_kid, key_purpose, key_algorithm, key_generation, key_public, key_sealed_secret, key_sealed_by,
            date_trunc('milliseconds',
                       greatest(now() + make_interval(secs => key_lead_seconds), key_not_before)))
    on conflict (purpose, generation) do nothing
    returning kid, purpose, generation, sealed_by, active_from
  ), recorded as (
    insert into audit_entries (id, action, outcome, actor, details)
    select audit_id, 'signing_key.made', 'allowed', audit_actor,
           jsonb_build_object('kid', kid, 'purpose', purpose, 'generation', generation,
                              'sealed_by', sealed_by, 'active_from', active_from)
      from added
  )
  select count(*) = 1 from added
$$;

-- A published key becomes active at once; false when it is active already, or revoked.
create function hasten_signing_key(key_kid text, audit_id text, audit_actor text)
returns boolean language sql security definer set search_path = public, pg_temp as $$
  with hastened as (
    update signing_keys set active_from = date_trunc('milliseconds', now())
     where kid = key_kid and active_from > now() and revoked_at is null
    returning kid, purpose
  ), recorded as (
    insert into audit_entries (id, action, outcome, actor, details)
    select audit_id, 'signing_key.hastened', 'allowed', audit_actor,
           jsonb_build_object('kid', kid, 'purpose', purpose)
      from hastened
  )
  select count(*) = 1 from hastened
$$;

-- The key signs nothing more, leaves JWKS and loses its secret, for good; false when it was revoked before. A key
-- of tokens gets its entry in the ledger too, so that what it has signed is dead wherever the ledger is asked (L8).
create function revoke_signing_key(
  key_kid text, audit_id text, audit_actor text, ledger_entry_id text, ledger_audit_id text
) returns boolean language plpgsql security definer set search_path = public, pg_temp as $$
declare
  key_purpose text;
begin
  update signing_keys set revoked_at = date_trunc('milliseconds', now()), sealed_secret = null
   where kid = key_kid and revoked_at is null
  returning purpose into key_purpose;
  if not found then return false; end if;
  insert into audit_entries (id, action, outcome, actor, details)
    values (audit_id, 'signing_key.revoked', 'allowed', audit_actor,
            jsonb_build_object('kid', key_kid, 'purpose', key_purpose));
  if key_purpose = 'token' then
    perform append_revocation(ledger_entry_id, 'signing-key', key_kid, false, null, 'the signing key was revoked',
                              audit_actor, ledger_audit_id, null);
  end if;
  return true;
end $$;

-- Puts the same secret under another key-encryption key, if nobody changed it meanwhile.
create function reseal_signing_key(
  key_kid text, key_was_sealed bytea, key_sealed_secret bytea, key_sealed_by text, audit_id text, audit_actor text
) returns boolean language sql security definer set search_path = public, pg_temp as $$
  with resealed as (
    update signing_keys set sealed_secret = key_sealed_secret, sealed_by = key_sealed_by
     where kid = key_kid and sealed_secret = key_was_sealed
    returning kid, purpose, sealed_by
  ), recorded as (
    insert into audit_entries (id, action, outcome, actor, details)
    select audit_id, 'signing_key.resealed', 'allowed', audit_actor,
           jsonb_build_object('kid', kid, 'purpose', purpose, 'sealed_by', sealed_by)
      from resealed
  )
  select count(*) = 1 from resealed
$$;

-- Erases the secret of a key that stopped signing more than `key_tail_seconds` ago; false when that is not so.
create function erase_signing_key(key_kid text, key_tail_seconds integer, audit_id text, audit_actor text)
returns boolean language sql security definer set search_path = public, pg_temp as $$
  with erased as (
    update signing_keys k set sealed_secret = null
      from signing_key_times t
     where k.kid = key_kid and t.kid = k.kid and k.sealed_secret is not null
       and t.retire_at + make_interval(secs => greatest(key_tail_seconds, 0)) <= now()
    returning k.kid, k.purpose
  ), recorded as (
    insert into audit_entries (id, action, outcome, actor, details)
    select audit_id, 'signing_key.erased', 'allowed', audit_actor,
           jsonb_build_object('kid', kid, 'purpose', purpose)
      from erased
  )
  select count(*) = 1 from erased
$$;

revoke all on function add_signing_key, hasten_signing_key, revoke_signing_key, reseal_signing_key,
  erase_signing_key from public;
grant execute on function add_signing_key, hasten_signing_key, revoke_signing_key, reseal_signing_key,
  erase_signing_key to mayfly_app;
