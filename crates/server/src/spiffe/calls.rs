//! The calls of the SPIFFE Workload API, on HTTP/2 as gRPC has them.

use chancery_authenticate::spiffe::Workload;
use http::{Request, Response};
use hyper::body::Incoming;
use prost::Message;
use prost_types::value::Kind;
use prost_types::{ListValue, Struct};
use serde_json::{Map, Value};
use tokio_util::sync::CancellationToken;
use tonic::Status;
use tonic::body::Body;
use tonic::server::Grpc;
use tonic_prost::ProstCodec;
use tower::service_fn;

use super::attest::{Workloads, status};
use super::messages::{JwtSvid, JwtSvidRequest, JwtSvidResponse, Nothing, ValidateRequest, ValidateResponse};
use super::streams::{Feed, Say, follow, jwt_bundles, x509_bundles, x509_svids};

/// The longest message of a request, in bytes.
const MESSAGE: usize = 64 * 1024;
/// The mandatory header (SPIFFE Workload Endpoint, section 4.2.1): no browser can be tricked into sending it.
const MARK: &str = "workload.spiffe.io";

/// Answers one call of whoever runs under this user id.
pub(super) async fn answer(
    request: Request<Incoming>,
    uid: u32,
    workloads: Workloads,
    closing: CancellationToken,
) -> Response<Body> {
    if request.headers().get(MARK).is_none_or(|mark| mark != "true") {
        return Status::invalid_argument(format!("the metadata `{MARK}: true` is missing")).into_http();
    }
    let workload = match workloads.of(uid) {
        Ok(workload) => workload,
        Err(denied) => return denied.into_http(),
    };
    match request.uri().path() {
        "/SpiffeWorkloadAPI/FetchX509SVID" => {
            streamed(request, Feed { workloads, workload, closing }, x509_svids).await
        }
        "/SpiffeWorkloadAPI/FetchX509Bundles" => {
            streamed(request, Feed { workloads, workload, closing }, x509_bundles).await
        }
        "/SpiffeWorkloadAPI/FetchJWTBundles" => {
            streamed(request, Feed { workloads, workload, closing }, jwt_bundles).await
        }
        "/SpiffeWorkloadAPI/FetchJWTSVID" => {
            single(request, move |wanted| jwt_svid(workloads.clone(), workload.clone(), wanted)).await
        }
        "/SpiffeWorkloadAPI/ValidateJWTSVID" => {
            single(request, move |wanted| validate(workloads.clone(), workload.clone(), wanted)).await
        }
        _ => Status::unimplemented("the SPIFFE Workload API has no such call").into_http(),
    }
}

/// A call with one answer.
async fn single<Q, A, F>(request: Request<Incoming>, mut call: impl FnMut(Q) -> F) -> Response<Body>
where
    Q: Message + Default + Send + 'static,
    A: Message + Send + 'static,
    F: Future<Output = Result<A, Status>>,
{
    let service = service_fn(move |asked: tonic::Request<Q>| {
        let answer = call(asked.into_inner());
        async move { answer.await.map(tonic::Response::new) }
    });
    Grpc::new(ProstCodec::<A, Q>::default()).max_decoding_message_size(MESSAGE).unary(service, request).await
}

/// A call whose answers go on.
async fn streamed<M>(request: Request<Incoming>, feed: Feed, say: Say<M>) -> Response<Body>
where
    M: Message + Clone + PartialEq + Send + Sync + 'static,
{
    let mut feed = Some(feed);
    let service = service_fn(move |_: tonic::Request<Nothing>| {
        let feed = feed.take().ok_or_else(|| Status::internal("a call is answered once"));
        async move { feed.map(|feed| tonic::Response::new(follow(feed, say))) }
    });
    let mut grpc = Grpc::new(ProstCodec::<M, Nothing>::default()).max_decoding_message_size(MESSAGE);
    grpc.server_streaming(service, request).await
}

/// `FetchJWTSVID` (section 6.2.1). A workload has one SPIFFE ID; asking for another is asking for somebody else's.
async fn jwt_svid(workloads: Workloads, workload: Workload, wanted: JwtSvidRequest) -> Result<JwtSvidResponse, Status> {
    let domain = &workloads.domain;
    let own = domain.admits(&workload).map_err(status)?;
    if !wanted.spiffe_id.is_empty() && wanted.spiffe_id != own.as_str() {
        return Err(Status::permission_denied(format!("this workload is `{own}`, and nobody else")));
    }
    let issued = domain.jwt_svid(&workload, &wanted.audience).await.map_err(status)?;
    let svid =
        JwtSvid { spiffe_id: issued.id.to_string(), svid: issued.token.expose().to_owned(), hint: String::new() };
    Ok(JwtSvidResponse { svids: vec![svid] })
}

/// `ValidateJWTSVID` (section 6.2.3).
async fn validate(
    workloads: Workloads,
    workload: Workload,
    wanted: ValidateRequest,
) -> Result<ValidateResponse, Status> {
    workloads.domain.admits(&workload).map_err(status)?;
    let svid = workloads.domain.validate(&wanted.svid, &wanted.audience).await;
    let svid = svid.map_err(|refused| Status::invalid_argument(format!("the JWT-SVID is refused: {refused}")))?;
    Ok(ValidateResponse { spiffe_id: svid.id.to_string(), claims: Some(object(svid.claims)) })
}

/// JSON as protobuf has it (`google.protobuf.Struct`).
fn object(members: Map<String, Value>) -> Struct {
    Struct { fields: members.into_iter().map(|(name, member)| (name, value(member))).collect() }
}

fn value(json: Value) -> prost_types::Value {
    let kind = match json {
        Value::Null => Kind::NullValue(0),
        Value::Bool(truth) => Kind::BoolValue(truth),
        Value::Number(number) => Kind::NumberValue(number.as_f64().unwrap_or_default()),
        Value::String(text) => Kind::StringValue(text),
        Value::Array(items) => Kind::ListValue(ListValue { values: items.into_iter().map(value).collect() }),
        Value::Object(members) => Kind::StructValue(object(members)),
    };
    prost_types::Value { kind: Some(kind) }
}
