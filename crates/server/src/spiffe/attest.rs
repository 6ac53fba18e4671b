//! Which local process is which agent: by the user id at the other end of the socket, as the configuration maps it.

use std::collections::HashMap;
use std::sync::Arc;

use chancery_authenticate::spiffe::{Domain, DomainError, Workload};
use tonic::{Code, Status};

/// The workloads of this machine by their user ids, and the trust domain that names them.
#[derive(Clone, Debug)]
pub(crate) struct Workloads {
    pub(super) domain: Arc<Domain>,
    by_uid: Arc<HashMap<u32, Workload>>,
}

impl Workloads {
    pub(crate) fn new(domain: Arc<Domain>, mapped: &[crate::Workload]) -> Self {
        let workload = |mapped: &crate::Workload| {
            let attested = format!("uid:{}", mapped.uid);
            (mapped.uid, Workload { agent: mapped.agent.clone(), instance: mapped.instance.clone(), attested })
        };
        Self { domain, by_uid: Arc::new(mapped.iter().map(workload).collect()) }
    }

    /// The workload that runs under this user id. Section 6 of the Workload API: whoever has no identity is denied,
    /// the bundles included.
    pub(super) fn of(&self, uid: u32) -> Result<Workload, Status> {
        let unknown = || {
            Status::permission_denied(format!(
                "no identity issued: user id {uid} is no workload of `{}`",
                self.domain.name()
            ))
        };
        self.by_uid.get(&uid).cloned().ok_or_else(unknown)
    }
}

/// What a refusal is in gRPC. Clients know the words `no identity issued` and come again later.
pub(super) fn status(error: DomainError) -> Status {
    let code = match error {
        DomainError::Stopped { .. } => return Status::permission_denied(format!("no identity issued: {error}")),
        DomainError::Audiences => Code::InvalidArgument,
        DomainError::Keys(_) => Code::Unavailable,
        DomainError::Id(_) | DomainError::Bundle(_) => Code::Internal,
    };
    Status::new(code, error.to_string())
}
