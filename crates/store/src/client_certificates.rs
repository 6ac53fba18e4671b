//! The certificates that agents authenticate with in TLS.

use std::sync::Arc;

use chancery_model::{AgentId, CertificateRule, Changed, ClientCertificate, Timestamp};

use crate::row::{Columns, Row};
use crate::{Reader, StoreError, Tx};

/// Makes this the agent's certificate, instead of the one it had.
pub async fn put(tx: &mut Tx, certificate: &ClientCertificate) -> Result<(), StoreError> {
    let (kind, value) = certificate.rule.parts();
    let sql = crate::sql(
        "INSERT INTO client_certificates (agent, kind, value, created_at) VALUES ($1, $2, $3, $4) \
         ON CONFLICT (agent) DO UPDATE SET kind = $2, value = $3, created_at = $4",
    );
    tx.run(sql.bind(certificate.agent.as_str()).bind(kind).bind(value).bind(certificate.created_at.0)).await?;
    tx.note(Changed::ClientCertificate(Arc::new(certificate.clone())));
    Ok(())
}

/// Takes the agent's certificate away, if it has one.
pub async fn remove(tx: &mut Tx, agent: &AgentId, now: Timestamp) -> Result<(), StoreError> {
    let Some(had) = of_agent(&mut *tx, agent).await? else { return Ok(()) };
    tx.run(crate::sql("DELETE FROM client_certificates WHERE agent = $1").bind(agent.as_str())).await?;
    tx.note(Changed::ClientCertificate(Arc::new(ClientCertificate { removed_at: Some(now), ..had })));
    Ok(())
}

/// The one of this agent.
pub async fn of_agent(from: impl Into<Reader<'_>>, agent: &AgentId) -> Result<Option<ClientCertificate>, StoreError> {
    let sql = crate::sql("SELECT * FROM client_certificates WHERE agent = $1").bind(agent.as_str());
    from.into().one(sql, read).await
}

/// The one that this rule names, whosever it is.
pub async fn by_rule(
    from: impl Into<Reader<'_>>,
    rule: &CertificateRule,
) -> Result<Option<ClientCertificate>, StoreError> {
    let (kind, value) = rule.parts();
    let sql = crate::sql("SELECT * FROM client_certificates WHERE kind = $1 AND value = $2");
    from.into().one(sql.bind(kind).bind(value), read).await
}

/// All of them.
pub async fn all(from: impl Into<Reader<'_>>) -> Result<Vec<ClientCertificate>, StoreError> {
    from.into().all(crate::sql("SELECT * FROM client_certificates ORDER BY agent"), read).await
}

fn read(row: &Row) -> Result<ClientCertificate, StoreError> {
    let (kind, value) = (row.text("kind")?, row.text("value")?);
    let rule = CertificateRule::of_parts(&kind, &value);
    Ok(ClientCertificate {
        agent: row.id("agent")?,
        rule: rule.ok_or_else(|| StoreError::Damaged(format!("a client certificate is `{kind}`")))?,
        created_at: row.time("created_at")?,
        removed_at: None,
    })
}
