-- For docker-compose.cluster.yaml, after roles.sql, when its volume is new: psql takes the password out of the secret.
-- The role `postgres` keeps none, so that it logs in nowhere but inside of the container.
\set password `cat /run/secrets/ledger-password`
ALTER ROLE loteria_owner PASSWORD :'password';
ALTER ROLE postgres PASSWORD NULL;
