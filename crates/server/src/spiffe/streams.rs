//! Answers without an end: a message at once, and another whenever it would say something else.

use std::collections::HashMap;
use std::time::Duration;

use chancery_authenticate::spiffe::{Bundle, Workload};
use futures_util::future::BoxFuture;
use futures_util::stream::{self, Stream};
use tokio_util::sync::CancellationToken;
use tonic::Status;

use super::attest::{Workloads, status};
use super::messages::{JwtBundlesResponse, X509BundlesResponse, X509Svid, X509SvidResponse};

/// Between two looks. It bounds how long a stopped agent still has its stream, so that it is well below a second.
const LOOK: Duration = Duration::from_millis(250);

/// One stream of one workload.
pub(super) struct Feed {
    pub(super) workloads: Workloads,
    pub(super) workload: Workload,
    pub(super) closing: CancellationToken,
}

/// What the stream says at this moment.
pub(super) type Say<M> = fn(&Feed) -> BoxFuture<'_, Result<M, Status>>;

/// Says it, and says it again whenever it changed. The first refusal is the end.
pub(super) fn follow<M>(feed: Feed, say: Say<M>) -> impl Stream<Item = Result<M, Status>> + Send + 'static
where
    M: Clone + PartialEq + Send + Sync + 'static,
{
    stream::unfold(Some((feed, None::<M>)), move |state| async move {
        let (feed, last) = state?;
        match next(&feed, say, last.as_ref()).await {
            Ok(said) => Some((Ok(said.clone()), Some((feed, Some(said))))),
            Err(end) => Some((Err(end), None)),
        }
    })
}

async fn next<M: PartialEq + Sync>(feed: &Feed, say: Say<M>, last: Option<&M>) -> Result<M, Status> {
    loop {
        let said = say(feed).await?;
        if last != Some(&said) {
            return Ok(said);
        }
        tokio::select! {
            () = tokio::time::sleep(LOOK) => {}
            () = feed.closing.cancelled() => return Err(Status::unavailable("the server stops")),
        }
    }
}

/// `FetchX509SVID` (section 5.2.1). The SVID is another one after half of its life.
pub(super) fn x509_svids(feed: &Feed) -> BoxFuture<'_, Result<X509SvidResponse, Status>> {
    Box::pin(async move {
        let domain = &feed.workloads.domain;
        let svid = domain.x509_svid(&feed.workload).await.map_err(status)?;
        let bundle = domain.bundle().await.map_err(status)?;
        let svid = X509Svid {
            spiffe_id: svid.id.to_string(),
            x509_svid: svid.certificate.clone(),
            x509_svid_key: svid.key.to_vec(),
            bundle: bundle.roots().concat(),
            hint: String::new(),
        };
        Ok(X509SvidResponse { svids: vec![svid], crl: Vec::new(), federated_bundles: HashMap::new() })
    })
}

/// `FetchX509Bundles` (section 5.2.2).
pub(super) fn x509_bundles(feed: &Feed) -> BoxFuture<'_, Result<X509BundlesResponse, Status>> {
    Box::pin(async move {
        let bundle = bundle(feed).await?;
        let bundles = HashMap::from([(bundle.domain().id().to_string(), bundle.roots().concat())]);
        Ok(X509BundlesResponse { crl: Vec::new(), bundles })
    })
}

/// `FetchJWTBundles` (section 6.2.2).
pub(super) fn jwt_bundles(feed: &Feed) -> BoxFuture<'_, Result<JwtBundlesResponse, Status>> {
    Box::pin(async move {
        let bundle = bundle(feed).await?;
        let set = bundle.jwt_set().to_string().into_bytes();
        Ok(JwtBundlesResponse { bundles: HashMap::from([(bundle.domain().id().to_string(), set)]) })
    })
}

/// The bundle, for who may have an SVID of it.
async fn bundle(feed: &Feed) -> Result<Bundle, Status> {
    let domain = &feed.workloads.domain;
    domain.admits(&feed.workload).map_err(status)?;
    domain.bundle().await.map_err(status)
}
