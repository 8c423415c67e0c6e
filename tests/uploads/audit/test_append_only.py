from __future__ import annotations

import json
from concurrent.futures import ThreadPoolExecutor
from io import StringIO
from typing import Any

import pytest
from django.contrib.auth.models import Group
from django.core.management import call_command
from django.core.management.base import CommandError, SystemCheckError
from django.db import IntegrityError, ProgrammingError, connection, transaction

from tests.tokens import new_token
from tests.uploads import making
from tests.uploads.audit.tampering import execute, rows_of
from tests.uploads.audit.trails import add_uploads
from uploads import triggers
from uploads.groups import GROUPS
from uploads.models import AuditSeal, Upload, UploadEvent

pytestmark = pytest.mark.django_db

NEW_EVENT = (
    "INSERT INTO uploads_uploadevent (action, at, actor, request_id, detail)"
    " VALUES ('logged_in', %s, 'x', '', %s)"
)


@pytest.fixture
def event() -> UploadEvent:
    add_uploads(2)
    return UploadEvent.objects.order_by("id")[0]


@pytest.fixture
def seal(event: UploadEvent) -> AuditSeal:
    making.seal()
    return AuditSeal.objects.get()


def refused(statement: str, *parameters: Any) -> str:
    """Return what the database says when it refuses a statement."""
    with pytest.raises(IntegrityError) as caught, transaction.atomic():
        execute(statement, *parameters)
    return str(caught.value).splitlines()[0]


class TestTriggers:
    @pytest.mark.parametrize(
        "statement",
        [
            *(
                f"UPDATE uploads_uploadevent SET {assignment}"  # noqa: S608
                for assignment in (
                    "action = 'purged'",
                    "actor = 'nobody'",
                    "at = '2020-01-01 00:00:00'",
                    "detail = '{}'",
                    # As jsonb 4 and 4.0 are equal; as bytes they are not.
                    "seal_id = 1, detail = jsonb_set(detail, '{size}', '4.0')",
                    "request_id = 'x'",
                    "id = id + 1000000",
                    "seal_id = NULL",
                    "seal_id = 1, actor = 'nobody'",
                )
            ),
            "INSERT INTO uploads_uploadevent"
            " SELECT * FROM uploads_uploadevent ORDER BY id LIMIT 1"
            " ON CONFLICT (id) DO UPDATE SET actor = 'nobody'",
            "UPDATE uploads_auditseal SET root = 'x'",
            "DELETE FROM uploads_uploadevent",
            "DELETE FROM uploads_auditseal",
            "DELETE FROM uploads_upload",
            "TRUNCATE uploads_uploadevent CASCADE",
            "TRUNCATE uploads_auditseal CASCADE",
            "TRUNCATE uploads_upload CASCADE",
        ],
    )
    def test_refused(self, event, seal, statement):
        action = statement.partition(" ")[0].replace("INSERT", "UPDATE")
        execute("SET CONSTRAINTS ALL IMMEDIATE")  # TRUNCATE waits for no checks
        assert refused(statement).endswith(f" is append-only: {action} is refused")

    def test_refused__in_django_s_terms(self, event, seal):
        upload = event.upload
        for act in (
            event.save,
            event.delete,
            lambda: UploadEvent.objects.update(actor="nobody"),
            lambda: UploadEvent.objects.bulk_update([event], ["actor"]),
            UploadEvent.objects.all().delete,
            seal.save,
            seal.delete,
            lambda: Upload.objects.filter(pk=upload.pk)._raw_delete("default"),
        ):
            with (
                pytest.raises(IntegrityError, match="append-only"),
                transaction.atomic(),
            ):
                act()

    def test_event_seal__once(self, event, seal):
        statement = "UPDATE uploads_uploadevent SET seal_id = 1 WHERE id = %s"
        assert execute(statement, event.pk) == 1
        assert "append-only" in refused(statement, event.pk)
        assert "append-only" in refused(
            "UPDATE uploads_uploadevent SET seal_id = NULL WHERE id = %s", event.pk
        )

    @pytest.mark.parametrize("column", ["id", "key"])
    def test_upload_identity(self, event, column):
        first, second = Upload.objects.all()
        with pytest.raises(IntegrityError), transaction.atomic():
            rows_of(Upload).filter(pk=first.pk).update(
                **{column: "uploads/x" if column == "key" else "0" * 32}
            )
        assert rows_of(Upload).filter(pk=second.pk).update(status="failed") == 1

    def test_replication_role_does_not_switch_off(self, event):
        execute("SET LOCAL session_replication_role = replica")
        assert "append-only" in refused("DELETE FROM uploads_uploadevent")

    @pytest.mark.parametrize(
        "statement",
        [
            "UPDATE uploads_uploadevent SET seal_id = 1, actor = 'nobody'",
            "UPDATE uploads_upload SET key = 'other'",
        ],
    )
    def test_operators_of_another_schema__not_used(self, event, seal, statement):
        """Whoever may create a schema can put one before PostgreSQL's own."""
        execute("SET CONSTRAINTS ALL IMMEDIATE")
        execute(
            "CREATE SCHEMA evil;"
            " CREATE FUNCTION evil.always(record, record) RETURNS boolean"
            " LANGUAGE plpgsql AS 'BEGIN RETURN true; END';"
            " CREATE FUNCTION evil.always(text, text) RETURNS boolean"
            " LANGUAGE sql AS 'SELECT true';"
            " CREATE OPERATOR evil.*="
            " (LEFTARG = record, RIGHTARG = record, FUNCTION = evil.always);"
            " CREATE OPERATOR evil.="
            " (LEFTARG = text, RIGHTARG = text, FUNCTION = evil.always);"
            " SET LOCAL search_path = evil, pg_catalog, public"
        )
        assert "UPDATE is refused" in refused(statement)


class TestUnreadableValues:
    """A single one would make every list that it is in an error."""

    def test_times(self, event, seal):
        new_token()
        for at in ("infinity", "-infinity", "0044-03-15 BC", "9999-06-01"):
            for table, column in (
                ("uploads_upload", "created_at"),
                ("uploads_upload", "stored_at"),
                ("uploads_upload", "attempt_started_at"),
                ("tokens_token", "last_used_at"),
                ("tokens_token", "revoked_at"),
            ):
                statement = f"UPDATE {table} SET {column} = %s"  # noqa: S608
                assert "check constraint" in refused(statement, at)
            assert "check constraint" in refused(NEW_EVENT, at, "{}")
            assert "check constraint" in refused(
                "INSERT INTO uploads_auditseal SELECT 2, %s, first_event, last_event,"
                " event_count, root, 'x', signature, key_id, next_key, object_key"
                " FROM uploads_auditseal",
                at,
            )

    @pytest.mark.parametrize("at", ["0001-01-01 00:00:00Z", "9998-01-01 00:00:00Z"])
    def test_times__readable(self, event, admin_client, at):
        execute("UPDATE uploads_upload SET created_at = %s", at)
        execute(NEW_EVENT, at, "{}")
        for page in ("upload/", "uploadevent/", "upload/?p=oldest", ""):
            assert admin_client.get(f"/admin/uploads/{page}").status_code == 200, page

    def test_durations(self, event):
        statement = "UPDATE uploads_upload SET duration = %s"
        for duration in ("infinity", "2770000 years", "-2770000 years"):
            assert "check constraint" in refused(statement, duration)
        assert execute(statement, "-1 second") == 2  # the clock was put back

    def test_details(self):
        for detail in (
            '{"a":' * 32 + "1" + "}" * 32,
            f'{{"a": {"[" * 5000}{"]" * 5000}}}',
            '{"size": 9223372036854775808}',
            f'{{"a": [{{"size": -{"9" * 5000}}}]}}',
            '{"size": 1e400}',
            f'{{"a": "{"x" * 2**20}"}}',
        ):
            assert "check constraint" in refused(NEW_EVENT, "now", detail), detail[:40]

    def test_details__readable(self):
        for detail in (
            '{"a":' * 31 + "1" + "}" * 31,
            '{"size": 9223372036854775807, "number": -9223372036854775808}',
            f'{{"members": ["{"x" * 10**6}"]}}',
        ):
            assert execute(NEW_EVENT, "now", detail) == 1
            assert UploadEvent.objects.latest("id").detail == json.loads(detail)


class TestMissing:
    def test_removed(self):
        triggers.remove(connection)
        with pytest.raises(SystemCheckError, match=r"uploads\.E002"):
            call_command("check", databases=["default"], stdout=StringIO())
        assert triggers.check().startswith(
            "unavailable: append-only triggers are missing or altered:"
            " uploads_event_update"
        )

        assert len(triggers.missing(connection)) == 14
        triggers.reinstall()
        assert triggers.check() == "ok"
        call_command("check", databases=["default"], stdout=StringIO())

    @pytest.mark.parametrize(
        "statement",
        [
            "ALTER TABLE uploads_uploadevent DISABLE TRIGGER uploads_event_delete",
            # Not in sessions with session_replication_role = replica:
            "ALTER TABLE uploads_uploadevent ENABLE TRIGGER uploads_event_delete",
            "CREATE OR REPLACE TRIGGER uploads_event_delete"
            " BEFORE DELETE ON uploads_uploadevent FOR EACH ROW WHEN (OLD.id = 0)"
            " EXECUTE FUNCTION uploads_refuse()",
            "CREATE OR REPLACE FUNCTION uploads_refuse() RETURNS trigger"
            " LANGUAGE plpgsql AS 'BEGIN RETURN OLD; END'",
            "DROP FUNCTION uploads_refuse() CASCADE",
            # What CREATE OR REPLACE cannot replace:
            "DROP FUNCTION uploads_refuse() CASCADE;"
            " CREATE FUNCTION uploads_refuse() RETURNS int LANGUAGE sql AS 'SELECT 1'",
            "DROP TRIGGER uploads_event_delete ON uploads_uploadevent;"
            " CREATE CONSTRAINT TRIGGER uploads_event_delete"
            " AFTER DELETE ON uploads_uploadevent FOR EACH ROW"
            " EXECUTE FUNCTION uploads_refuse()",
            # Functions that see other operators, or run with other rights:
            "ALTER FUNCTION uploads_refuse() SET search_path = evil, pg_catalog, public",
            "ALTER FUNCTION uploads_refuse() SECURITY DEFINER",
        ],
    )
    def test_altered__replaced(self, statement):
        execute(statement)
        assert "uploads_event_delete" in triggers.missing(connection)
        triggers.reinstall()
        assert triggers.missing(connection) == []

    def test_reinstall_fails__nothing_dropped(self, monkeypatch):
        execute("ALTER TABLE uploads_auditseal DISABLE TRIGGER uploads_seal_change")
        bodies = triggers._FUNCTIONS | {"uploads_refuse": "not a body"}
        with monkeypatch.context() as patched:
            patched.setattr(triggers, "_FUNCTIONS", bodies)
            with pytest.raises(ProgrammingError):
                triggers.reinstall()
        assert triggers.missing(connection) == ["uploads_seal_change"]

    def test_table_replaced(self):
        """The triggers are there, on a table that nobody uses any more."""
        with connection.cursor() as cursor:
            cursor.execute("ALTER TABLE uploads_auditseal RENAME TO kept")
            cursor.execute("CREATE TABLE uploads_auditseal AS TABLE kept")
        assert triggers.missing(connection) == [
            "uploads_seal_change",
            "uploads_seal_truncate",
        ]

    def test_check__database_away(self, make_fail):
        """A check must not be what fails when the database is away."""
        from django.db import OperationalError

        make_fail(triggers, "missing", OperationalError("no answer"))
        call_command("check", databases=["default"], stdout=StringIO())

    def test_check__not_migrated(self):
        triggers.remove(connection)
        execute("ALTER TABLE uploads_uploadevent RENAME TO elsewhere")
        assert triggers.missing(connection) == []

    def test_check__list_of_migrations_changed(self):
        execute("DELETE FROM django_migrations")
        triggers.remove(connection)
        assert len(triggers.missing(connection)) == 14


@pytest.mark.django_db(transaction=True)
class TestMigrations:
    def test_dropped__installed_again_with_a_warning(self, caplog):
        call_command("migrate", verbosity=0, skip_checks=True)
        assert "triggers were missing" not in caplog.text
        triggers.remove(connection)
        call_command("migrate", verbosity=0, skip_checks=True)
        assert triggers.missing(connection) == []
        assert "triggers were missing" in caplog.text

    def test_undone_and_done_again__by_two_at_once(self):
        """Kubernetes may start a job's pod twice: the second finds nothing to do."""
        call_command("migrate", "uploads", "zero", verbosity=0, skip_checks=True)
        try:
            assert "uploads_upload" not in connection.introspection.table_names()
            with ThreadPoolExecutor(2) as pool:
                list(pool.map(migrate_elsewhere, range(2)))
            assert triggers.missing(connection) == []
            assert set(Group.objects.values_list("name", flat=True)) == set(GROUPS)
        finally:
            call_command("migrate", verbosity=0, skip_checks=True)

    def test_failed__the_next_one_does_not_wait(self):
        with pytest.raises(CommandError):
            call_command("migrate", "no_such_app", verbosity=0, skip_checks=True)
        with ThreadPoolExecutor(1) as pool:
            list(pool.map(migrate_elsewhere, range(1)))


def migrate_elsewhere(_: int) -> None:
    """Migrate with this thread's own connection."""
    try:
        call_command("migrate", verbosity=0, skip_checks=True)
    finally:
        connection.close()
