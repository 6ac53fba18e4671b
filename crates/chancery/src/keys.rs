//! The keys of agents on this machine: one file each, readable by its owner only.

use std::fs::{self, OpenOptions};
use std::io::Write;
use std::os::unix::fs::{DirBuilderExt, MetadataExt, OpenOptionsExt};
use std::path::{Path, PathBuf};
use std::sync::Arc;

use ::http::{Request, header, request};
use bytes::Bytes;
use chancery_authenticate::client::AgentKey;
use chancery_model::Secret;
use chancery_model::problem::{BAD_ANSWER, LOCAL_FILE, UNSAFE_CONFIG};
use http_body_util::Full;
use serde_json::{Value, json};

use crate::context::Context;
use crate::failure::{Done, Failure};

/// A directory of keys.
#[derive(Clone, Debug)]
pub struct KeyRing {
    directory: PathBuf,
}

impl KeyRing {
    /// In this directory; it is made when the first key is kept.
    pub fn new(directory: PathBuf) -> Self {
        Self { directory }
    }

    /// The file of an agent's key.
    pub fn path(&self, agent: &str) -> Done<PathBuf> {
        let plain = |b: u8| b.is_ascii_lowercase() || b.is_ascii_digit() || b == b'-';
        if agent.is_empty() || agent.len() > 63 || !agent.bytes().all(plain) {
            return Err(Failure::usage(format!("`{agent}` is no agent's name")));
        }
        Ok(self.directory.join(format!("{agent}.key")))
    }

    /// An agent's key. Refuses a file that others can read.
    pub fn load(&self, agent: &str) -> Done<Arc<AgentKey>> {
        let path = self.path(agent)?;
        let missing = |e| Failure::file(&path, e).next(format!("enrol it here: `chancery agent enrol {agent}`"));
        let mode = fs::metadata(&path).map_err(missing)?.mode();
        if mode & 0o077 != 0 {
            let why = format!("{} can be read by others (mode {:o})", path.display(), mode & 0o777);
            return Err(Failure::new(UNSAFE_CONFIG, why).next(format!("chmod 600 {}", path.display())));
        }
        let text = Secret::new(fs::read_to_string(&path).map_err(|e| Failure::file(&path, e))?);
        let key = AgentKey::from_text(&text).map_err(|e| Failure::file(&path, e))?;
        Ok(Arc::new(key))
    }

    /// Writes a key where [`KeyRing::confirm`] will find it: it must not be lost once the server knows it.
    /// The name is the key's own, so that a later attempt leaves it alone.
    fn prepare(&self, agent: &str, key: &AgentKey) -> Done<PathBuf> {
        let path = self.path(agent)?.with_extension(format!("{}.new", key.thumbprint()));
        let text = key.to_text().map_err(|e| Failure::file(&path, e))?;
        let write = || -> std::io::Result<()> {
            fs::DirBuilder::new().recursive(true).mode(0o700).create(&self.directory)?;
            let mut file = OpenOptions::new().write(true).create(true).truncate(true).mode(0o600).open(&path)?;
            file.write_all(text.expose().as_bytes())?;
            file.sync_all()
        };
        write().map_err(|e| Failure::file(&path, e))?;
        Ok(path)
    }

    /// Puts the prepared key in its place.
    fn confirm(&self, agent: &str, prepared: &Path) -> Done {
        let path = self.path(agent)?;
        fs::rename(prepared, &path).map_err(|e| Failure::file(&path, e))
    }
}

/// Makes a key, proves possession of it with the code, and keeps it.
pub async fn enrol(context: &Context, name: &str, code: &Secret) -> Done<Value> {
    let url = context.url()?;
    let issuer = issuer(&url).await?;
    let bad_key = |e| Failure::new(LOCAL_FILE, e);
    let key = AgentKey::generate().map_err(bad_key)?;
    let proof = key.enrolment_proof(code, &issuer, context.clock.now()).map_err(bad_key)?;
    let jwk: Value = serde_json::from_str(key.jwk())?;
    let ring = context.keys();
    let prepared = ring.prepare(name, &key)?;
    let body = json!({"code": code.expose(), "jwk": jwk, "proof": proof}).to_string();
    let request = Request::post("/oauth/enrol").header(header::CONTENT_TYPE, "application/json");
    let sent = send(&url, request, body).await;
    let enrolled = match sent {
        Ok(enrolled) => enrolled,
        Err(failure) if (400..500).contains(&failure.problem().status) => {
            // The server refused this key: it is worth nothing.
            let _ = fs::remove_file(&prepared);
            return Err(failure);
        }
        Err(failure) => return Err(unconfirmed(failure, name, &prepared, &ring.path(name)?, &key.thumbprint())),
    };
    let named = enrolled["name"].as_str().unwrap_or(name);
    ring.confirm(named, &prepared)?;
    if named != name {
        context
            .output
            .note(&format!("the code was made for `{named}`, not for `{name}`: the key is kept as {named}.key"));
    }
    Ok(enrolled)
}

/// Without an answer, or with one that is not understood, the server may know the key or not.
fn unconfirmed(failure: Failure, name: &str, prepared: &Path, path: &Path, thumbprint: &str) -> Failure {
    failure.next(format!(
        "whether the key was enrolled is not known, so it is kept: if `chancery agent get {name} -o json` shows the key \
         {thumbprint}, run `mv {} {}`; if not, enrol with a new code",
        prepared.display(),
        path.display()
    ))
}

/// The server's own name for itself, which proofs and assertions are made out to.
pub async fn issuer(url: &str) -> Done<String> {
    let metadata = send(url, Request::get("/.well-known/oauth-authorization-server"), String::new()).await?;
    let issuer = metadata["issuer"].as_str().map(str::to_owned);
    issuer.ok_or_else(|| Failure::new(BAD_ANSWER, "the metadata has no `issuer`"))
}

async fn send(url: &str, request: request::Builder, body: String) -> Done<Value> {
    let authority = url.strip_prefix("http://").unwrap_or(url);
    let request = request.header(header::HOST, authority).body(Full::new(Bytes::from(body)));
    let request = request.map_err(|e| Failure::new(BAD_ANSWER, e))?;
    let (status, bytes) = crate::http::tcp(url, request).await?;
    if status.is_success() { Ok(serde_json::from_slice(&bytes)?) } else { Err(crate::http::refused(status, &bytes)) }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_key_is_kept_and_found_again() {
        let directory = std::env::temp_dir().join(format!("chancery-keys-{}", std::process::id()));
        let ring = KeyRing::new(directory.clone());
        let key = AgentKey::generate().unwrap();
        let prepared = ring.prepare("bot", &key).unwrap();
        ring.confirm("bot", &prepared).unwrap();
        assert_eq!(fs::metadata(ring.path("bot").unwrap()).unwrap().mode() & 0o777, 0o600);
        assert_eq!(ring.load("bot").unwrap().thumbprint(), key.thumbprint());
        assert!(ring.load("other").is_err());
        fs::remove_dir_all(directory).unwrap();
    }

    #[test]
    fn a_name_stays_in_the_directory() {
        let ring = KeyRing::new("/nowhere".into());
        assert!(ring.path("../bot").is_err());
        assert!(ring.path("").is_err());
    }
}
