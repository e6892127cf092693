-- Roles of a production database. Run once as a superuser: psql -f deploy/postgres/roles.sql
-- payops_owner runs migrations and makes partitions; payops_app reads and writes rows and owns nothing.

CREATE ROLE payops_owner LOGIN PASSWORD 'CHANGE_ME';
CREATE ROLE payops_app LOGIN PASSWORD 'CHANGE_ME';
CREATE DATABASE payops OWNER payops_owner ENCODING 'UTF8' LOCALE 'C' TEMPLATE template0;

\connect payops

REVOKE ALL ON SCHEMA public FROM PUBLIC;
GRANT USAGE, CREATE ON SCHEMA public TO payops_owner;
GRANT USAGE ON SCHEMA public TO payops_app;

ALTER DEFAULT PRIVILEGES FOR ROLE payops_owner IN SCHEMA public
    GRANT SELECT, INSERT, UPDATE, DELETE ON TABLES TO payops_app;
ALTER DEFAULT PRIVILEGES FOR ROLE payops_owner IN SCHEMA public
    GRANT USAGE, SELECT ON SEQUENCES TO payops_app;

-- A statement that touches many day partitions takes a lock for each: raise this in postgresql.conf.
ALTER SYSTEM SET max_locks_per_transaction = 1024;
