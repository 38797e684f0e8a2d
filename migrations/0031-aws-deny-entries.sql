-- What mayfly puts on a role at AWS, and removes there, gets its line in the record with the row that says so. A look
-- that found everything as it was gets none. The function of 0030 stays for brokers of before.
create function put_aws_denies(
  put_role text, by_lease text, put_sha256 text, put_epochs bigint[], audit_id text, entries integer
) returns boolean
language plpgsql security definer set search_path = public, pg_temp as $$
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
end $$;

revoke all on function put_aws_denies(text, text, text, bigint[], text, integer) from public;
grant execute on function put_aws_denies(text, text, text, bigint[], text, integer) to mayfly_app;
