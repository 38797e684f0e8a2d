-- A ring of its own for the key by which mayfly tells AWS who an agent is: AWS knows ES256 and no Ed25519. Its public
-- half is both coordinates. No row of it is made before an action gives AWS credentials.
alter table signing_keys drop constraint signing_keys_purpose_check;
alter table signing_keys add constraint signing_keys_purpose_check
  check (purpose in ('token', 'ledger', 'nonce', 'log', 'web-identity'));
alter table signing_keys drop constraint signing_keys_algorithm_check;
alter table signing_keys add constraint signing_keys_algorithm_check
  check (algorithm in ('Ed25519', 'ES256', 'HMAC-SHA256') and (algorithm = 'ES256') = (purpose = 'web-identity'));
alter table signing_keys drop constraint signing_keys_public_key_check;
alter table signing_keys add constraint signing_keys_public_key_check
  check (length(public_key) = case when algorithm = 'ES256' then 64 else 32 end);
