"""All tables. Importing this module registers every one of them with `Base`."""

from gatehouse.storage.sql.models.base import Base
from gatehouse.storage.sql.models.catalog import (
    AccountRow,
    EventRow,
    FileRow,
    ProjectOwnerRow,
    ProjectRow,
    ReleaseRow,
    SourceRow,
    UploadTokenRow,
)
from gatehouse.storage.sql.models.checks import (
    CheckChangeRow,
    CheckDifferenceRow,
    CheckRunPieceRow,
    CheckRunRow,
    CheckTimetableRow,
)
from gatehouse.storage.sql.models.screening import (
    DecisionRow,
    DeskRow,
    FileSummaryRow,
    FindingRow,
    FingerprintRow,
    ScreeningRow,
    SubjectRow,
    VerdictRow,
)
from gatehouse.storage.sql.models.signing import (
    DirtyBinRow,
    JournalRow,
    OfflineMetadataRow,
    OnlineRoleRow,
    PublicationRow,
    RefusedChangeRow,
    TargetImportRow,
    TargetRow,
)
from gatehouse.storage.sql.models.staff import AuditRow, StaffRow, StaffSessionRow
from gatehouse.storage.sql.models.work import LeaseRow, OutboxRow

__all__ = [
    "AccountRow",
    "AuditRow",
    "Base",
    "CheckChangeRow",
    "CheckDifferenceRow",
    "CheckRunPieceRow",
    "CheckRunRow",
    "CheckTimetableRow",
    "DecisionRow",
    "DeskRow",
    "DirtyBinRow",
    "EventRow",
    "FileRow",
    "FileSummaryRow",
    "FindingRow",
    "FingerprintRow",
    "JournalRow",
    "LeaseRow",
    "OfflineMetadataRow",
    "OnlineRoleRow",
    "OutboxRow",
    "ProjectOwnerRow",
    "ProjectRow",
    "PublicationRow",
    "RefusedChangeRow",
    "ReleaseRow",
    "ScreeningRow",
    "SourceRow",
    "StaffRow",
    "StaffSessionRow",
    "SubjectRow",
    "TargetImportRow",
    "TargetRow",
    "UploadTokenRow",
    "VerdictRow",
]
