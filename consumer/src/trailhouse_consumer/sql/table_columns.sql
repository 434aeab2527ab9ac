-- Which columns has a table?
SELECT name FROM system.columns WHERE database = currentDatabase() AND table = {table:String}
