-- The rights of the roles in roles.sql, each the least that it needs. Run by loteria_owner when the tables are there, and
-- again after an update has made new ones:
--
--     psql --username loteria_owner --dbname lottery --file grants.sql
--
-- New lotteries need no new rights: their chunks are reached through the table `chunk`.

-- A server can't change or remove what is stored. It can begin a lottery, and begin an empty one again: the
-- functions run with the owner's rights.
GRANT SELECT ON loteria_migration, lottery, agency, chunk, draw, winner, told, bet TO loteria_server;
GRANT INSERT ON chunk, draw, winner TO loteria_server;
GRANT INSERT, UPDATE ON told TO loteria_server;
GRANT UPDATE (epoch, server, finished) ON agency TO loteria_server;
GRANT UPDATE (held_at, held_by, confirmed_at) ON lottery TO loteria_server;
GRANT EXECUTE ON FUNCTION begin_lottery, replace_empty_lottery TO loteria_server;

-- Reports and exports.
GRANT SELECT ON loteria_migration, lottery, agency, chunk, draw, winner, told, bet TO loteria_reader;
