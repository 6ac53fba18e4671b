//! Posture findings: at most one open per rule and subject.

use chancery_model::{Finding, Timestamp};

use crate::row::{Columns, Row, word};
use crate::{Reader, StoreError, Tx};

const OPEN: &str = "INSERT INTO findings (rule, subject, severity, evidence, owasp, opened_at, closed_at) \
     VALUES ($1, $2, $3, $4, $5, $6, NULL) \
     ON CONFLICT (rule, subject) WHERE closed_at IS NULL DO UPDATE SET severity = excluded.severity, \
     evidence = excluded.evidence, owasp = excluded.owasp";

/// Opens a finding; where one is open for this rule and subject, only its severity and evidence are renewed.
pub async fn open(tx: &mut Tx, finding: &Finding) -> Result<(), StoreError> {
    let sql = crate::sql(OPEN)
        .bind(&finding.rule)
        .bind(&finding.subject)
        .bind(word(&finding.severity)?)
        .bind(&finding.evidence)
        .bind(&finding.owasp)
        .bind(finding.opened_at.0);
    tx.run(sql).await.map(drop)
}

/// Closes the open finding of this rule and subject: false if there was none.
pub async fn close(tx: &mut Tx, rule: &str, subject: &str, at: Timestamp) -> Result<bool, StoreError> {
    let sql = crate::sql("UPDATE findings SET closed_at = $3 WHERE rule = $1 AND subject = $2 AND closed_at IS NULL")
        .bind(rule)
        .bind(subject)
        .bind(at.0);
    Ok(tx.run(sql).await? > 0)
}

/// The open ones, oldest first.
pub async fn open_ones(from: impl Into<Reader<'_>>) -> Result<Vec<Finding>, StoreError> {
    let sql = crate::sql("SELECT * FROM findings WHERE closed_at IS NULL ORDER BY opened_at, rule, subject");
    from.into().all(sql, read).await
}

/// All there ever were, newest first.
pub async fn all(from: impl Into<Reader<'_>>) -> Result<Vec<Finding>, StoreError> {
    let sql = crate::sql("SELECT * FROM findings ORDER BY opened_at DESC, rule, subject");
    from.into().all(sql, read).await
}

fn read(row: &Row) -> Result<Finding, StoreError> {
    Ok(Finding {
        rule: row.text("rule")?,
        subject: row.text("subject")?,
        severity: row.word("severity")?,
        evidence: row.text("evidence")?,
        owasp: row.text("owasp")?,
        opened_at: row.time("opened_at")?,
        closed_at: row.time_or_none("closed_at")?,
    })
}
