"""Triggers of bank lines: where a line came from never changes, and its statement is of its own account."""

from typing import Final

CREATE: Final = """
CREATE FUNCTION channels_line_keeps_origin() RETURNS trigger LANGUAGE plpgsql AS $body$
BEGIN
    IF TG_OP = 'UPDATE' AND (
        (NEW.file_name, NEW.file_sha256, NEW.file_row) IS DISTINCT FROM (OLD.file_name, OLD.file_sha256, OLD.file_row)
        OR (OLD.statement_id IS NOT NULL AND NEW.statement_id IS DISTINCT FROM OLD.statement_id))
    THEN
        RAISE EXCEPTION 'bank line %: the file and the statement it came from never change', OLD.reference
            USING ERRCODE = 'restrict_violation';
    END IF;
    IF NEW.statement_id IS NOT NULL AND NOT EXISTS (
        SELECT FROM channels_bankstatement s WHERE s.id = NEW.statement_id AND s.bank_account_id = NEW.bank_account_id)
    THEN
        RAISE EXCEPTION 'bank line %: its statement is of another account', NEW.reference
            USING ERRCODE = 'restrict_violation';
    END IF;
    RETURN NEW;
END
$body$;
CREATE TRIGGER keeps_origin
    BEFORE INSERT OR UPDATE OF bank_account_id, statement_id, file_name, file_sha256, file_row ON channels_bankline
    FOR EACH ROW EXECUTE FUNCTION channels_line_keeps_origin();
"""
DROP: Final = """
DROP TRIGGER keeps_origin ON channels_bankline;
DROP FUNCTION channels_line_keeps_origin();
"""
