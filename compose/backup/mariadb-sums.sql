-- Prints a statement for each table, which gives its name, how many rows it has, and a sum over the rows that does not depend on
-- their order. Read by mariadb, for the manifest on the source and by the drill on what was restored.
SET SESSION group_concat_max_len = 1048576;
SELECT CONCAT('SELECT ', QUOTE(t.table_name), ', COUNT(*), COALESCE(SUM(CAST(CONV(LEFT(MD5(CONCAT_WS(''|'', ',
    (SELECT GROUP_CONCAT('COALESCE(HEX(CAST(`', REPLACE(c.column_name, '`', '``'), '` AS BINARY)), ''-'')' ORDER BY c.ordinal_position)
      FROM information_schema.columns c WHERE c.table_schema = t.table_schema AND c.table_name = t.table_name),
    ')), 15), 16, 10) AS UNSIGNED)), 0) FROM `', REPLACE(t.table_name, '`', '``'), '`;')
  FROM information_schema.tables t WHERE t.table_schema = DATABASE() AND t.table_type = 'BASE TABLE' ORDER BY t.table_name;
