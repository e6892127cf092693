"""Triggers of the files: what a bill file is never changes, only what became of it."""

from typing import Final

CREATE: Final = """
CREATE FUNCTION channels_file_keeps_identity() RETURNS trigger LANGUAGE plpgsql AS $body$
BEGIN
    IF (NEW.contract_id, NEW.channel_date, NEW.batch, NEW.bill_type, NEW.bill_format, NEW.version, NEW.sha256,
        NEW.stored_path)
       IS DISTINCT FROM
       (OLD.contract_id, OLD.channel_date, OLD.batch, OLD.bill_type, OLD.bill_format, OLD.version, OLD.sha256,
        OLD.stored_path)
    THEN
        RAISE EXCEPTION 'bill file %: contract, day, batch, type, format, version and bytes never change', OLD.id
            USING ERRCODE = 'restrict_violation';
    END IF;
    RETURN NEW;
END
$body$;
CREATE TRIGGER keeps_identity BEFORE UPDATE ON channels_billfile
    FOR EACH ROW EXECUTE FUNCTION channels_file_keeps_identity();
"""
DROP: Final = """
DROP TRIGGER keeps_identity ON channels_billfile;
DROP FUNCTION channels_file_keeps_identity();
"""
