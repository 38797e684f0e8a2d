-- Run once, after 1-roles.sql, when the database is made. The passwords come from files, so that they are in no
-- environment, no argument and no log.
\set owner_password `cat /run/secrets/owner_password`
\set application_password `cat /run/secrets/application_password`
set password_encryption = 'scram-sha-256';
alter role mayfly_owner password :'owner_password';
alter role mayfly_app password :'application_password';
