//! Clients of agents: where people who log in for an agent are sent back to.

use chancery_fetch::Target;
use chancery_model::{Agent, Client, ClientKind, Hash};
use chancery_store::{StoreError, agents, clients, findings, registration_codes};

use crate::registrar::{By, Registrar, disarm};
use crate::{RegisterError, fields};

/// How many redirect addresses a client may have.
const MOST: usize = 10;

/// What an agent's client is to be.
#[derive(Debug, Clone)]
pub enum ClientRequest {
    /// A client that states itself under this URL, its `client_id`.
    MetadataDocument(String),
    /// A client whose `client_id` is the agent's id, with these redirect addresses.
    Registered(Vec<String>),
}

impl Registrar {
    /// Adopts a client for an agent, or states its redirect addresses anew. A registered agent becomes active by it: it
    /// acts in the name of people who log in.
    pub async fn set_client(
        &self,
        name_or_id: &str,
        request: &ClientRequest,
        actor: &str,
    ) -> Result<Client, RegisterError> {
        let agent = self.agent(name_or_id).await?;
        let (id, kind, redirect_uris) = match request {
            ClientRequest::MetadataDocument(url) => (self.client_url(url)?, ClientKind::MetadataDocument, Vec::new()),
            ClientRequest::Registered(uris) => (agent.id.to_string(), ClientKind::Registered, redirects(uris)?),
        };
        let client = Client { redirect_uris, ..self.client(id, kind, &agent) };
        self.put_client(client, agent, &By { actor, verb: "set", reason: None }, None).await
    }

    pub(crate) fn client(&self, id: String, kind: ClientKind, agent: &Agent) -> Client {
        Client {
            id,
            agent: agent.id.clone(),
            kind,
            redirect_uris: Vec::new(),
            claimed_name: None,
            created_at: self.clock.now(),
            removed_at: None,
        }
    }

    /// Keeps a client of this agent, which becomes active if it was only registered. `code` is used up by it.
    pub(crate) async fn put_client(
        &self,
        client: Client,
        agent: Agent,
        by: &By<'_>,
        code: Option<Hash>,
    ) -> Result<Client, RegisterError> {
        let (now, activated) = (client.created_at, agent.clone().activate()?);
        let draft = by.draft(now, "client", &client.id, &client);
        let stored = client.clone();
        let write = self.store.write(draft, move |tx| {
            Box::pin(async move {
                if let Some(code) = code
                    && !registration_codes::redeem(tx, &code, now).await?
                {
                    return Err(StoreError::refuse(RegisterError::BadRegistrationCode));
                }
                let before = clients::get(&mut *tx, &stored.id).await?;
                if before.is_some_and(|before| before.agent != stored.agent) {
                    let why = format!("`{}` is the client of another agent: remove it there first", stored.id);
                    return Err(StoreError::refuse(RegisterError::BadClient(why)));
                }
                if agents::get(&mut *tx, &stored.agent).await?.as_ref() != Some(&agent) {
                    return Err(StoreError::refuse(RegisterError::Busy(agent.name)));
                }
                clients::put(tx, &stored).await?;
                findings::close(tx, crate::findings::NEVER_ENROLLED, &agent.name, now).await?;
                if activated == agent { Ok(()) } else { agents::update(tx, &activated).await }
            })
        });
        write.await?;
        Ok(client)
    }

    /// Removes a client: nobody logs in through it any more, and the sessions of its agent end.
    pub async fn remove_client(&self, id: &str, reason: &str, actor: &str) -> Result<Client, RegisterError> {
        let now = self.clock.now();
        let reason = fields::said("reason", reason)?;
        let unknown = || RegisterError::NoClient(id.chars().take(200).collect());
        let client = clients::get(&self.store, id).await?.ok_or_else(unknown)?;
        let by = By { actor, verb: "remove", reason: Some(&reason) };
        let draft = by.draft(now, "client", &client.id, &client);
        let removed = client.clone();
        let write = self.store.write(draft, move |tx| {
            Box::pin(async move {
                clients::remove(tx, &removed, now).await?;
                disarm(tx, &removed.agent, now).await
            })
        });
        write.await?;
        Ok(client)
    }

    /// The clients of an agent.
    pub async fn clients(&self, name_or_id: &str) -> Result<Vec<Client>, RegisterError> {
        let agent = self.agent(name_or_id).await?;
        Ok(clients::of_agent(&self.store, &agent.id).await?)
    }

    /// A `client_id` that is a URL (draft-ietf-oauth-client-id-metadata-document, section 3): with a path, and fetchable.
    fn client_url(&self, url: &str) -> Result<String, RegisterError> {
        let target = self.config.fetch.permits(url).map_err(|e| RegisterError::BadClient(e.to_string()))?;
        if target.path().len() < 2 {
            return Err(RegisterError::BadClient(format!("`{url}` has no path: name the document, not the host")));
        }
        Ok(url.to_owned())
    }
}

pub(crate) fn redirects(uris: &[String]) -> Result<Vec<String>, RegisterError> {
    if uris.is_empty() || uris.len() > MOST {
        return Err(RegisterError::BadClient(format!("1 to {MOST} redirect addresses are accepted")));
    }
    uris.iter().map(|uri| redirect(uri)).collect()
}

/// `https`, or `http` on the person's own machine (RFC 8252, section 7.3). Nothing that a browser would run or show.
fn redirect(uri: &str) -> Result<String, RegisterError> {
    let refused = |why: &str| RegisterError::BadClient(format!("the redirect address `{uri}` {why}"));
    let target = Target::parse(uri).map_err(|e| refused(e.why))?;
    if target.is_https() || target.is_loopback() {
        return Ok(uri.to_owned());
    }
    Err(refused("is plain http and not on a loopback address"))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn redirects_are_https_or_local() {
        let list = |uri: &str| redirects(&[uri.to_owned()]);
        for good in ["https://app.example/cb", "http://127.0.0.1/cb", "http://[::1]:8000/cb", "http://localhost:1/cb"] {
            assert!(list(good).is_ok(), "{good}");
        }
        for bad in [
            "http://app.example/cb",
            "javascript:alert(1)",
            "data:text/html,x",
            "https://app.example/cb#x",
            "https://a@b.example/cb",
            "https://app.example/../cb",
            "https://app.example/%2e%2e/cb",
            "app:/cb",
            "",
            "https://",
            "http://127.0.0.1.evil.example/cb",
        ] {
            assert!(list(bad).is_err(), "{bad}");
        }
        assert!(redirects(&[]).is_err());
        assert!(redirects(&vec!["https://app.example/cb".to_owned(); MOST + 1]).is_err());
    }
}
