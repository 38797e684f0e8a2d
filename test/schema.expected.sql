-- The schema after all migrations, made by test/database/schema.test.ts. Do not edit: run
-- UPDATE_SCHEMA=1 node --test test/database/schema.test.ts
-- Everything belongs to mayfly_owner unless it says otherwise.

grant usage on schema public to mayfly_app;
grant usage on schema public to public;

create table acknowledgements (
  instance text not null,
  epoch bigint not null,
  applied_at timestamp with time zone not null,
  constraint acknowledgements_pkey PRIMARY KEY (instance, epoch)
);
CREATE INDEX acknowledgements_epoch ON public.acknowledgements USING btree (epoch);
grant insert, select on acknowledgements to mayfly_app;

create table agents (
  id text not null,
  name text not null,
  created_at timestamp with time zone not null default now(),
  removed_at timestamp with time zone,
  kind text not null default 'agent'::text,
  constraint agents_kind_check CHECK ((kind = ANY (ARRAY['agent'::text, 'operator'::text, 'canary'::text]))),
  constraint agents_pkey PRIMARY KEY (id)
);
CREATE UNIQUE INDEX agents_name ON public.agents USING btree (name) WHERE (removed_at IS NULL);
grant select on agents to mayfly_app;

create table audit_checkpoints (
  size bigint not null,
  root bytea not null,
  note text not null,
  kid text not null,
  at timestamp with time zone not null default now(),
  constraint audit_checkpoints_root_check CHECK ((length(root) = 32)),
  constraint audit_checkpoints_size_check CHECK ((size > 0)),
  constraint audit_checkpoints_pkey PRIMARY KEY (size)
);
CREATE TRIGGER audit_checkpoints_append_only BEFORE UPDATE ON public.audit_checkpoints FOR EACH ROW EXECUTE FUNCTION refuse_rewriting();
CREATE TRIGGER audit_checkpoints_kept BEFORE DELETE ON public.audit_checkpoints FOR EACH ROW EXECUTE FUNCTION refuse_forgetting_head();
CREATE TRIGGER audit_checkpoints_not_truncated BEFORE TRUNCATE ON public.audit_checkpoints FOR EACH STATEMENT EXECUTE FUNCTION refuse_rewriting();
grant select on audit_checkpoints to mayfly_app;

create table audit_cosignatures (
  size bigint not null,
  witness text not null,
  line text not null,
  at timestamp with time zone not null default now(),
  constraint audit_cosignatures_size_fkey FOREIGN KEY (size) REFERENCES audit_checkpoints(size),
  constraint audit_cosignatures_pkey PRIMARY KEY (size, witness)
);
CREATE INDEX audit_cosignatures_by_witness ON public.audit_cosignatures USING btree (witness, size);
CREATE TRIGGER audit_cosignatures_append_only BEFORE UPDATE ON public.audit_cosignatures FOR EACH ROW EXECUTE FUNCTION refuse_rewriting();
CREATE TRIGGER audit_cosignatures_kept BEFORE DELETE ON public.audit_cosignatures FOR EACH ROW EXECUTE FUNCTION refuse_forgetting_cosignature();
CREATE TRIGGER audit_cosignatures_not_truncated BEFORE TRUNCATE ON public.audit_cosignatures FOR EACH STATEMENT EXECUTE FUNCTION refuse_rewriting();
grant select on audit_cosignatures to mayfly_app;

create table audit_dead_letters (
  sink text not null,
  first_index bigint not null,
  last_index bigint not null,
  refused integer not null,
  because text not null,
  parked_at timestamp with time zone not null default clock_timestamp(),
  replayed_at timestamp with time zone,
  constraint audit_dead_letters_check CHECK ((last_index >= first_index)),
  constraint audit_dead_letters_refused_check CHECK ((refused > 0)),
  constraint audit_dead_letters_sink_fkey FOREIGN KEY (sink) REFERENCES audit_sinks(name),
  constraint audit_dead_letters_pkey PRIMARY KEY (sink, first_index)
);
grant select on audit_dead_letters to mayfly_app;

create table audit_doubts (
  number bigint not null generated always as identity,
  witness text not null,
  why text not null,
  size bigint not null,
  at timestamp with time zone not null default now(),
  constraint audit_doubts_pkey PRIMARY KEY (number)
);
CREATE TRIGGER audit_doubts_append_only BEFORE DELETE OR UPDATE ON public.audit_doubts FOR EACH ROW EXECUTE FUNCTION refuse_rewriting();
CREATE TRIGGER audit_doubts_not_truncated BEFORE TRUNCATE ON public.audit_doubts FOR EACH STATEMENT EXECUTE FUNCTION refuse_rewriting();
grant select on audit_doubts to mayfly_app;

create table audit_doubts_settled (
  number bigint not null,
  reason text not null,
  at timestamp with time zone not null default now(),
  constraint audit_doubts_settled_reason_check CHECK (((length(btrim(reason)) >= 1) AND (length(btrim(reason)) <= 2000))),
  constraint audit_doubts_settled_number_fkey FOREIGN KEY (number) REFERENCES audit_doubts(number),
  constraint audit_doubts_settled_pkey PRIMARY KEY (number)
);
CREATE TRIGGER audit_doubts_settled_append_only BEFORE DELETE OR UPDATE ON public.audit_doubts_settled FOR EACH ROW EXECUTE FUNCTION refuse_rewriting();
CREATE TRIGGER audit_doubts_settled_not_truncated BEFORE TRUNCATE ON public.audit_doubts_settled FOR EACH STATEMENT EXECUTE FUNCTION refuse_rewriting();
grant select on audit_doubts_settled to mayfly_app;

create table audit_entries (
  day integer not null default floor((EXTRACT(epoch FROM now()) / (86400)::numeric)),
  id text not null,
  xid bigint not null default ((pg_current_xact_id())::text)::bigint,
  at timestamp with time zone not null default now(),
  action text not null,
  outcome text not null,
  reason text,
  request_id text,
  actor text,
  session_id text,
  token_id text,
  repetitions integer not null default 1,
  details jsonb not null default '{}'::jsonb,
  constraint audit_entries_action_check CHECK (((action ~ '^[a-z][a-z_]*\.[a-z][a-z_]*$'::text) AND (length(action) <= 65))),
  constraint audit_entries_id_check CHECK (((id ~ '^aud_[0-9A-Za-z_-]+$'::text) AND (length(id) <= 80))),
  constraint audit_entries_outcome_check1 CHECK ((outcome = ANY (ARRAY['allowed'::text, 'refused'::text]))),
  constraint audit_entries_repetitions_check1 CHECK ((repetitions > 0)),
  constraint audit_entries_pkey PRIMARY KEY (day, id)
) partition by range (day);
CREATE INDEX audit_entries_by_epoch ON ONLY public.audit_entries USING btree (((details ->> 'epoch'::text))) WHERE (action = ANY (ARRAY['revocation.appended'::text, 'revocation.released'::text, 'session.revoked'::text, 'token.revoked'::text, 'agent.revoked'::text, 'agent.quarantined'::text, 'agent.released'::text, 'kill_switch.engaged'::text, 'kill_switch.released'::text]));
CREATE INDEX audit_entries_by_session ON ONLY public.audit_entries USING btree (session_id) WHERE (session_id IS NOT NULL);
CREATE INDEX audit_entries_by_transaction ON ONLY public.audit_entries USING btree (xid);
CREATE TRIGGER audit_entries_append_only BEFORE DELETE OR UPDATE ON public.audit_entries FOR EACH ROW EXECUTE FUNCTION refuse_rewriting();
CREATE TRIGGER audit_entries_not_truncated BEFORE TRUNCATE ON public.audit_entries FOR EACH STATEMENT EXECUTE FUNCTION refuse_rewriting();
grant insert (id, action, outcome, reason, request_id, actor, session_id, token_id, repetitions, details), select on audit_entries to mayfly_app;

create table audit_examination (
  only_one boolean not null default true,
  turn bigint not null default 0,
  next_index bigint not null default 0,
  frontier bytea[] not null default '{}'::bytea[],
  after_day integer,
  after_id text,
  ended_at timestamp with time zone not null default now(),
  sound_at timestamp with time zone not null default now(),
  fault jsonb,
  constraint audit_examination_check CHECK (((after_day IS NULL) = (after_id IS NULL))),
  constraint audit_examination_only_one_check CHECK (only_one),
  constraint audit_examination_pkey PRIMARY KEY (only_one)
);
grant select on audit_examination to mayfly_app;

create table audit_hand_overs (
  to_kid text not null,
  from_kid text not null,
  size bigint not null,
  note text not null,
  at timestamp with time zone not null default now(),
  number bigint not null generated always as identity,
  constraint audit_hand_overs_pkey PRIMARY KEY (to_kid)
);
CREATE TRIGGER audit_hand_overs_append_only BEFORE DELETE OR UPDATE ON public.audit_hand_overs FOR EACH ROW EXECUTE FUNCTION refuse_rewriting();
CREATE TRIGGER audit_hand_overs_not_truncated BEFORE TRUNCATE ON public.audit_hand_overs FOR EACH STATEMENT EXECUTE FUNCTION refuse_rewriting();
grant select on audit_hand_overs to mayfly_app;

create table audit_leaves (
  leaf_index bigint not null,
  entry_id text not null,
  day integer not null,
  hash bytea not null,
  constraint audit_leaves_hash_check CHECK ((length(hash) = 32)),
  constraint audit_leaves_leaf_index_check CHECK ((leaf_index >= 0)),
  constraint audit_leaves_pkey PRIMARY KEY (leaf_index),
  constraint audit_leaves_entry_id_key UNIQUE (entry_id)
);
CREATE TRIGGER audit_leaves_append_only BEFORE DELETE OR UPDATE ON public.audit_leaves FOR EACH ROW EXECUTE FUNCTION refuse_rewriting();
CREATE TRIGGER audit_leaves_not_truncated BEFORE TRUNCATE ON public.audit_leaves FOR EACH STATEMENT EXECUTE FUNCTION refuse_rewriting();
grant select on audit_leaves to mayfly_app;

create table audit_log_head (
  only_one boolean not null default true,
  size bigint not null default 0,
  frontier bytea[] not null default '{}'::bytea[],
  cluster bigint not null,
  moved boolean not null default false,
  seen pg_snapshot not null default '3:3:'::pg_snapshot,
  target pg_snapshot,
  after_xid bigint not null default 0,
  after_id text not null default ''::text,
  turn bigint not null default 0,
  target_cluster bigint,
  after_day integer,
  settled_day integer,
  constraint audit_log_head_only_one_check CHECK (only_one),
  constraint audit_log_head_pkey PRIMARY KEY (only_one)
);
grant select on audit_log_head to mayfly_app;

create table audit_nodes (
  level smallint not null,
  node_index bigint not null,
  hash bytea not null,
  constraint audit_nodes_hash_check CHECK ((length(hash) = 32)),
  constraint audit_nodes_level_check CHECK (((level >= 1) AND (level <= 7))),
  constraint audit_nodes_node_index_check CHECK ((node_index >= 0)),
  constraint audit_nodes_pkey PRIMARY KEY (level, node_index)
);
CREATE TRIGGER audit_nodes_append_only BEFORE DELETE OR UPDATE ON public.audit_nodes FOR EACH ROW EXECUTE FUNCTION refuse_rewriting();
CREATE TRIGGER audit_nodes_not_truncated BEFORE TRUNCATE ON public.audit_nodes FOR EACH STATEMENT EXECUTE FUNCTION refuse_rewriting();
grant select on audit_nodes to mayfly_app;

create table audit_retention (
  only_one boolean not null default true,
  days integer not null default 30,
  constraint audit_retention_days_check CHECK (((days >= 30) AND (days <= 3650))),
  constraint audit_retention_only_one_check CHECK (only_one),
  constraint audit_retention_pkey PRIMARY KEY (only_one)
);
grant select on audit_retention to mayfly_app;

create table audit_sinks (
  name text not null,
  next_index bigint not null default 0,
  holder text,
  held_until timestamp with time zone,
  moved_at timestamp with time zone,
  failing_since timestamp with time zone,
  failure text,
  created_at timestamp with time zone not null default clock_timestamp(),
  constraint audit_sinks_next_index_check CHECK ((next_index >= 0)),
  constraint audit_sinks_pkey PRIMARY KEY (name)
);
grant select on audit_sinks to mayfly_app;

create table audit_thinned (
  only_one boolean not null default true,
  size bigint not null default 0,
  constraint audit_thinned_only_one_check CHECK (only_one),
  constraint audit_thinned_pkey PRIMARY KEY (only_one)
);
grant select on audit_thinned to mayfly_app;

create table awaited_epochs (
  epoch bigint not null,
  awaited_at timestamp with time zone not null default now(),
  constraint awaited_epochs_pkey PRIMARY KEY (epoch)
);
grant insert, select on awaited_epochs to mayfly_app;

create table aws_credentials (
  id text not null,
  token_id text not null,
  epoch bigint not null,
  keys text[] not null,
  role_arn text not null,
  expires_at timestamp with time zone not null,
  withdrawn_at timestamp with time zone,
  deny boolean not null default false,
  constraint aws_credentials_pkey PRIMARY KEY (id)
);
CREATE INDEX aws_credentials_expires_at ON public.aws_credentials USING btree (expires_at);
CREATE INDEX aws_credentials_keys ON public.aws_credentials USING gin (keys);
grant insert, select, update (withdrawn_at) on aws_credentials to mayfly_app;

create table aws_ledger_scan (
  one boolean not null default true,
  epoch bigint not null,
  constraint aws_ledger_scan_one_check CHECK (one),
  constraint aws_ledger_scan_pkey PRIMARY KEY (one)
);

create table aws_role_denies (
  role_arn text not null,
  policy_sha256 text default ''::text,
  checked_at timestamp with time zone not null,
  lease text,
  leased_until timestamp with time zone not null,
  failures integer not null default 0,
  last_error text,
  next_at timestamp with time zone not null,
  constraint aws_role_denies_pkey PRIMARY KEY (role_arn)
);
grant select on aws_role_denies to mayfly_app;

create table canaries (
  id text not null,
  drill_id text not null,
  resource text not null,
  kid text not null,
  claims jsonb not null,
  constraint canaries_drill_id_fkey FOREIGN KEY (drill_id) REFERENCES drills(id) ON DELETE CASCADE,
  constraint canaries_pkey PRIMARY KEY (id)
);
CREATE INDEX canaries_drill_id ON public.canaries USING btree (drill_id);
grant insert, select on canaries to mayfly_app;

create table catalogue_versions (
  version integer not null generated always as identity,
  digest text not null,
  document jsonb not null,
  applied_at timestamp with time zone not null default now(),
  applied_by text not null,
  active boolean not null,
  constraint catalogue_versions_pkey PRIMARY KEY (version)
);
CREATE UNIQUE INDEX catalogue_versions_active ON public.catalogue_versions USING btree (active) WHERE active;
grant select on catalogue_versions to mayfly_app;

create table drill_verifiers (
  drill_id text not null,
  instance text not null,
  resource text not null,
  accepted_at timestamp with time zone,
  refused_at timestamp with time zone,
  stopped_at timestamp with time zone,
  absent boolean not null default false,
  stops_at timestamp with time zone,
  constraint drill_verifiers_drill_id_fkey FOREIGN KEY (drill_id) REFERENCES drills(id) ON DELETE CASCADE,
  constraint drill_verifiers_pkey PRIMARY KEY (drill_id, instance)
);
grant select on drill_verifiers to mayfly_app;

create table drills (
  id text not null,
  started_at timestamp with time zone not null default clock_timestamp(),
  started_by text not null,
  session_id text,
  minted_at timestamp with time zone,
  epoch bigint,
  revoked_at timestamp with time zone,
  finished_at timestamp with time zone,
  result text,
  because text,
  missed text[],
  constraint drills_result_check CHECK ((result = ANY (ARRAY['passed'::text, 'failed'::text, 'held'::text]))),
  constraint drills_pkey PRIMARY KEY (id)
);
CREATE INDEX drills_started_at ON public.drills USING btree (started_at);
grant select on drills to mayfly_app;

create table idempotency_keys (
  client_id text not null,
  key text not null,
  request_digest text not null,
  answer jsonb not null,
  created_at timestamp with time zone not null default now(),
  constraint idempotency_keys_pkey PRIMARY KEY (client_id, key)
);
CREATE INDEX idempotency_keys_created_at ON public.idempotency_keys USING btree (created_at);
grant select on idempotency_keys to mayfly_app;

create table ledger_claims (
  resource text not null,
  epoch bigint not null,
  generation integer not null,
  claimed_at timestamp with time zone not null,
  constraint ledger_claims_epoch_check CHECK (((epoch >= 0) AND (epoch <= '4503599627370496'::bigint))),
  constraint ledger_claims_pkey PRIMARY KEY (resource)
);
grant insert, select, update (epoch, generation, claimed_at) on ledger_claims to mayfly_app;

create table migration_digests (
  name text not null,
  sha256 text not null,
  constraint migration_digests_pkey PRIMARY KEY (name)
);
grant select on migration_digests to mayfly_app;

create table migrations (
  name character varying(255) not null,
  timestamp character varying(255) not null,
  constraint migrations_pkey PRIMARY KEY (name)
);
grant select on migrations to mayfly_app;

create table migrations_lock (
  id character varying(255) not null,
  is_locked integer not null default 0,
  constraint migrations_lock_pkey PRIMARY KEY (id)
);

create table quarantines (
  epoch bigint not null,
  agent_id text not null,
  constraint quarantines_agent_id_fkey FOREIGN KEY (agent_id) REFERENCES agents(id),
  constraint quarantines_epoch_fkey FOREIGN KEY (epoch) REFERENCES revocations(epoch),
  constraint quarantines_pkey PRIMARY KEY (epoch)
);
grant select on quarantines to mayfly_app;

create table receipt_aws_roles (
  epoch bigint not null,
  role_arn text not null,
  credentials integer not null,
  live_until timestamp with time zone not null,
  deny boolean not null default false,
  put_at timestamp with time zone,
  failed_at timestamp with time zone,
  constraint receipt_aws_roles_credentials_check CHECK ((credentials > 0)),
  constraint receipt_aws_roles_epoch_fkey FOREIGN KEY (epoch) REFERENCES receipts(epoch) ON DELETE CASCADE,
  constraint receipt_aws_roles_pkey PRIMARY KEY (epoch, role_arn)
);
CREATE INDEX receipt_aws_roles_denied ON public.receipt_aws_roles USING btree (live_until) WHERE deny;
grant select on receipt_aws_roles to mayfly_app;

create table receipt_instances (
  epoch bigint not null,
  instance text not null,
  resource text not null,
  applied_at timestamp with time zone,
  stops_at timestamp with time zone not null,
  constraint receipt_instances_epoch_fkey FOREIGN KEY (epoch) REFERENCES receipts(epoch) ON DELETE CASCADE,
  constraint receipt_instances_pkey PRIMARY KEY (epoch, instance)
);
CREATE INDEX receipt_instances_outstanding ON public.receipt_instances USING btree (epoch) WHERE (applied_at IS NULL);
grant select on receipt_instances to mayfly_app;

create table receipts (
  epoch bigint not null,
  committed_at timestamp with time zone not null,
  replicated boolean not null,
  unlisted_stop_at timestamp with time zone,
  aws_stated boolean not null default false,
  aws_unlisted_until timestamp with time zone,
  constraint receipts_epoch_fkey FOREIGN KEY (epoch) REFERENCES revocations(epoch) ON DELETE CASCADE,
  constraint receipts_pkey PRIMARY KEY (epoch)
);
grant select on receipts to mayfly_app;

create table revocation_head (
  one boolean not null default true,
  epoch bigint not null,
  generation integer not null,
  digest bytea not null,
  floor bigint not null default 0,
  system_identifier text not null,
  timeline integer not null,
  moved_at timestamp with time zone,
  constraint revocation_head_one_check CHECK (one),
  constraint revocation_head_pkey PRIMARY KEY (one)
);
grant select on revocation_head to mayfly_app;

create table revocations (
  epoch bigint not null,
  id text not null,
  kind text not null,
  target text not null,
  key text not null generated always as (
CASE
    WHEN (kind = 'all'::text) THEN 'all'::text
    ELSE ((kind || ':'::text) || target)
END),
  standing boolean not null,
  releases bigint,
  released_epoch bigint,
  reason text not null,
  actor text not null,
  created_at timestamp with time zone not null,
  digest bytea not null,
  generation integer not null default 1,
  unrecorded jsonb,
  constraint revocations_check CHECK (((kind = 'all'::text) = (target = ''::text))),
  constraint revocations_check1 CHECK ((released_epoch > epoch)),
  constraint revocations_check2 CHECK (((released_epoch IS NULL) OR standing)),
  constraint revocations_check3 CHECK (((releases IS NULL) OR (NOT standing))),
  constraint revocations_kind_check CHECK ((kind = ANY (ARRAY['token'::text, 'session'::text, 'agent'::text, 'zone'::text, 'action'::text, 'resource'::text, 'subject'::text, 'signing-key'::text, 'all'::text]))),
  constraint revocations_releases_fkey FOREIGN KEY (releases) REFERENCES revocations(epoch),
  constraint revocations_pkey PRIMARY KEY (epoch),
  constraint revocations_id_key UNIQUE (id)
);
CREATE INDEX revocations_ever_standing ON public.revocations USING btree (epoch) WHERE standing;
CREATE INDEX revocations_key ON public.revocations USING btree (key, epoch);
CREATE INDEX revocations_lasting ON public.revocations USING btree (epoch) WHERE ((standing AND (released_epoch IS NULL)) OR (kind = 'signing-key'::text));
CREATE INDEX revocations_releases ON public.revocations USING btree (releases) WHERE (releases IS NOT NULL);
CREATE INDEX revocations_standing ON public.revocations USING btree (key) WHERE (standing AND (released_epoch IS NULL));
CREATE INDEX revocations_unrecorded ON public.revocations USING btree (epoch) WHERE (unrecorded IS NOT NULL);
CREATE TRIGGER revocations_awaited AFTER INSERT ON public.revocations FOR EACH ROW WHEN ((new.standing OR (new.releases IS NOT NULL))) EXECUTE FUNCTION await_acknowledgements();
grant select on revocations to mayfly_app;

create table sessions (
  id text not null,
  agent_id text not null,
  client_id text not null,
  jkt text not null,
  zone text not null,
  opened_epoch bigint not null,
  opened_at timestamp with time zone not null,
  expires_at timestamp with time zone not null,
  exempt_from_wide boolean not null default false,
  constraint sessions_agent_id_fkey FOREIGN KEY (agent_id) REFERENCES agents(id),
  constraint sessions_pkey PRIMARY KEY (id),
  constraint sessions_agent_id_jkt_key UNIQUE (agent_id, jkt)
);
CREATE INDEX sessions_client_id ON public.sessions USING btree (client_id, id);
CREATE INDEX sessions_expires_at ON public.sessions USING btree (expires_at);
grant insert, select on sessions to mayfly_app;

create table signing_keys (
  kid text not null,
  purpose text not null,
  algorithm text not null,
  generation integer not null,
  public_key bytea,
  sealed_secret bytea,
  sealed_by text not null,
  published_at timestamp with time zone not null default date_trunc('milliseconds'::text, now()),
  active_from timestamp with time zone not null,
  revoked_at timestamp with time zone,
  constraint signing_keys_algorithm_check CHECK (((algorithm = ANY (ARRAY['Ed25519'::text, 'ES256'::text, 'HMAC-SHA256'::text])) AND ((algorithm = 'ES256'::text) = (purpose = 'web-identity'::text)))),
  constraint signing_keys_check CHECK ((active_from >= published_at)),
  constraint signing_keys_check1 CHECK (((purpose = 'nonce'::text) = (public_key IS NULL))),
  constraint signing_keys_check2 CHECK (((purpose = 'nonce'::text) = (algorithm = 'HMAC-SHA256'::text))),
  constraint signing_keys_check3 CHECK (((revoked_at IS NULL) OR (sealed_secret IS NULL))),
  constraint signing_keys_generation_check CHECK ((generation > 0)),
  constraint signing_keys_kid_check CHECK ((length(kid) = 43)),
  constraint signing_keys_public_key_check CHECK ((length(public_key) =
CASE
    WHEN (algorithm = 'ES256'::text) THEN 64
    ELSE 32
END)),
  constraint signing_keys_purpose_check CHECK ((purpose = ANY (ARRAY['token'::text, 'ledger'::text, 'nonce'::text, 'log'::text, 'web-identity'::text]))),
  constraint signing_keys_sealed_secret_check CHECK (((length(sealed_secret) >= 1) AND (length(sealed_secret) <= 256))),
  constraint signing_keys_pkey PRIMARY KEY (kid),
  constraint signing_keys_purpose_generation_key UNIQUE (purpose, generation)
);
grant select on signing_keys to mayfly_app;

create table spent_jti (
  hour integer not null,
  key uuid not null,
  token_id text not null,
  constraint spent_jti_pkey PRIMARY KEY (hour, key)
) partition by range (hour);
grant insert, select on spent_jti to mayfly_app;

create table tokens (
  hour integer not null,
  jti text not null,
  session_id text not null,
  resource text not null,
  scope text not null,
  kid text not null,
  epoch bigint not null,
  issued_at timestamp with time zone not null,
  expires_at timestamp with time zone not null,
  call jsonb,
  consumed_at timestamp with time zone,
  constraint tokens_pkey PRIMARY KEY (hour, jti)
) partition by range (hour);
grant insert, select, update (consumed_at) on tokens to mayfly_app;

create table verifiers (
  instance text not null,
  resource text not null,
  started_at timestamp with time zone not null,
  generation integer not null,
  applied_epoch bigint not null,
  renewed_at timestamp with time zone not null,
  lease_seconds integer not null,
  lease_ends_at timestamp with time zone not null,
  closed_at timestamp with time zone,
  constraint verifiers_lease_seconds_check CHECK ((lease_seconds > 0)),
  constraint verifiers_pkey PRIMARY KEY (instance)
) with (fillfactor=50, autovacuum_vacuum_scale_factor=0.1, autovacuum_vacuum_threshold=1000);
CREATE INDEX verifiers_resource ON public.verifiers USING btree (resource);
grant insert, select, update (generation, applied_epoch, renewed_at, lease_seconds, lease_ends_at, closed_at) on verifiers to mayfly_app;

CREATE OR REPLACE FUNCTION public.add_signing_key(key_kid text, key_purpose text, key_algorithm text, key_generation integer, key_public bytea, key_sealed_secret bytea, key_sealed_by text, key_lead_seconds integer, key_not_before timestamp with time zone, audit_id text, audit_actor text)
 RETURNS boolean
 LANGUAGE sql
 SECURITY DEFINER
 SET search_path TO 'public', 'pg_temp'
AS $function$
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
$function$;
grant execute on function add_signing_key(text,text,text,integer,bytea,bytea,text,integer,timestamp with time zone,text,text) to mayfly_app;

CREATE OR REPLACE FUNCTION public.advance_audit_sink(sink text, by_whom text, expected_index bigint, new_index bigint)
 RETURNS boolean
 LANGUAGE plpgsql
 SECURITY DEFINER
 SET search_path TO 'public', 'pg_temp'
AS $function$
begin
  if new_index <= expected_index then raise exception 'a cursor only moves forward'; end if;
  update audit_sinks s
     set next_index = new_index, moved_at = clock_timestamp(), failing_since = null, failure = null
   where s.name = sink and s.holder = by_whom and s.next_index = expected_index;
  return found;
end $function$;
grant execute on function advance_audit_sink(text,text,bigint,bigint) to mayfly_app;

CREATE OR REPLACE FUNCTION public.append_entry(entry_id text, entry_kind text, entry_target text, entry_standing boolean, entry_releases bigint, entry_reason text, entry_actor text)
 RETURNS TABLE(epoch bigint, generation integer, digest bytea, created_at timestamp with time zone)
 LANGUAGE plpgsql
 SET search_path TO 'public', 'pg_temp'
AS $function$
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
  insert into revocations (epoch, id, kind, target, standing, releases, reason, actor, created_at, digest, generation)
    values (next_epoch, entry_id, entry_kind, entry_target, entry_standing, entry_releases, entry_reason,
            entry_actor, written, next_digest, next_generation);
  if entry_releases is not null then
    update revocations r set released_epoch = next_epoch
      where r.epoch = entry_releases and r.standing and r.released_epoch is null;
    if not found then
      raise exception 'epoch % is not a standing revocation that could be released', entry_releases
        using errcode = 'no_data_found';
    end if;
  end if;
  return query select next_epoch, next_generation, next_digest, written;
end $function$;

CREATE OR REPLACE FUNCTION public.append_leaves(expected_size bigint, ids text[], days integer[], hashes bytea[], new_frontier bytea[], node_levels smallint[], node_indexes bigint[], node_hashes bytea[], new_seen pg_snapshot, new_target pg_snapshot, new_after_xid bigint, new_after_id text, is_caught_up boolean, new_after_day integer DEFAULT NULL::integer, expected_turn bigint DEFAULT NULL::bigint)
 RETURNS boolean
 LANGUAGE plpgsql
 SECURITY DEFINER
 SET search_path TO 'public', 'pg_temp'
AS $function$
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
end $function$;
grant execute on function append_leaves(bigint,text[],integer[],bytea[],bytea[],smallint[],bigint[],bytea[],pg_snapshot,pg_snapshot,bigint,text,boolean,integer,bigint) to mayfly_app;

CREATE OR REPLACE FUNCTION public.append_revocation(entry_id text, entry_kind text, entry_target text, entry_standing boolean, entry_releases bigint, entry_reason text, entry_actor text, audit_id text, audit_request_id text)
 RETURNS TABLE(epoch bigint, generation integer, digest bytea, created_at timestamp with time zone)
 LANGUAGE plpgsql
 SECURITY DEFINER
 SET search_path TO 'public', 'pg_temp'
AS $function$
declare
  entry record;
begin
  select * into entry from append_entry(entry_id, entry_kind, entry_target, entry_standing, entry_releases,
                                        entry_reason, entry_actor);
  perform record_entry(entry.epoch, audit_id, audit_request_id, '{}');
  return query select entry.epoch, entry.generation, entry.digest, entry.created_at;
end $function$;
grant execute on function append_revocation(text,text,text,boolean,bigint,text,text,text,text) to mayfly_app;

CREATE OR REPLACE FUNCTION public.apply_catalogue(expected_version integer, new_digest text, new_document jsonb, actor text, added jsonb, removed text[], revoked jsonb, entry_id text)
 RETURNS integer
 LANGUAGE plpgsql
 SET search_path TO 'public', 'pg_temp'
AS $function$
declare
  new_version integer;
  item jsonb;
begin
  perform pg_advisory_xact_lock(hashtext('mayfly catalogue'));
  if expected_version is distinct from (select c.version from catalogue_versions c where c.active) then
    raise exception 'another version was applied meanwhile' using errcode = 'serialization_failure';
  end if;
  update catalogue_versions c set active = false where c.active;
  insert into catalogue_versions (digest, document, applied_by, active)
    values (new_digest, new_document, actor, true) returning version into new_version;
  update agents a set removed_at = now() where a.removed_at is null and a.name = any (removed);
  insert into agents (id, name, kind)
    select j.id, j.name, coalesce(j.kind, 'agent')
      from jsonb_to_recordset(added) as j (id text, name text, kind text);
  for item in select value from jsonb_array_elements(revoked) loop
    perform append_revocation(item->>'id', item->>'kind', item->>'target', false, null,
                              item->>'reason', actor, item->>'audit_id', null);
  end loop;
  insert into audit_entries (id, action, outcome, actor, details)
    values (entry_id, 'catalogue.changed', 'allowed', actor,
            jsonb_build_object('version', new_version, 'digest', new_digest, 'before', expected_version,
                               'agents_added', added, 'agents_removed', to_jsonb(removed),
                               'revocations', jsonb_array_length(revoked)));
  return new_version;
end $function$;

CREATE OR REPLACE FUNCTION public.asked_from()
 RETURNS text
 LANGUAGE sql
 STABLE
 SET search_path TO 'public', 'pg_temp'
AS $function$
  select nullif(current_setting('mayfly.source', true), '')
$function$;

CREATE OR REPLACE FUNCTION public.audit_cluster()
 RETURNS bigint
 LANGUAGE sql
 STABLE SECURITY DEFINER
 SET search_path TO 'public', 'pg_temp'
AS $function$
  select system_identifier from pg_control_system()
$function$;
grant execute on function audit_cluster() to mayfly_app;

CREATE OR REPLACE FUNCTION public.await_acknowledgements()
 RETURNS trigger
 LANGUAGE plpgsql
 SECURITY DEFINER
 SET search_path TO 'public', 'pg_temp'
AS $function$
begin
  insert into awaited_epochs (epoch) values (new.epoch) on conflict do nothing;
  return null;
end $function$;

CREATE OR REPLACE FUNCTION public.claim_audit_sink(sink text, by_whom text, seconds integer)
 RETURNS bigint
 LANGUAGE sql
 SECURITY DEFINER
 SET search_path TO 'public', 'pg_temp'
AS $function$
  insert into audit_sinks as s (name, holder, held_until)
    values (sink, by_whom, clock_timestamp() + make_interval(secs => seconds))
  on conflict (name) do update set holder = by_whom, held_until = excluded.held_until
    where s.holder is null or s.holder = by_whom or s.held_until < clock_timestamp()
  returning s.next_index
$function$;
grant execute on function claim_audit_sink(text,text,integer) to mayfly_app;

CREATE OR REPLACE FUNCTION public.database_identity(OUT system_identifier text, OUT timeline integer)
 RETURNS record
 LANGUAGE sql
 SECURITY DEFINER
 SET search_path TO 'pg_catalog', 'pg_temp'
AS $function$
  select c.system_identifier::text, ('x' || left(pg_walfile_name(pg_current_wal_lsn()), 8))::bit(32)::integer
    from pg_control_system() c
$function$;
grant execute on function database_identity() to mayfly_app;

CREATE OR REPLACE FUNCTION public.declared_client(client text)
 RETURNS agents
 LANGUAGE sql
 STABLE
 SET search_path TO 'public', 'pg_temp'
AS $function$
  select a from agents a
   where (a.name = client or a.id = client) and a.removed_at is null and a.kind <> 'canary'
$function$;

CREATE OR REPLACE FUNCTION public.doubt_audit_log(doubting_witness text, words text, audit_id text)
 RETURNS boolean
 LANGUAGE plpgsql
 SECURITY DEFINER
 SET search_path TO 'public', 'pg_temp'
AS $function$
declare
  signed bigint;
begin
  perform from audit_log_head h for update;
  if exists (select from audit_doubts_standing d where d.witness = doubting_witness) then return false; end if;
  signed := (select coalesce(max(c.size), 0) from audit_checkpoints c);
  insert into audit_doubts (witness, why, size) values (doubting_witness, left(words, 2000), signed);
  insert into audit_entries (id, action, outcome, actor, details)
    values (audit_id, 'audit_log.doubted', 'allowed', null,
            jsonb_build_object('witness', doubting_witness, 'why', left(words, 2000), 'size', signed));
  return true;
end $function$;
grant execute on function doubt_audit_log(text,text,text) to mayfly_app;

CREATE OR REPLACE FUNCTION public.drop_audit_partition(kept integer)
 RETURNS text
 LANGUAGE plpgsql
 SECURITY DEFINER
 SET search_path TO 'public', 'pg_temp'
 SET lock_timeout TO '200ms'
AS $function$
declare
  today integer := floor(extract(epoch from now()) / 86400);
  head audit_log_head%rowtype;
  oldest text;
  waits boolean;
begin
  if kept < 30 then raise exception 'at least thirty days have to be kept'; end if;
  kept := greatest(kept, (select r.days from audit_retention r));
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
end $function$;
grant execute on function drop_audit_partition(integer) to mayfly_app;

CREATE OR REPLACE FUNCTION public.drop_partition(tokens_kept integer, spent_kept integer)
 RETURNS text
 LANGUAGE plpgsql
 SECURITY DEFINER
 SET search_path TO 'public', 'pg_temp'
 SET lock_timeout TO '200ms'
AS $function$
declare
  this_hour integer := floor(extract(epoch from now()) / 3600);
  oldest text;
begin
  if tokens_kept < 2 or spent_kept < 2 then raise exception 'at least two hours have to be kept'; end if;
  if not pg_try_advisory_xact_lock(hashtext('mayfly partitions')) then return null; end if;
  select c.relname into oldest
    from pg_inherits i join pg_class c on c.oid = i.inhrelid join pg_class p on p.oid = i.inhparent
   where p.relname in ('tokens', 'spent_jti') and p.relnamespace = 'public'::regnamespace
     and substring(c.relname from '[0-9]+$')::integer
         < this_hour - case p.relname when 'tokens' then tokens_kept else spent_kept end
   order by substring(c.relname from '[0-9]+$')::integer limit 1;
  if oldest is not null then execute format('drop table %I', oldest); end if;
  return oldest;
end $function$;
grant execute on function drop_partition(integer,integer) to mayfly_app;

CREATE OR REPLACE FUNCTION public.earlier_answer(asked_client text, asked_key text, asked_digest text, OUT outcome text, OUT answer jsonb)
 RETURNS record
 LANGUAGE plpgsql
 SET search_path TO 'public', 'pg_temp'
AS $function$
begin
  perform from revocation_head h for update;
  if asked_key is null then return; end if;
  select case when k.request_digest = asked_digest then 'repeated' else 'other_request' end,
         case when k.request_digest = asked_digest then k.answer end
    into outcome, answer
    from idempotency_keys k where k.client_id = asked_client and k.key = asked_key;
end $function$;

CREATE OR REPLACE FUNCTION public.end_examination(expected_turn bigint, found_fault jsonb)
 RETURNS boolean
 LANGUAGE plpgsql
 SECURITY DEFINER
 SET search_path TO 'public', 'pg_temp'
AS $function$
begin
  update audit_examination x
     set turn = x.turn + 1, next_index = 0, frontier = '{}', after_day = null, after_id = null, ended_at = now(),
         sound_at = case when found_fault is null then now() else x.sound_at end, fault = found_fault
   where x.turn = expected_turn;
  return found;
end $function$;
grant execute on function end_examination(bigint,jsonb) to mayfly_app;

CREATE OR REPLACE FUNCTION public.end_own_session(session_client text, session_jkt text, proof_hour integer, proof_key uuid, assertion_hour integer, assertion_key uuid, entry_id text, entry_reason text, audit_id text, audit_request_id text, OUT outcome text, OUT answer jsonb)
 RETURNS record
 LANGUAGE plpgsql
 SECURITY DEFINER
 SET search_path TO 'public', 'pg_temp'
AS $function$
declare
  session text := (select s.id from declared_client(session_client) a join sessions s on s.agent_id = a.id
                    where a.name = session_client and s.jkt = session_jkt);
  fresh uuid[];
  found_epoch bigint;
begin
  if session is null then
    outcome := 'not_found';
    return;
  end if;
  with spent as (
    insert into spent_jti (hour, key, token_id)
    select o.hour, o.key, audit_id
      from (values (proof_hour, proof_key), (assertion_hour, assertion_key)) as o (hour, key)
     order by o.hour, o.key
        on conflict do nothing
    returning key
  ) select array_agg(s.key) into fresh from spent s;
  outcome := case when assertion_key = any (fresh) is not true then 'assertion_replayed'
                  when proof_key = any (fresh) is not true then 'proof_replayed' else 'done' end;
  if outcome <> 'done' then return; end if;
  perform from revocation_head h for update;
  select min(r.epoch) into found_epoch
    from revocations r where r.key = 'session:' || session and r.releases is null;
  if found_epoch is not null then
    answer := told_entry(found_epoch, 'none');
    insert into audit_entries (id, action, outcome, request_id, actor, session_id, details)
      values (audit_id, 'session.revoked', 'allowed', audit_request_id, session_client, session,
              jsonb_build_object('effect', 'none'));
  else
    select told_entry(a.epoch, 'revoked') into answer
      from append_revocation(entry_id, 'session', session, false, null, entry_reason, session_client, audit_id,
                             audit_request_id) a;
  end if;
end $function$;
grant execute on function end_own_session(text,text,integer,uuid,integer,uuid,text,text,text,text) to mayfly_app;

CREATE OR REPLACE FUNCTION public.end_own_sessions(ends jsonb)
 RETURNS TABLE(n integer, outcome text, answer jsonb)
 LANGUAGE plpgsql
 SECURITY DEFINER
 SET search_path TO 'public', 'pg_temp'
AS $function$
declare
  at_most constant integer := 200;
  each record;
  found_epoch bigint;
begin
  if jsonb_array_length(ends) > at_most then raise exception 'at most % sessions are ended at once', at_most; end if;
  for each in
    with asked as materialized (
      select e.ordinality::integer - 1 as place, e.value->>0 as client, (e.value->>2)::integer as proof_hour,
             (e.value->>3)::uuid as proof_key, (e.value->>4)::integer as assertion_hour,
             (e.value->>5)::uuid as assertion_key, e.value->>6 as entry_id, e.value->>7 as reason,
             e.value->>8 as audit_id, e.value->>9 as request_id, e.value->>10 as source,
             (select s.id from declared_client(e.value->>0) a join sessions s on s.agent_id = a.id
               where a.name = e.value->>0 and s.jkt = e.value->>1) as session
        from jsonb_array_elements(ends) with ordinality as e
    ), spent as (
      insert into spent_jti (hour, key, token_id)
      select o.hour, o.key, o.audit_id
        from (select a.proof_hour as hour, a.proof_key as key, a.audit_id from asked a where a.session is not null
              union all
              select a.assertion_hour, a.assertion_key, a.audit_id from asked a where a.session is not null) as o
       order by o.hour, o.key, o.audit_id
          on conflict do nothing
      returning key, token_id
    )
    select a.place, a.client, a.session, a.entry_id, a.reason, a.audit_id, a.request_id, a.source,
           case when a.session is null then 'not_found'
                when not exists (select from spent s where s.key = a.assertion_key and s.token_id = a.audit_id)
                  then 'assertion_replayed'
                when not exists (select from spent s where s.key = a.proof_key and s.token_id = a.audit_id)
                  then 'proof_replayed'
                else 'done' end as became
      from asked a order by a.place
  loop
    n := each.place;
    outcome := each.became;
    answer := null;
    if outcome = 'done' then
      perform set_config('mayfly.source', coalesce(each.source, ''), true);
      perform from revocation_head h for update;
      select min(r.epoch) into found_epoch
        from revocations r where r.key = 'session:' || each.session and r.releases is null;
      if found_epoch is not null then
        answer := told_entry(found_epoch, 'none');
        insert into audit_entries (id, action, outcome, request_id, actor, session_id, details)
          values (each.audit_id, 'session.revoked', 'allowed', each.request_id, each.client,
                  each.session,
                  jsonb_build_object('effect', 'none') || jsonb_strip_nulls(jsonb_build_object(
                    'source', asked_from(),
                    'agent', (select s.agent_id from sessions s where s.id = each.session))));
      else
        select told_entry(a.epoch, 'revoked') into answer
          from append_revocation(each.entry_id, 'session', each.session, false, null, each.reason,
                                 each.client, each.audit_id, each.request_id) a;
      end if;
    end if;
    return next;
  end loop;
end $function$;
grant execute on function end_own_sessions(jsonb) to mayfly_app;

CREATE OR REPLACE FUNCTION public.end_owners_waits(before integer)
 RETURNS SETOF integer
 LANGUAGE sql
 SECURITY DEFINER
 SET search_path TO 'pg_catalog', 'pg_temp'
AS $function$
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
$function$;
grant execute on function end_owners_waits(integer) to mayfly_app;

CREATE OR REPLACE FUNCTION public.engage_kill_switch(entry_id text, entry_kind text, entry_target text, entry_reason text, entry_actor text, audit_id text, audit_request_id text, request_client text, request_key text, request_digest text)
 RETURNS TABLE(outcome text, id text, epoch bigint)
 LANGUAGE plpgsql
 SECURITY DEFINER
 SET search_path TO 'public', 'pg_temp'
AS $function$
declare
  is_known constant boolean := is_kill_target(entry_kind, entry_target); -- before the lock: others wait for that
  entry_key text := case when entry_kind = 'all' then 'all' else entry_kind || ':' || entry_target end;
  earlier record;
  found_id text;
  found_epoch bigint;
  result text;
begin
  perform from revocation_head h for update;
  if request_key is not null then
    select k.request_digest as digest, k.answer->>'id' as id, k.answer->>'effect' as effect into earlier
      from idempotency_keys k where k.client_id = request_client and k.key = request_key;
    if found then
      if earlier.digest <> request_digest then
        return query select 'other_request', null::text, null::bigint;
      else
        return query select case when earlier.effect = 'engaged' then 'engaged_before' else 'repeated' end, r.id, r.epoch
                       from revocations r where r.id = earlier.id;
      end if;
      return;
    end if;
  end if;
  select r.id, r.epoch into found_id, found_epoch
    from revocations r
   where r.key = entry_key and r.standing and r.released_epoch is null
     and not exists (select from quarantines q where q.epoch = r.epoch)
   order by r.epoch limit 1;
  if found then
    result := 'standing';
  elsif not is_known then
    return query select 'unknown_target', null::text, null::bigint;
    return;
  else
    result := 'engaged';
    select entry_id, e.epoch into found_id, found_epoch
      from append_entry(entry_id, entry_kind, entry_target, true, null, entry_reason, entry_actor) e;
  end if;
  begin
    perform set_config('lock_timeout', '200ms', true);
    if result = 'engaged' then
      perform record_entry(found_epoch, audit_id, audit_request_id, '{}');
    else
      insert into audit_entries (id, action, outcome, request_id, actor, details)
        values (audit_id, 'kill_switch.found_engaged', 'allowed', audit_request_id, entry_actor,
                jsonb_build_object('epoch', found_epoch, 'kind', entry_kind, 'target', entry_target,
                                   'reason', entry_reason)
                  || jsonb_strip_nulls(jsonb_build_object('source', asked_from())));
    end if;
  exception when others or query_canceled then
    if result = 'engaged' then
      update revocations r
         set unrecorded = jsonb_build_object('audit_id', audit_id, 'request_id', audit_request_id,
                                             'because', sqlstate, 'source', asked_from())
       where r.epoch = found_epoch;
    end if;
  end;
  if request_key is not null then
    begin
      perform set_config('lock_timeout', '200ms', true);
      insert into idempotency_keys (client_id, key, request_digest, answer)
        values (request_client, request_key, request_digest, jsonb_build_object('id', found_id, 'effect', result));
    exception when others or query_canceled then
      null;                                               -- sent again, it finds what stands
    end;
  end if;
  return query select result, found_id, found_epoch;
end $function$;
grant execute on function engage_kill_switch(text,text,text,text,text,text,text,text,text,text) to mayfly_app;

CREATE OR REPLACE FUNCTION public.erase_signing_key(key_kid text, key_tail_seconds integer, audit_id text, audit_actor text)
 RETURNS boolean
 LANGUAGE sql
 SECURITY DEFINER
 SET search_path TO 'public', 'pg_temp'
AS $function$
  with erased as (
    update signing_keys k set sealed_secret = null
      from signing_key_times t
     where k.kid = key_kid and t.kid = k.kid and k.sealed_secret is not null
       and t.retire_at + make_interval(secs => greatest(key_tail_seconds, 0)) <= now()
       and (k.purpose <> 'log' or k.kid is distinct from log_speaker())
    returning k.kid, k.purpose
  ), recorded as (
    insert into audit_entries (id, action, outcome, actor, details)
    select audit_id, 'signing_key.erased', 'allowed', audit_actor,
           jsonb_build_object('kid', kid, 'purpose', purpose)
      from erased
  )
  select count(*) = 1 from erased
$function$;
grant execute on function erase_signing_key(text,integer,text,text) to mayfly_app;

CREATE OR REPLACE FUNCTION public.fail_aws_denies(failed_role text, by_lease text, error text, pause_milliseconds integer, unknown boolean, failed_epochs bigint[])
 RETURNS void
 LANGUAGE plpgsql
 SECURITY DEFINER
 SET search_path TO 'public', 'pg_temp'
AS $function$
begin
  update aws_role_denies d
     set failures = least(d.failures + 1, 1000), last_error = left(error, 100), leased_until = '-infinity',
         next_at = clock_timestamp() + make_interval(secs => pause_milliseconds / 1000.0),
         policy_sha256 = case when unknown then null else d.policy_sha256 end
   where d.role_arn = failed_role and d.lease = by_lease;
  update receipt_aws_roles r set failed_at = clock_timestamp()
   where r.role_arn = failed_role and r.epoch = any (failed_epochs) and r.deny and r.put_at is null;
end $function$;
grant execute on function fail_aws_denies(text,text,text,integer,boolean,bigint[]) to mayfly_app;

CREATE OR REPLACE FUNCTION public.finish_drill(drill text, outcome text, why text)
 RETURNS void
 LANGUAGE sql
 SECURITY DEFINER
 SET search_path TO 'public', 'pg_temp'
AS $function$
  update drills d set finished_at = clock_timestamp(), result = outcome, because = why
   where d.id = drill and d.finished_at is null
$function$;
grant execute on function finish_drill(text,text,text) to mayfly_app;

CREATE OR REPLACE FUNCTION public.finish_drill(drill text, outcome text, why text, missed_resources text[])
 RETURNS void
 LANGUAGE sql
 SECURITY DEFINER
 SET search_path TO 'public', 'pg_temp'
AS $function$
  update drills d set finished_at = clock_timestamp(), result = outcome, because = why, missed = missed_resources
   where d.id = drill and d.finished_at is null
$function$;
grant execute on function finish_drill(text,text,text,text[]) to mayfly_app;

CREATE OR REPLACE FUNCTION public.hasten_signing_key(key_kid text, audit_id text, audit_actor text)
 RETURNS boolean
 LANGUAGE sql
 SECURITY DEFINER
 SET search_path TO 'public', 'pg_temp'
AS $function$
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
$function$;
grant execute on function hasten_signing_key(text,text,text) to mayfly_app;

CREATE OR REPLACE FUNCTION public.hour_of_name(name text)
 RETURNS integer
 LANGUAGE sql
 IMMUTABLE
 SET search_path TO 'public', 'pg_temp'
AS $function$
  select case when name ~ '^[a-z]{2,8}_[0-7][0-9a-hjkmnp-tv-z]{25}$' then (
    select floor(sum((strpos('0123456789abcdefghjkmnpqrstvwxyz', substr(right(name, 26), n, 1)) - 1)::bigint
                     << (50 - 5 * n)) / 3600000)::integer
      from generate_series(1, 10) as n) end
$function$;

CREATE OR REPLACE FUNCTION public.is_kill_target(target_kind text, target text)
 RETURNS boolean
 LANGUAGE sql
 STABLE
 SET search_path TO 'public', 'pg_temp'
AS $function$
  select case target_kind
    when 'all' then target = ''
    when 'agent' then exists (
      select from agents a where a.name = target and a.removed_at is null and a.kind <> 'canary')
    when 'subject' then exists (select from agents a where a.id = target and a.kind <> 'canary')
    when 'zone' then exists (
      select from catalogue_versions c, jsonb_array_elements(c.document->'zones') as z
       where c.active and z->>'name' = target)
    when 'resource' then exists (
      select from catalogue_versions c, jsonb_array_elements(c.document->'resources') as r
       where c.active and r->>'audience' = target)
    when 'action' then exists (
      select from catalogue_versions c, jsonb_array_elements(c.document->'resources') as r,
                  jsonb_array_elements(r->'actions') as a
       where c.active and a->>'name' = target)
    else false
  end
$function$;
grant execute on function is_kill_target(text,text) to mayfly_app;

CREATE OR REPLACE FUNCTION public.is_recovered(lost_key text, stood boolean, moved_to integer)
 RETURNS boolean
 LANGUAGE sql
 STABLE
 SET search_path TO 'public', 'pg_temp'
AS $function$
  select exists (
    select from revocations r
     where r.key = lost_key and r.releases is null
       and ((r.standing and r.released_epoch is null) or r.kind = 'signing-key'
            or (r.generation = moved_to and (r.standing or not stood))))
$function$;

CREATE OR REPLACE FUNCTION public.keep_answer(asked_client text, asked_key text, asked_digest text, given jsonb)
 RETURNS void
 LANGUAGE sql
 SET search_path TO 'public', 'pg_temp'
AS $function$
  insert into idempotency_keys (client_id, key, request_digest, answer)
  select asked_client, asked_key, asked_digest, given where asked_key is not null on conflict do nothing
$function$;

CREATE OR REPLACE FUNCTION public.keep_audit_days(wanted integer)
 RETURNS integer
 LANGUAGE plpgsql
 SECURITY DEFINER
 SET search_path TO 'public', 'pg_temp'
AS $function$
begin
  update audit_retention r set days = wanted where r.days < wanted;
  return (select r.days from audit_retention r);
end $function$;
grant execute on function keep_audit_days(integer) to mayfly_app;

CREATE OR REPLACE FUNCTION public.keep_checkpoint(checkpoint_size bigint, checkpoint_root bytea, checkpoint_note text, key_kid text)
 RETURNS boolean
 LANGUAGE plpgsql
 SECURITY DEFINER
 SET search_path TO 'public', 'pg_temp'
AS $function$
declare
  log_size bigint;
  speaker text;
begin
  select h.size into log_size from audit_log_head h for update;
  if checkpoint_size > log_size then raise exception 'the log has % leaves only', log_size; end if;
  if checkpoint_size <= coalesce((select max(c.size) from audit_checkpoints c), 0) then return false; end if;
  if exists (select from audit_doubts_standing) then raise exception 'a witness saw another audit log'; end if;
  if exists (select from audit_hand_overs h where h.from_kid = key_kid) then
    raise exception 'the key % of the log has handed over', key_kid;
  end if;
  speaker := log_speaker();
  if speaker <> key_kid
     and exists (select from signing_keys k where k.kid = speaker and k.sealed_secret is not null) then
    raise exception 'the key % of the log has not handed over to %', speaker, key_kid;
  end if;
  insert into audit_checkpoints (size, root, note, kid)
    values (checkpoint_size, checkpoint_root, checkpoint_note, key_kid);
  return true;
end $function$;
grant execute on function keep_checkpoint(bigint,bytea,text,text) to mayfly_app;

CREATE OR REPLACE FUNCTION public.keep_cosignature(checkpoint_size bigint, witness_name text, signature_line text)
 RETURNS boolean
 LANGUAGE sql
 SECURITY DEFINER
 SET search_path TO 'public', 'pg_temp'
AS $function$
  with kept as (
    insert into audit_cosignatures (size, witness, line) values (checkpoint_size, witness_name, signature_line)
        on conflict do nothing returning 1)
  select exists (select from kept)
$function$;
grant execute on function keep_cosignature(bigint,text,text) to mayfly_app;

CREATE OR REPLACE FUNCTION public.keep_examination(expected_turn bigint, new_index bigint, new_frontier bytea[], new_after_day integer, new_after_id text)
 RETURNS boolean
 LANGUAGE plpgsql
 SECURITY DEFINER
 SET search_path TO 'public', 'pg_temp'
AS $function$
begin
  update audit_examination x
     set turn = x.turn + 1, next_index = new_index, frontier = new_frontier, after_day = new_after_day,
         after_id = new_after_id
   where x.turn = expected_turn;
  return found;
end $function$;
grant execute on function keep_examination(bigint,bigint,bytea[],integer,text) to mayfly_app;

CREATE OR REPLACE FUNCTION public.keep_hand_over(new_kid text, old_kid text, at_size bigint, hand_over_note text)
 RETURNS boolean
 LANGUAGE plpgsql
 SECURITY DEFINER
 SET search_path TO 'public', 'pg_temp'
AS $function$
begin
  perform from audit_log_head h for update;
  if old_kid is distinct from log_speaker() or new_kid = old_kid
     or at_size <> (select coalesce(max(c.size), 0) from audit_checkpoints c)
     or exists (select from audit_hand_overs h where new_kid in (h.from_kid, h.to_kid))
     or exists (select from audit_doubts_standing) then
    return false;
  end if;
  insert into audit_hand_overs (to_kid, from_kid, size, note) values (new_kid, old_kid, at_size, hand_over_note);
  return true;
end $function$;
grant execute on function keep_hand_over(text,text,bigint,text) to mayfly_app;

CREATE OR REPLACE FUNCTION public.lease_aws_role(wanted_role text, new_lease text, lease_seconds integer)
 RETURNS boolean
 LANGUAGE plpgsql
 SECURITY DEFINER
 SET search_path TO 'public', 'pg_temp'
AS $function$
begin
  if lease_seconds not between 1 and 300 then raise exception 'a lease lasts for 1 to 300 seconds'; end if;
  insert into aws_role_denies as d (role_arn, checked_at, lease, leased_until, next_at)
    values (wanted_role, clock_timestamp(), new_lease, clock_timestamp() + make_interval(secs => lease_seconds), '-infinity')
  on conflict (role_arn) do update
    set lease = new_lease, leased_until = clock_timestamp() + make_interval(secs => lease_seconds)
    where d.leased_until < clock_timestamp() and d.next_at <= clock_timestamp();
  return found;
end $function$;
grant execute on function lease_aws_role(text,text,integer) to mayfly_app;

CREATE OR REPLACE FUNCTION public.log_speaker()
 RETURNS text
 LANGUAGE sql
 STABLE SECURITY DEFINER
 SET search_path TO 'public', 'pg_temp'
AS $function$
  select coalesce(
    (select h.to_kid from audit_hand_overs h
      where h.size >= (select coalesce(max(c.size), 0) from audit_checkpoints c) order by h.number desc limit 1),
    (select c.kid from audit_checkpoints c order by c.size desc limit 1))
$function$;
grant execute on function log_speaker() to mayfly_app;

CREATE OR REPLACE FUNCTION public.make_audit_partitions(ahead integer)
 RETURNS integer
 LANGUAGE plpgsql
 SECURITY DEFINER
 SET search_path TO 'public', 'pg_temp'
 SET lock_timeout TO '2s'
AS $function$
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
end $function$;
grant execute on function make_audit_partitions(integer) to mayfly_app;

CREATE OR REPLACE FUNCTION public.make_partitions(ahead integer)
 RETURNS integer
 LANGUAGE plpgsql
 SECURITY DEFINER
 SET search_path TO 'public', 'pg_temp'
 SET lock_timeout TO '2s'
AS $function$
declare
  parent text;
  this_hour integer := floor(extract(epoch from now()) / 3600);
  made integer := 0;
  name text;
begin
  if ahead not between 1 and 168 then raise exception 'ahead has to be 1 to 168 hours'; end if;
  if not pg_try_advisory_xact_lock(hashtext('mayfly partitions')) then return 0; end if;
  foreach parent in array array['tokens', 'spent_jti'] loop
    for hour in this_hour - 2 .. this_hour + ahead loop
      name := parent || '_' || hour;
      continue when to_regclass(name) is not null;
      execute format('create table %I (like %I including defaults including constraints)', name, parent);
      execute format('alter table %I add constraint %I check (hour = %s)', name, name || '_hour', hour);
      execute format('alter table %I attach partition %I for values from (%s) to (%s)',
                     parent, name, hour, hour + 1);
      execute format('alter table %I drop constraint %I', name, name || '_hour');
      made := made + 1;
    end loop;
  end loop;
  return made;
end $function$;
grant execute on function make_partitions(integer) to mayfly_app;

CREATE OR REPLACE FUNCTION public.move_revocation_head(above bigint, entry_id text, entry_reason text, entry_actor text, audit_id text)
 RETURNS TABLE(epoch bigint, generation integer)
 LANGUAGE plpgsql
 SET search_path TO 'public', 'pg_temp'
AS $function$
declare
  margin constant bigint := 1000000;
  credible constant bigint := 1000000000000;              -- nobody lost more than that; larger claims are lies
  credible_moves constant integer := 1000;
  seconds constant bigint := floor(extract(epoch from clock_timestamp() - timestamptz '2026-01-01T00:00:00Z'));
  highest bigint;
  newest integer;                                         -- a backup from before a move has forgotten that one, too
begin
  perform from revocation_head h for update;
  select greatest(h.epoch, seconds * 10000) into highest from revocation_head h;
  select greatest(highest, above, (select max(v.applied_epoch) from verifiers v),
                  (select max(c.epoch) from ledger_claims c where c.epoch < highest + credible))
    into highest;
  select greatest(h.generation, seconds - 1) into newest from revocation_head h;
  select greatest(newest, (select max(c.generation) from ledger_claims c where c.generation < newest + credible_moves))
    into newest;
  if highest + margin > 4503599627370496 then raise exception 'epochs would get too large to be told apart'; end if;
  update revocation_head h
     set epoch = highest + margin - 1, generation = newest + 1, moved_at = clock_timestamp(),
         system_identifier = i.system_identifier, timeline = i.timeline
    from database_identity() i;
  delete from ledger_claims;
  return query
    select a.epoch, a.generation
      from append_revocation(entry_id, 'all', '', false, null, entry_reason, entry_actor, audit_id, null) a;
end $function$;

CREATE OR REPLACE FUNCTION public.note_audit_sink_failure(sink text, by_whom text, why text)
 RETURNS void
 LANGUAGE sql
 SECURITY DEFINER
 SET search_path TO 'public', 'pg_temp'
AS $function$
  update audit_sinks s
     set failing_since = coalesce(s.failing_since, clock_timestamp()), failure = left(why, 1000)
   where s.name = sink and s.holder = by_whom
$function$;
grant execute on function note_audit_sink_failure(text,text,text) to mayfly_app;

CREATE OR REPLACE FUNCTION public.note_aws_denies(at_most integer, longest_lease integer, margin integer)
 RETURNS integer
 LANGUAGE plpgsql
 SECURITY DEFINER
 SET search_path TO 'public', 'pg_temp'
AS $function$
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
end $function$;
grant execute on function note_aws_denies(integer,integer,integer) to mayfly_app;

CREATE OR REPLACE FUNCTION public.note_outcomes(heard jsonb)
 RETURNS void
 LANGUAGE sql
 SECURITY DEFINER
 SET search_path TO 'public', 'pg_temp'
AS $function$
  update drill_verifiers v
     set accepted_at = coalesce(v.accepted_at, case when h.accepted then clock_timestamp() end),
         refused_at = coalesce(v.refused_at, case when h.refused and d.epoch is not null then clock_timestamp() end)
    from (select c.drill_id, c.resource, e.value->>1 as instance, bool_or(e.value->>2 = 'accepted') as accepted,
                 bool_or(e.value->>2 = 'refused') as refused
            from jsonb_array_elements(heard) as e join canaries c on c.id = e.value->>0
           group by 1, 2, 3) as h
    join drills d on d.id = h.drill_id and d.finished_at is null
   where v.drill_id = h.drill_id and v.instance = h.instance and v.resource = h.resource
$function$;
grant execute on function note_outcomes(jsonb) to mayfly_app;

CREATE OR REPLACE FUNCTION public.note_stopped(drill text, margin integer)
 RETURNS void
 LANGUAGE sql
 SECURITY DEFINER
 SET search_path TO 'public', 'pg_temp'
AS $function$
  update drill_verifiers v
     set stopped_at = least(n.closed_at, n.lease_ends_at + make_interval(secs => margin))
    from verifiers n
   where v.drill_id = drill and n.instance = v.instance and (v.accepted_at is null or v.refused_at is null)
     and least(n.closed_at, n.lease_ends_at + make_interval(secs => margin)) <= clock_timestamp()
$function$;
grant execute on function note_stopped(text,integer) to mayfly_app;

CREATE OR REPLACE FUNCTION public.note_stopped(drill text, margin integer, present integer)
 RETURNS void
 LANGUAGE sql
 SECURITY DEFINER
 SET search_path TO 'public', 'pg_temp'
AS $function$
  update drill_verifiers v
     set stopped_at = case when s.ends_at <= clock_timestamp() then s.ends_at end,
         stops_at = case when n.closed_at is null and s.silent then s.ends_at end
    from verifiers n cross join lateral (
           select n.renewed_at < clock_timestamp() - make_interval(secs => present) as silent,
                  least(n.closed_at, n.lease_ends_at + make_interval(secs => margin)) as ends_at) as s
   where v.drill_id = drill and n.instance = v.instance and (v.accepted_at is null or v.refused_at is null)
$function$;
grant execute on function note_stopped(text,integer,integer) to mayfly_app;

CREATE OR REPLACE FUNCTION public.park_audit_entries(sink text, by_whom text, expected_index bigint, first_parked bigint, last_parked bigint, how_many integer, why text)
 RETURNS boolean
 LANGUAGE plpgsql
 SECURITY DEFINER
 SET search_path TO 'public', 'pg_temp'
AS $function$
begin
  if first_parked < expected_index then raise exception 'what is parked is not behind the cursor'; end if;
  if not advance_audit_sink(sink, by_whom, expected_index, last_parked + 1) then return false; end if;
  insert into audit_dead_letters (sink, first_index, last_index, refused, because)
    values (sink, first_parked, last_parked, how_many, left(why, 1000));
  return true;
end $function$;
grant execute on function park_audit_entries(text,text,bigint,bigint,bigint,integer,text) to mayfly_app;

CREATE OR REPLACE FUNCTION public.partitions_ahead()
 RETURNS integer
 LANGUAGE sql
 STABLE
 SET search_path TO 'public', 'pg_temp'
AS $function$
  select least(
    (select coalesce(min(newest), -1) - floor(extract(epoch from now()) / 3600)::integer
       from (select max(substring(c.relname from '[0-9]+$')::integer) as newest
               from pg_class p left join pg_inherits i on i.inhparent = p.oid left join pg_class c on c.oid = i.inhrelid
              where p.relname in ('tokens', 'spent_jti') and p.relnamespace = 'public'::regnamespace
              group by p.relname) as each_parent),
    (select (coalesce(max(substring(c.relname from '[0-9]+$')::integer), -1) + 1) * 24
            - floor(extract(epoch from now()) / 3600)::integer - 1
       from pg_inherits i join pg_class c on c.oid = i.inhrelid where i.inhparent = 'audit_entries'::regclass))
$function$;
grant execute on function partitions_ahead() to mayfly_app;

CREATE OR REPLACE FUNCTION public.person_of(actor text)
 RETURNS text
 LANGUAGE sql
 IMMUTABLE
RETURN regexp_replace(actor, '^break-glass:'::text, ''::text);

CREATE OR REPLACE FUNCTION public.prune_aws_credentials(kept integer, at_most integer)
 RETURNS integer
 LANGUAGE plpgsql
 SECURITY DEFINER
 SET search_path TO 'public', 'pg_temp'
AS $function$
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
end $function$;
grant execute on function prune_aws_credentials(integer,integer) to mayfly_app;

CREATE OR REPLACE FUNCTION public.prune_drills(kept integer, at_most integer)
 RETURNS integer
 LANGUAGE plpgsql
 SECURITY DEFINER
 SET search_path TO 'public', 'pg_temp'
AS $function$
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
end $function$;
grant execute on function prune_drills(integer,integer) to mayfly_app;

CREATE OR REPLACE FUNCTION public.prune_idempotency_keys(kept integer, at_most integer)
 RETURNS integer
 LANGUAGE plpgsql
 SECURITY DEFINER
 SET search_path TO 'public', 'pg_temp'
AS $function$
declare
  pruned integer;
begin
  if kept < 1 or at_most not between 1 and 10000 then
    raise exception 'at least one hour is kept, and at most 10000 keys go at once';
  end if;
  delete from idempotency_keys where (client_id, key) in (
    select k.client_id, k.key from idempotency_keys k where k.created_at < now() - make_interval(hours => kept)
     order by k.created_at limit at_most for update skip locked);
  get diagnostics pruned = row_count;
  return pruned;
end $function$;
grant execute on function prune_idempotency_keys(integer,integer) to mayfly_app;

CREATE OR REPLACE FUNCTION public.prune_revocations(kept integer, at_most integer)
 RETURNS integer
 LANGUAGE plpgsql
 SECURITY DEFINER
 SET search_path TO 'public', 'pg_temp'
AS $function$
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
end $function$;
grant execute on function prune_revocations(integer,integer) to mayfly_app;

CREATE OR REPLACE FUNCTION public.prune_sessions(kept integer, at_most integer)
 RETURNS integer
 LANGUAGE plpgsql
 SECURITY DEFINER
 SET search_path TO 'public', 'pg_temp'
AS $function$
declare
  pruned integer;
begin
  if kept < 30 or at_most not between 1 and 10000 then
    raise exception 'at least 30 days are kept, and at most 10000 sessions go at once';
  end if;
  delete from sessions where id in (
    select s.id from sessions s where s.expires_at < now() - make_interval(days => kept)
     order by s.expires_at limit at_most for update skip locked);
  get diagnostics pruned = row_count;
  return pruned;
end $function$;
grant execute on function prune_sessions(integer,integer) to mayfly_app;

CREATE OR REPLACE FUNCTION public.prune_verifiers(kept integer, at_most integer)
 RETURNS integer
 LANGUAGE plpgsql
 SECURITY DEFINER
 SET search_path TO 'public', 'pg_temp'
AS $function$
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
end $function$;
grant execute on function prune_verifiers(integer,integer) to mayfly_app;

CREATE OR REPLACE FUNCTION public.publish_drill(drill text, session text)
 RETURNS void
 LANGUAGE sql
 SECURITY DEFINER
 SET search_path TO 'public', 'pg_temp'
AS $function$
  update drills d set session_id = session, minted_at = clock_timestamp() where d.id = drill and d.finished_at is null;
  insert into drill_verifiers (drill_id, instance, resource)
    select drill, v.instance, v.resource
      from verifiers v
     where v.closed_at is null and v.lease_ends_at > clock_timestamp()
       and v.resource in (select c.resource from canaries c where c.drill_id = drill)
$function$;
grant execute on function publish_drill(text,text) to mayfly_app;

CREATE OR REPLACE FUNCTION public.publish_drill(drill text, session text, present integer, margin integer)
 RETURNS void
 LANGUAGE sql
 SECURITY DEFINER
 SET search_path TO 'public', 'pg_temp'
AS $function$
  update drills d set session_id = session, minted_at = clock_timestamp() where d.id = drill and d.finished_at is null;
  insert into drill_verifiers (drill_id, instance, resource, absent, stops_at)
    select drill, v.instance, v.resource, s.silent, case when s.silent then s.ends_at end
      from verifiers v cross join lateral (
             select v.renewed_at < clock_timestamp() - make_interval(secs => present) as silent,
                    v.lease_ends_at + make_interval(secs => margin) as ends_at) as s
     where v.closed_at is null and s.ends_at > clock_timestamp()
       and v.resource in (select c.resource from canaries c where c.drill_id = drill)
$function$;
grant execute on function publish_drill(text,text,integer,integer) to mayfly_app;

CREATE OR REPLACE FUNCTION public.put_aws_denies(put_role text, by_lease text, put_sha256 text, put_epochs bigint[])
 RETURNS boolean
 LANGUAGE plpgsql
 SECURITY DEFINER
 SET search_path TO 'public', 'pg_temp'
AS $function$
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
end $function$;
grant execute on function put_aws_denies(text,text,text,bigint[]) to mayfly_app;

CREATE OR REPLACE FUNCTION public.put_aws_denies(put_role text, by_lease text, put_sha256 text, put_epochs bigint[], audit_id text, entries integer)
 RETURNS boolean
 LANGUAGE plpgsql
 SECURITY DEFINER
 SET search_path TO 'public', 'pg_temp'
AS $function$
declare
  stood text;
begin
  select d.policy_sha256 into stood from aws_role_denies d where d.role_arn = put_role for update;
  if not put_aws_denies(put_role, by_lease, put_sha256, put_epochs) then return false; end if;
  if stood is distinct from put_sha256 then
    insert into audit_entries (id, action, outcome, actor, details)
    values (audit_id, case when put_sha256 = '' then 'aws.deny_removed' else 'aws.deny_put' end, 'allowed', 'mayfly:aws',
            case when put_sha256 = '' then jsonb_build_object('role_arn', put_role)
                 else jsonb_build_object('role_arn', put_role, 'policy_sha256', put_sha256, 'entries', entries,
                                         'epoch', (select max(e.epoch) from unnest(put_epochs) as e (epoch))) end);
  end if;
  return true;
end $function$;
grant execute on function put_aws_denies(text,text,text,bigint[],text,integer) to mayfly_app;

CREATE OR REPLACE FUNCTION public.quarantine_agent(named text, entry_id text, entry_reason text, entry_actor text, audit_id text, audit_request_id text, asked_key text, asked_digest text, OUT outcome text, OUT answer jsonb)
 RETURNS record
 LANGUAGE plpgsql
 SECURITY DEFINER
 SET search_path TO 'public', 'pg_temp'
AS $function$
declare
  stopped agents := declared_client(named);
  found_epoch bigint;
begin
  select e.outcome, e.answer into outcome, answer from earlier_answer(entry_actor, asked_key, asked_digest) e;
  if outcome is not null then return; end if;
  if stopped.id is null then
    outcome := 'not_found';
    return;
  end if;
  select q.epoch into found_epoch
    from quarantines q join revocations r on r.epoch = q.epoch
   where r.key = 'agent:' || stopped.name and r.released_epoch is null;
  outcome := 'done';
  if found_epoch is not null then
    answer := told_entry(found_epoch, 'none');
  else
    select a.epoch into found_epoch
      from append_entry(entry_id, 'agent', stopped.name, true, null, entry_reason, entry_actor) a;
    insert into quarantines (epoch, agent_id) values (found_epoch, stopped.id);
    perform record_entry(found_epoch, audit_id, audit_request_id, '{}');
    answer := told_entry(found_epoch, 'revoked');
  end if;
  perform keep_answer(entry_actor, asked_key, asked_digest, answer);
end $function$;
grant execute on function quarantine_agent(text,text,text,text,text,text,text,text) to mayfly_app;

CREATE OR REPLACE FUNCTION public.raise_revocation_floor(youngest integer)
 RETURNS bigint
 LANGUAGE plpgsql
 SECURITY DEFINER
 SET search_path TO 'public', 'pg_temp'
AS $function$
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
end $function$;
grant execute on function raise_revocation_floor(integer) to mayfly_app;

CREATE OR REPLACE FUNCTION public.record_entry(entry_epoch bigint, audit_id text, audit_request_id text, more jsonb)
 RETURNS void
 LANGUAGE plpgsql
 SET search_path TO 'public', 'pg_temp'
AS $function$
declare
  entry record;
  line_action text;
  session text;
  token text;
  agent text;
begin
  select r.kind, r.target, r.standing, r.releases, r.reason, r.actor,
         exists (select from quarantines q where q.epoch in (r.epoch, r.releases)) as is_quarantine
    into strict entry from revocations r where r.epoch = entry_epoch;
  line_action := case
    when entry.releases is not null and entry.is_quarantine then 'agent.released'
    when entry.releases is not null then 'kill_switch.released'
    when entry.standing and entry.is_quarantine then 'agent.quarantined'
    when entry.standing then 'kill_switch.engaged'
    when entry.kind in ('session', 'token') then entry.kind || '.revoked'
    when entry.kind in ('agent', 'subject') then 'agent.revoked'
    else 'revocation.appended' end;
  if entry.kind = 'session' then
    session := entry.target;
    select s.agent_id into agent from sessions s where s.id = session;
  elsif entry.kind = 'token' then
    token := entry.target;
    select t.session_id, s.agent_id into session, agent
      from tokens t join sessions s on s.id = t.session_id where t.hour = hour_of_name(token) and t.jti = token;
  elsif entry.kind = 'agent' then
    select a.id into agent from agents a where a.name = entry.target order by a.removed_at desc nulls first limit 1;
  elsif entry.kind = 'subject' then
    agent := entry.target;
  end if;
  insert into audit_entries (id, action, outcome, request_id, actor, session_id, token_id, details)
    values (audit_id, line_action, 'allowed', audit_request_id, entry.actor, session, token,
            jsonb_build_object('epoch', entry_epoch, 'kind', entry.kind, 'target', entry.target,
                               'standing', entry.standing, 'reason', entry.reason)
              || jsonb_strip_nulls(jsonb_build_object('source', asked_from(), 'agent', agent)) || more);
end $function$;

CREATE OR REPLACE FUNCTION public.record_late(at_most integer)
 RETURNS integer
 LANGUAGE plpgsql
 SECURITY DEFINER
 SET search_path TO 'public', 'pg_temp'
AS $function$
declare
  late record;
  made integer := 0;
begin
  for late in select r.epoch, r.created_at, r.unrecorded from revocations r
               where r.unrecorded is not null order by r.epoch limit at_most for update skip locked loop
    perform set_config('mayfly.source', coalesce(late.unrecorded->>'source', ''), true);
    perform record_entry(late.epoch, late.unrecorded->>'audit_id', late.unrecorded->>'request_id',
                         jsonb_build_object('at', late.created_at, 'late_because', late.unrecorded->'because'));
    update revocations r set unrecorded = null where r.epoch = late.epoch;
    made := made + 1;
  end loop;
  return made;
end $function$;
grant execute on function record_late(integer) to mayfly_app;

CREATE OR REPLACE FUNCTION public.recover_revocations(lost jsonb, moved_to integer, entry_reason text, entry_actor text)
 RETURNS TABLE(n integer, epoch bigint)
 LANGUAGE plpgsql
 SET search_path TO 'public', 'pg_temp'
AS $function$
declare
  at_most constant integer := 200;
  each record;
begin
  if jsonb_array_length(lost) > at_most then raise exception 'at most % entries are recovered at once', at_most; end if;
  perform from revocation_head h cross join database_identity() i
    where h.generation = moved_to and h.system_identifier = i.system_identifier and h.timeline = i.timeline
      for update of h;
  if not found then
    raise exception 'the head of the ledger was moved meanwhile' using errcode = 'serialization_failure';
  end if;
  for each in
    select (l.value->>0)::integer as place, l.value->>1 as kind, l.value->>2 as target, (l.value->>3)::boolean as stood,
           l.value->>4 as entry_id, l.value->>5 as audit_id
      from jsonb_array_elements(lost) with ordinality as l order by l.ordinality
  loop
    continue when is_recovered(case when each.kind = 'all' then 'all' else each.kind || ':' || each.target end,
                               each.stood, moved_to);
    return query
      select each.place, a.epoch
        from append_revocation(each.entry_id, each.kind, each.target, each.stood, null, entry_reason, entry_actor,
                               each.audit_id, null) a;
  end loop;
end $function$;

CREATE OR REPLACE FUNCTION public.refuse_forgetting_cosignature()
 RETURNS trigger
 LANGUAGE plpgsql
 SET search_path TO 'public', 'pg_temp'
AS $function$
declare
  head_at timestamptz;
  next_at timestamptz;
begin
  select c.at into head_at from audit_checkpoints c where c.size = old.size;
  select c.at into next_at from audit_cosignatures s join audit_checkpoints c on c.size = s.size
   where s.witness = old.witness and s.size > old.size order by s.size limit 1;
  if head_at < now() - interval '48 hours'
     and date_trunc('hour', next_at, 'UTC') = date_trunc('hour', head_at, 'UTC') then
    return old;
  end if;
  raise exception 'this row of % is never removed', tg_table_name using errcode = 'insufficient_privilege';
end $function$;

CREATE OR REPLACE FUNCTION public.refuse_forgetting_head()
 RETURNS trigger
 LANGUAGE plpgsql
 SET search_path TO 'public', 'pg_temp'
AS $function$
declare
  next_at timestamptz;
begin
  select c.at into next_at from audit_checkpoints c where c.size > old.size order by c.size limit 1;
  if old.at < now() - interval '48 hours' and date_trunc('hour', next_at, 'UTC') = date_trunc('hour', old.at, 'UTC')
     and not exists (select from audit_hand_overs h where h.size = old.size)
     and not exists (select from audit_doubts d where d.size = old.size) then
    return old;
  end if;
  raise exception 'this row of % is never removed', tg_table_name using errcode = 'insufficient_privilege';
end $function$;

CREATE OR REPLACE FUNCTION public.refuse_rewriting()
 RETURNS trigger
 LANGUAGE plpgsql
AS $function$
begin
  raise exception 'rows of % are never changed or removed', tg_table_name using errcode = 'insufficient_privilege';
end $function$;

CREATE OR REPLACE FUNCTION public.release_agent(named text, entry_id text, entry_reason text, entry_actor text, audit_id text, audit_request_id text, asked_key text, asked_digest text, OUT outcome text, OUT answer jsonb)
 RETURNS record
 LANGUAGE plpgsql
 SECURITY DEFINER
 SET search_path TO 'public', 'pg_temp'
AS $function$
declare
  stopped agents := declared_client(named);
  found_epoch bigint;
begin
  select e.outcome, e.answer into outcome, answer from earlier_answer(entry_actor, asked_key, asked_digest) e;
  if outcome is not null then return; end if;
  if stopped.id is null then
    outcome := 'not_found';
    return;
  end if;
  select q.epoch into found_epoch
    from quarantines q join revocations r on r.epoch = q.epoch
   where r.key = 'agent:' || stopped.name and r.released_epoch is null;
  if found_epoch is null then
    outcome := 'nothing_quarantined';
    return;
  end if;
  outcome := 'done';
  select told_entry(a.epoch, 'released') into answer
    from append_revocation(entry_id, 'agent', stopped.name, false, found_epoch, entry_reason, entry_actor, audit_id,
                           audit_request_id) a;
  perform keep_answer(entry_actor, asked_key, asked_digest, answer);
end $function$;
grant execute on function release_agent(text,text,text,text,text,text,text,text) to mayfly_app;

CREATE OR REPLACE FUNCTION public.release_audit_sink(sink text, by_whom text)
 RETURNS void
 LANGUAGE sql
 SECURITY DEFINER
 SET search_path TO 'public', 'pg_temp'
AS $function$
  update audit_sinks s set holder = null, held_until = null where s.name = sink and s.holder = by_whom
$function$;
grant execute on function release_audit_sink(text,text) to mayfly_app;

CREATE OR REPLACE FUNCTION public.release_aws_role(released_role text, by_lease text)
 RETURNS void
 LANGUAGE sql
 SECURITY DEFINER
 SET search_path TO 'public', 'pg_temp'
AS $function$
  update aws_role_denies d set leased_until = '-infinity' where d.role_arn = released_role and d.lease = by_lease;
$function$;
grant execute on function release_aws_role(text,text) to mayfly_app;

CREATE OR REPLACE FUNCTION public.release_kill_switch(switch_id text, entry_id text, entry_reason text, entry_actor text, audit_id text, audit_request_id text, request_client text, request_key text, request_digest text)
 RETURNS TABLE(outcome text, epoch bigint)
 LANGUAGE plpgsql
 SECURITY DEFINER
 SET search_path TO 'public', 'pg_temp'
AS $function$
declare
  engaged record;
  earlier text;
  release_epoch bigint;
begin
  perform from revocation_head h for update;
  if request_key is not null then
    select k.request_digest into earlier
      from idempotency_keys k where k.client_id = request_client and k.key = request_key;
    if found and earlier <> request_digest then
      return query select 'other_request', null::bigint;
      return;
    end if;
  end if;
  select r.epoch, r.kind, r.target, r.actor, r.released_epoch into engaged
    from revocations r where r.id = switch_id and r.standing
     and not exists (select from quarantines q where q.epoch = r.epoch);
  if not found then
    return query select 'unknown', null::bigint;
    return;
  end if;
  if engaged.released_epoch is not null then
    return query select case when earlier is null then 'released_before' else 'repeated' end, engaged.released_epoch;
    return;
  end if;
  if person_of(engaged.actor) = person_of(entry_actor) then
    return query select 'own', null::bigint;
    return;
  end if;
  select e.epoch into release_epoch
    from append_entry(entry_id, engaged.kind, engaged.target, false, engaged.epoch, entry_reason, entry_actor) e;
  perform record_entry(release_epoch, audit_id, audit_request_id, jsonb_build_object('released', switch_id));
  if request_key is not null then
    insert into idempotency_keys (client_id, key, request_digest, answer)
      values (request_client, request_key, request_digest, jsonb_build_object('id', switch_id))
      on conflict do nothing;
  end if;
  return query select 'released', release_epoch;
end $function$;
grant execute on function release_kill_switch(text,text,text,text,text,text,text,text,text) to mayfly_app;

CREATE OR REPLACE FUNCTION public.reseal_signing_key(key_kid text, key_was_sealed bytea, key_sealed_secret bytea, key_sealed_by text, audit_id text, audit_actor text)
 RETURNS boolean
 LANGUAGE sql
 SECURITY DEFINER
 SET search_path TO 'public', 'pg_temp'
AS $function$
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
$function$;
grant execute on function reseal_signing_key(text,bytea,bytea,text,text,text) to mayfly_app;

CREATE OR REPLACE FUNCTION public.revoke_as_operator(entry_kind text, named text, token_hour integer, entry_id text, entry_reason text, entry_actor text, audit_id text, audit_request_id text, asked_key text, asked_digest text, OUT outcome text, OUT answer jsonb)
 RETURNS record
 LANGUAGE plpgsql
 SECURITY DEFINER
 SET search_path TO 'public', 'pg_temp'
AS $function$
declare
  subject text := case entry_kind
    when 'session' then (select s.id from sessions s where s.id = named)
    when 'token' then (select t.jti from tokens t where t.hour = token_hour and t.jti = named)
    when 'agent' then (select a.name from declared_client(named) a)
  end;
  found_epoch bigint;
begin
  select e.outcome, e.answer into outcome, answer from earlier_answer(entry_actor, asked_key, asked_digest) e;
  if outcome is not null then return; end if;
  if subject is null then
    outcome := 'not_found';
    return;
  end if;
  if entry_kind <> 'agent' then
    select min(r.epoch) into found_epoch
      from revocations r where r.key = entry_kind || ':' || subject and r.releases is null;
  end if;
  outcome := 'done';
  if found_epoch is not null then
    answer := told_entry(found_epoch, 'none');
  else
    select told_entry(a.epoch, 'revoked') into answer
      from append_revocation(entry_id, entry_kind, subject, false, null, entry_reason, entry_actor, audit_id,
                             audit_request_id) a;
  end if;
  perform keep_answer(entry_actor, asked_key, asked_digest, answer);
end $function$;
grant execute on function revoke_as_operator(text,text,integer,text,text,text,text,text,text,text) to mayfly_app;

CREATE OR REPLACE FUNCTION public.revoke_canary(drill text, entry_id text, audit_id text)
 RETURNS bigint
 LANGUAGE plpgsql
 SECURITY DEFINER
 SET search_path TO 'public', 'pg_temp'
AS $function$
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
end $function$;
grant execute on function revoke_canary(text,text,text) to mayfly_app;

CREATE OR REPLACE FUNCTION public.revoke_signing_key(key_kid text, audit_id text, audit_actor text, ledger_entry_id text, ledger_audit_id text)
 RETURNS boolean
 LANGUAGE sql
 SECURITY DEFINER
 SET search_path TO 'public', 'pg_temp'
AS $function$
  select r.done from revoke_signing_key(key_kid, audit_id, audit_actor, ledger_entry_id, ledger_audit_id,
                                        'the signing key was revoked', null) r
$function$;
grant execute on function revoke_signing_key(text,text,text,text,text) to mayfly_app;

CREATE OR REPLACE FUNCTION public.revoke_signing_key(key_kid text, audit_id text, audit_actor text, ledger_entry_id text, ledger_audit_id text, revocation_reason text, audit_request_id text)
 RETURNS TABLE(done boolean, epoch bigint)
 LANGUAGE plpgsql
 SECURITY DEFINER
 SET search_path TO 'public', 'pg_temp'
AS $function$
declare
  key_purpose text;
  entry_epoch bigint;
begin
  update signing_keys k set revoked_at = date_trunc('milliseconds', now()), sealed_secret = null
   where k.kid = key_kid and k.revoked_at is null
  returning k.purpose into key_purpose;
  if not found then return query select false, null::bigint; return; end if;
  insert into audit_entries (id, action, outcome, request_id, actor, details)
    values (audit_id, 'signing_key.revoked', 'allowed', audit_request_id, audit_actor,
            jsonb_build_object('kid', key_kid, 'purpose', key_purpose, 'reason', revocation_reason)
              || jsonb_strip_nulls(jsonb_build_object('source', asked_from())));
  if key_purpose in ('token', 'ledger') then
    select a.epoch into entry_epoch
      from append_revocation(ledger_entry_id, 'signing-key', key_kid, false, null, revocation_reason,
                             audit_actor, ledger_audit_id, audit_request_id) a;
  end if;
  return query select true, entry_epoch;
end $function$;
grant execute on function revoke_signing_key(text,text,text,text,text,text,text) to mayfly_app;

CREATE OR REPLACE FUNCTION public.revoke_signing_key_as_operator(key_kid text, entry_id text, entry_reason text, entry_actor text, audit_id text, key_audit_id text, audit_request_id text, asked_key text, asked_digest text, OUT outcome text, OUT answer jsonb)
 RETURNS record
 LANGUAGE plpgsql
 SECURITY DEFINER
 SET search_path TO 'public', 'pg_temp'
AS $function$
declare
  revoked boolean;
begin
  select e.outcome, e.answer into outcome, answer from earlier_answer(entry_actor, asked_key, asked_digest) e;
  if outcome is not null then return; end if;
  if not exists (select from signing_keys k where k.kid = key_kid) then
    outcome := 'not_found';
    return;
  end if;
  outcome := 'done';
  select r.done into revoked
    from revoke_signing_key(key_kid, key_audit_id, entry_actor, entry_id, audit_id, entry_reason, audit_request_id) r;
  select coalesce(told_entry(min(r.epoch), case when revoked then 'revoked' else 'none' end), jsonb_build_object(
           'kind', 'signing-key', 'target', key_kid, 'standing', false, 'reason', entry_reason, 'actor', entry_actor,
           'at', (select k.revoked_at from signing_keys k where k.kid = key_kid),
           'effect', case when revoked then 'revoked' else 'none' end))
    into answer
    from revocations r where r.key = 'signing-key:' || key_kid;
  perform keep_answer(entry_actor, asked_key, asked_digest, answer);
end $function$;
grant execute on function revoke_signing_key_as_operator(text,text,text,text,text,text,text,text,text) to mayfly_app;

CREATE OR REPLACE FUNCTION public.settle_audit_doubts(words text, audit_actor text)
 RETURNS integer
 LANGUAGE plpgsql
 SET search_path TO 'public', 'pg_temp'
AS $function$
declare
  settled integer;
begin
  perform from audit_log_head h for update;
  insert into audit_doubts_settled (number, reason) select d.number, words from audit_doubts_standing d;
  get diagnostics settled = row_count;
  if settled = 0 then return 0; end if;
  insert into audit_entries (id, action, outcome, actor, details)
    values ('aud_' || replace(gen_random_uuid()::text, '-', ''), 'audit_log.trusted', 'allowed', audit_actor,
            jsonb_build_object('reason', words, 'doubts', settled));
  return settled;
end $function$;

CREATE OR REPLACE FUNCTION public.settle_dead_letters(replayed_sink text, first_replayed bigint, last_replayed bigint)
 RETURNS integer
 LANGUAGE plpgsql
 SECURITY DEFINER
 SET search_path TO 'public', 'pg_temp'
AS $function$
declare
  settled integer;
begin
  update audit_dead_letters d set replayed_at = clock_timestamp()
   where d.sink = replayed_sink and d.first_index >= first_replayed and d.last_index <= last_replayed
     and d.replayed_at is null;
  get diagnostics settled = row_count;
  return settled;
end $function$;
grant execute on function settle_dead_letters(text,bigint,bigint) to mayfly_app;

CREATE OR REPLACE FUNCTION public.settle_receipt(entry_epoch bigint, was_replicated boolean, longest_lease integer, margin integer)
 RETURNS void
 LANGUAGE plpgsql
 SECURITY DEFINER
 SET search_path TO 'public', 'pg_temp'
AS $function$
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
end $function$;
grant execute on function settle_receipt(bigint,boolean,integer,integer) to mayfly_app;

CREATE OR REPLACE FUNCTION public.start_drill(drill text, by_whom text, pause integer, longest integer)
 RETURNS text
 LANGUAGE plpgsql
 SECURITY DEFINER
 SET search_path TO 'public', 'pg_temp'
AS $function$
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
end $function$;
grant execute on function start_drill(text,text,integer,integer) to mayfly_app;

CREATE OR REPLACE FUNCTION public.state_aws_credentials(entry_epoch bigint)
 RETURNS void
 LANGUAGE sql
 SECURITY DEFINER
 SET search_path TO 'public', 'pg_temp'
AS $function$
  insert into receipt_aws_roles (epoch, role_arn, credentials, live_until, deny)
  select p.epoch, c.role_arn, count(*), max(c.expires_at),
         bool_or(c.deny and not c.keys @> array['agent:' || v.actor])
    from receipts p
    join revocations v on v.epoch = p.epoch and v.releases is null
    join aws_credentials c on c.keys @> array[v.key] and (c.epoch < v.epoch or v.kind = 'signing-key')
   where p.epoch = entry_epoch and c.withdrawn_at is null and c.expires_at > p.committed_at
   group by p.epoch, c.role_arn;
$function$;

CREATE OR REPLACE FUNCTION public.thin_checkpoints()
 RETURNS integer
 LANGUAGE plpgsql
 SECURITY DEFINER
 SET search_path TO 'public', 'pg_temp'
AS $function$
declare
  thinned bigint;
  this_hour timestamptz;
  removed bigint[];
  last_size bigint;
begin
  select t.size into thinned from audit_thinned t for update skip locked;
  if not found then return null; end if;
  select date_trunc('hour', c.at, 'UTC') into this_hour
    from audit_checkpoints c where c.size > thinned order by c.size limit 1;
  if this_hour is null or this_hour + interval '49 hours' > now() then return null; end if;
  -- Neighbours of one hour: two brokers may have signed across its end, so hours are not quite in the order of sizes.
  select coalesce(min(c.size) filter (where date_trunc('hour', c.at, 'UTC') <> this_hour) - 1, max(c.size)) into last_size
    from (select c.size, c.at from audit_checkpoints c where c.size > thinned order by c.size limit 50000) c;
  -- The latest first: nearly always it is the one that has all that the others have.
  with heads as materialized (
    select c.size, array(select s.witness from audit_cosignatures s where s.size = c.size) as witnesses
      from audit_checkpoints c where c.size > thinned and c.size <= last_size order by c.size desc
  )
  select coalesce(array_agg(h.size order by h.size), '{}') into removed
    from heads h
   where exists (select from heads l where l.size > h.size and l.witnesses @> h.witnesses)
     and not exists (select from audit_hand_overs o where o.size = h.size)
     and not exists (select from audit_doubts d where d.size = h.size);
  delete from audit_cosignatures s where s.size = any (removed);
  delete from audit_checkpoints c where c.size = any (removed);
  update audit_thinned set size = last_size;
  return cardinality(removed);
end $function$;
grant execute on function thin_checkpoints() to mayfly_app;

CREATE OR REPLACE FUNCTION public.token_key_may_sign(key_kid text)
 RETURNS boolean
 LANGUAGE sql
 STABLE
RETURN (EXISTS (SELECT FROM signing_keys_that_may_sign s WHERE ((s.kid = token_key_may_sign.key_kid) AND (s.purpose = 'token'::text))));
grant execute on function token_key_may_sign(text) to mayfly_app;

CREATE OR REPLACE FUNCTION public.told_entry(entry_epoch bigint, effect text)
 RETURNS jsonb
 LANGUAGE sql
 SET search_path TO 'public', 'pg_temp'
AS $function$
  select jsonb_build_object('id', r.id, 'epoch', r.epoch, 'kind', r.kind, 'target', r.target,
                            'standing', r.standing, 'releases', r.releases, 'reason', r.reason, 'actor', r.actor,
                            'at', r.created_at, 'effect', effect)
    from revocations r where r.epoch = entry_epoch
$function$;

create view audit_doubts_standing as
 SELECT number,
    witness,
    why,
    size,
    at
   FROM audit_doubts d
  WHERE (NOT (EXISTS ( SELECT
           FROM audit_doubts_settled s
          WHERE (s.number = d.number))));
grant select on audit_doubts_standing to mayfly_app;

create view signing_key_times as
 SELECT kid,
    purpose,
    generation,
    published_at,
    active_from,
    revoked_at,
    ( SELECT (min(n.active_from) + '00:01:00'::interval)
           FROM signing_keys n
          WHERE ((n.purpose = k.purpose) AND (n.generation > k.generation) AND ((n.revoked_at IS NULL) OR (n.revoked_at > n.active_from)))) AS retire_at
   FROM signing_keys k;
grant select on signing_key_times to mayfly_app;

create view signing_keys_that_may_sign as
 SELECT kid,
    purpose
   FROM signing_key_times t
  WHERE ((revoked_at IS NULL) AND (active_from <= now()) AND ((retire_at IS NULL) OR (retire_at > now())));
grant select on signing_keys_that_may_sign to mayfly_app;
