//! What is exact, and what is refused with advice.

use chancery_model::CertificateRule;

use super::*;
use crate::tests::{ACTOR, World};

fn request(kind: TrustKind, subject: &str, claims: &[(&str, &str)]) -> TrustRequest {
    TrustRequest {
        name: "source".into(),
        kind,
        issuer: match kind {
            TrustKind::Github => None,
            TrustKind::SpiffeJwt | TrustKind::SpiffeX509 => Some("spiffe://acme.example".into()),
            _ => Some("https://issuer.example".into()),
        },
        jwks_uri: matches!(kind, TrustKind::SpiffeJwt | TrustKind::SpiffeX509)
            .then(|| "https://acme.example/bundle.json".into()),
        jwks: None,
        audience: None,
        subject: Some(subject).filter(|s| !s.is_empty()).map(str::to_owned),
        claims: claims.iter().map(|(name, value)| ((*name).to_owned(), (*value).to_owned())).collect(),
        agent: "crm".into(),
    }
}

const MAIN: &[(&str, &str)] = &[("repository", "acme/app"), ("ref", "refs/heads/main")];
const ACCOUNT: &str = "system:serviceaccount:pay:crm";

async fn add(world: &World, request: &TrustRequest) -> Result<TrustSource, RegisterError> {
    world.registrar.add_trust_source(request, ACTOR).await
}

#[tokio::test]
async fn a_registered_agent_is_active_by_a_source_and_registered_without() {
    let world = World::new().await;
    let made = world.register("crm").await.agent;
    let source = add(&world, &request(TrustKind::Kubernetes, ACCOUNT, &[])).await.unwrap();
    let now = world.registrar.agent("crm").await.unwrap();
    assert_eq!((now.state, now.epoch), (AgentState::Active, made.epoch + 1));
    assert_eq!(source.claims["kubernetes.io/serviceaccount/name"], "crm");
    assert_eq!(source.audience, "http://127.0.0.1:8420");
    world.registrar.suspend("crm", "odd", ACTOR).await.unwrap();
    let resumed = world.registrar.resume("crm", "fine", ACTOR).await.unwrap();
    assert_eq!(resumed.state, AgentState::Active, "what it logs in with is still there");
    world.registrar.remove_trust_source("source", "moved", ACTOR).await.unwrap();
    let left = world.registrar.agent("crm").await.unwrap();
    assert_eq!((left.state, left.epoch), (AgentState::Registered, resumed.epoch + 1));
    assert!(world.registrar.remove_trust_source("source", "moved", ACTOR).await.is_err());
}

#[tokio::test]
async fn an_agent_that_still_has_a_certificate_stays_active() {
    let world = World::new().await;
    world.register("crm").await;
    add(&world, &request(TrustKind::Kubernetes, ACCOUNT, &[])).await.unwrap();
    let rule = CertificateRule::Dns("crm.acme.example".into());
    let with = world.registrar.set_certificate("crm", rule, "moves", ACTOR).await.unwrap();
    world.registrar.remove_trust_source("source", "moved", ACTOR).await.unwrap();
    let left = world.registrar.agent("crm").await.unwrap();
    assert_eq!((left.state, left.epoch), (AgentState::Active, with.epoch + 1));
}

#[tokio::test]
async fn a_stopped_agent_is_not_trusted() {
    let world = World::new().await;
    world.register("crm").await;
    world.registrar.suspend("crm", "odd", ACTOR).await.unwrap();
    assert!(matches!(add(&world, &request(TrustKind::Oidc, "client-7", &[])).await, Err(RegisterError::Transition(_))));
    assert!(world.registrar.trust_sources().await.unwrap().is_empty());
}

#[tokio::test]
async fn patterns_are_refused_with_advice() {
    let world = World::new().await;
    world.register("crm").await;
    let patterns = [
        "*",
        "repo:acme/*:ref:refs/heads/main",
        "repo:acme/app:*",
        "repo:acme/app:",
        "repo:acme/",
        "^repo:.*$",
        "client-?",
        "(a|b)",
        "[a-z]",
        "a{2}",
        "a\\d",
        "a b",
        "a\u{200b}",
    ];
    for pattern in patterns {
        let refused = add(&world, &request(TrustKind::Oidc, pattern, &[])).await.unwrap_err();
        assert!(
            matches!(&refused, RegisterError::NotExact { field: "subject", why } if why.contains("write the `sub`")),
            "{refused}"
        );
    }
    let account = add(&world, &request(TrustKind::Kubernetes, "system:serviceaccount:pay:*", &[])).await.unwrap_err();
    assert!(account.to_string().contains("write `system:serviceaccount:NAMESPACE:NAME`"), "{account}");
    for claims in
        [&[("ref", "refs/heads/*"), ("repository", "acme/app")], &[("repository", "acme/"), ("ref", "refs/heads/main")]]
    {
        assert!(matches!(
            add(&world, &request(TrustKind::Github, "", claims)).await,
            Err(RegisterError::NotExact { .. })
        ));
    }
    assert!(world.registrar.trust_sources().await.unwrap().is_empty());
}

#[tokio::test]
async fn a_workflow_is_one_repository_and_one_branch_or_environment() {
    let world = World::new().await;
    world.register("crm").await;
    let bad: [&[(&str, &str)]; 7] = [
        &[],
        &[("repository", "acme/app")],
        &[("ref", "refs/heads/main")],
        &[("repository", "app"), ("ref", "refs/heads/main")],
        &[("repository", "acme/app"), ("ref", "main")],
        &[("repository", "acme/app/x"), ("ref", "refs/heads/main")],
        &[("repository", "acme/app"), ("environment", "")],
    ];
    for claims in bad {
        assert!(
            matches!(add(&world, &request(TrustKind::Github, "", claims)).await, Err(RegisterError::NotExact { .. })),
            "{claims:?}"
        );
    }
    let pull = add(&world, &request(TrustKind::Github, "repo:acme/app:pull_request", MAIN)).await.unwrap_err();
    assert!(pull.to_string().contains("runs what its author wrote"), "{pull}");
    let source = add(&world, &request(TrustKind::Github, "", MAIN)).await.unwrap();
    assert_eq!(source.subject, "repo:acme/app:ref:refs/heads/main");
    assert_eq!(source.issuer, GITHUB);
    let deploy = TrustRequest {
        name: "deploy".into(),
        ..request(TrustKind::Github, "", &[("repository", "acme/app"), ("environment", "prod")])
    };
    assert_eq!(add(&world, &deploy).await.unwrap().subject, "repo:acme/app:environment:prod");
}

#[tokio::test]
async fn issuers_are_fetched_over_https_or_their_keys_are_stated() {
    let world = World::new().await;
    world.register("crm").await;
    let with = |issuer: &str| TrustRequest { issuer: Some(issuer.into()), ..request(TrustKind::Oidc, "client-7", &[]) };
    for bad in [
        "http://issuer.example",
        "https://127.0.0.1:6443",
        "https://169.254.169.254",
        "https://issuer.example/?a",
        "issuer",
        "http://127.0.0.1:8420",
    ] {
        assert!(matches!(add(&world, &with(bad)).await, Err(RegisterError::NotExact { field: "issuer", .. })), "{bad}");
    }
    let both = TrustRequest {
        jwks: Some("{}".into()),
        jwks_uri: Some("https://a.example/k".into()),
        ..with("https://issuer.example")
    };
    assert!(add(&world, &both).await.is_err());
    let keys = TrustRequest { jwks_uri: Some("http://a.example/k".into()), ..with("https://issuer.example") };
    assert!(matches!(add(&world, &keys).await, Err(RegisterError::NotExact { field: "jwks_uri", .. })));
    let stated = TrustRequest { jwks: Some("{}".into()), ..with("https://kubernetes.default.svc.cluster.local") };
    assert!(add(&world, &stated).await.is_ok());
    let again = TrustRequest { name: "again".into(), ..stated.clone() };
    assert!(matches!(add(&world, &again).await, Err(RegisterError::TrustSourceExists(_))));
    assert!(matches!(add(&world, &stated).await, Err(RegisterError::TrustSourceExists(_))));
}

#[tokio::test]
async fn kubernetes_and_spiffe_subjects_have_their_form() {
    let world = World::new().await;
    world.register("crm").await;
    for bad in [
        "crm",
        "system:serviceaccount:pay",
        "system:serviceaccount::crm",
        "system:serviceaccount:pay:crm:x",
        "system:node:a:b",
    ] {
        assert!(add(&world, &request(TrustKind::Kubernetes, bad, &[])).await.is_err(), "{bad}");
    }
    let other = [("kubernetes.io/namespace", "other")];
    assert!(add(&world, &request(TrustKind::Kubernetes, ACCOUNT, &other)).await.is_err());
    for bad in [
        "spiffe://acme.example",
        "spiffe://other.example/a",
        "spiffe://acme.example/a//b",
        "spiffe://acme.example/../a",
        "spiffe://acme.example.evil/a",
    ] {
        assert!(add(&world, &request(TrustKind::SpiffeJwt, bad, &[])).await.is_err(), "{bad}");
    }
    assert!(add(&world, &request(TrustKind::SpiffeX509, "spiffe://acme.example/ns/pay/sa/crm", &[])).await.is_ok());
}

#[tokio::test]
async fn a_source_about_svids_names_one_workload_and_where_its_keys_are() {
    let mut world = World::new().await;
    world.register("crm").await;
    let good = || request(TrustKind::SpiffeX509, "spiffe://acme.example/ns/pay/sa/crm", &[]);
    let bad = [
        ("no keys", "jwks_uri", TrustRequest { jwks_uri: None, ..good() }),
        (
            "keys at a private address",
            "jwks_uri",
            TrustRequest { jwks_uri: Some("https://10.0.0.1/b".into()), ..good() },
        ),
        ("another audience", "audience", TrustRequest { audience: Some("chancery".into()), ..good() }),
        ("claims of a certificate", "claims", TrustRequest { claims: [("a".into(), "b".into())].into(), ..good() }),
        ("a pattern", "subject", TrustRequest { subject: Some("spiffe://acme.example/ns/pay/sa/*".into()), ..good() }),
        ("a prefix", "subject", TrustRequest { subject: Some("spiffe://acme.example/ns/pay/".into()), ..good() }),
        ("a trust domain", "subject", TrustRequest { subject: Some("spiffe://acme.example".into()), ..good() }),
        ("another domain's", "subject", TrustRequest { subject: Some("spiffe://other.example/a".into()), ..good() }),
        ("nobody", "subject", TrustRequest { subject: None, ..good() }),
    ];
    for (what, place, wanted) in bad {
        let refused = add(&world, &wanted).await.unwrap_err();
        assert!(matches!(refused, RegisterError::NotExact { field, .. } if field == place), "{what}: {refused}");
    }
    let pattern = TrustRequest { subject: Some("spiffe://acme.example/*".into()), ..good() };
    assert!(add(&world, &pattern).await.unwrap_err().to_string().contains("one source for each workload"));
    let source = add(&world, &TrustRequest { issuer: None, ..good() }).await.unwrap();
    assert_eq!((source.issuer.as_str(), source.audience.as_str()), ("spiffe://acme.example", "http://127.0.0.1:8420"));

    world.registrar.config.trust_domain = Some("spiffe://own.example".into());
    let own = |subject: &str| TrustRequest {
        name: "own".into(),
        issuer: None,
        jwks_uri: None,
        ..request(TrustKind::SpiffeJwt, subject, &[])
    };
    for other in ["spiffe://own.example/agent/billing", "spiffe://own.example/crm", "spiffe://own.example/agent"] {
        let refused = add(&world, &own(other)).await.unwrap_err();
        assert!(refused.to_string().contains("`spiffe://own.example/agent/crm`"), "{other}: {refused}");
    }
    let stated = TrustRequest { jwks: Some("{}".into()), ..own("spiffe://own.example/agent/crm") };
    assert!(add(&world, &stated).await.is_err(), "our own keys are not stated");
    assert!(add(&world, &own("spiffe://own.example/agent/crm")).await.is_ok());
}
