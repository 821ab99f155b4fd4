-- The roles of a database for lotteries. Run once by an administrator, connected to that database:
--
--     createdb lottery
--     psql --dbname lottery --file roles.sql
--
-- Then give the three that log in a password (\password loteria_server), or let pg_hba.conf decide. `loteria_owner` makes
-- the tables (`loteria ledger begin`, or the first server that is started with it), and after that grants.sql is run.

CREATE ROLE loteria_owner LOGIN;
CREATE ROLE loteria_server LOGIN;
CREATE ROLE loteria_reader LOGIN;

DO $$
BEGIN
  EXECUTE format('REVOKE ALL ON DATABASE %I FROM PUBLIC', current_database());
  EXECUTE format('GRANT CONNECT ON DATABASE %I TO loteria_owner, loteria_server, loteria_reader', current_database());
END
$$;
REVOKE ALL ON SCHEMA public FROM PUBLIC;
GRANT USAGE ON SCHEMA public TO loteria_server, loteria_reader;
GRANT USAGE, CREATE ON SCHEMA public TO loteria_owner;

-- Where a pooler stands between, it may not pass on what a server asks for its sessions.
ALTER ROLE loteria_server SET synchronous_commit = 'on';
ALTER ROLE loteria_server SET jit = 'off';
ALTER ROLE loteria_server SET plan_cache_mode = 'force_generic_plan';
ALTER ROLE loteria_server SET default_transaction_isolation = 'read committed';
ALTER ROLE loteria_server SET idle_in_transaction_session_timeout = '30s';
-- A session whose server has given it up goes on waiting for a standby that is away. Servers open new ones: they must not
-- take those of administrators, who have to end it. Enough for 8 servers with 8 each, and some that wait.
ALTER ROLE loteria_server CONNECTION LIMIT 80;
-- Reports read; a session that is open by mistake must not hold back the cleaning of tables for ever.
ALTER ROLE loteria_reader SET default_transaction_read_only = 'on';
ALTER ROLE loteria_reader SET idle_in_transaction_session_timeout = '10min';
