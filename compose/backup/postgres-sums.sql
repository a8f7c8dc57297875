-- For each table: its name, how many rows it has, and a sum over the rows that does not depend on their order. Read by psql, for
-- the manifest on the source and by the drill on what was restored. A row's text must not depend on the session that asks.
SET datestyle = 'ISO, YMD';
SET intervalstyle = 'iso_8601';
SET timezone = 'UTC';
SET bytea_output = 'hex';
SET extra_float_digits = 1;
-- Partitions count, not what they are parts of. An unlogged table is empty after a restore.
SELECT format('SELECT %L, count(*), coalesce(sum(hashtextextended(whole_row_::text, 0)), 0) FROM %I.%I whole_row_',
    n.nspname || '.' || c.relname, n.nspname, c.relname)
  FROM pg_class c JOIN pg_namespace n ON n.oid = c.relnamespace
  WHERE c.relkind = 'r' AND c.relpersistence = 'p' AND n.nspname !~ '^(pg_|information_schema$)'
  ORDER BY n.nspname, c.relname \gexec
