//! Clients known by their certificates (RFC 8705), with a client of other people: openid-client's `TlsClientAuth`.

use serde_json::{Value, json};

use super::tls::{Authority, House, Identity, claims};
use crate::gateway::peers::{command, directory, node, output};

fn pem(identity: &Identity) -> Value {
    json!({"cert": identity.certificate.pem(), "key": identity.key.serialize_pem()})
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn openid_client_shows_its_certificate_and_no_other_will_do() {
    let Some(peers) = directory("openid-client with certificates") else { return };
    let ours = Authority::new();
    let house = House::open(&[&ours]).await;
    let app = &house.app;
    app.register("invoices", "agent").await;
    app.grant("invoices", "crm").await;
    let (own, named) = (Identity::new("billing"), ours.client("invoices.acme.example"));
    app.admin("PUT", "/v1/agents/billing/certificate", json!({"pem": own.certificate.pem()})).await.ok();
    app.admin("PUT", "/v1/agents/invoices/certificate", json!({"dns": "invoices.acme.example"})).await.ok();

    for (agent, own, other) in
        [("billing", &own, Identity::new("billing")), ("invoices", &named, ours.client("other.acme.example"))]
    {
        let given = json!({
            "issuer": app.url(), "door": format!("https://{}", house.authority()), "ca": house.server.certificate.pem(),
            "client_id": agent, "resource": app.at("/mcp/crm"), "own": pem(own), "other": pem(&other),
        });
        let mut command = command(&node(&peers), &peers, &["mtls.mjs"]);
        command.env("GIVEN", given.to_string());
        let output = output(command).await;
        let text = String::from_utf8_lossy(&output.stdout).into_owned();
        let said: Value = serde_json::from_str(text.trim()).unwrap_or_else(|e| panic!("{agent}: {e}: {text}"));
        assert_eq!(said["token_endpoint"], format!("https://{}/oauth/token", house.authority()), "the alias is used");
        let token = said["access_token"].as_str().unwrap();
        assert_eq!(claims(token)["cnf"], json!({"x5t#S256": own.thumbprint()}), "{agent}");
        assert_eq!(said["introspected"], json!({"active": true, "cnf": {"x5t#S256": own.thumbprint()}}), "{agent}");
        assert_eq!(
            (&said["call"], &said["call_by_other"], &said["call_by_nobody"]),
            (&json!(200), &json!(401), &json!(401))
        );
        assert_eq!((&said["other"], &said["nobody"]), (&json!("invalid_client"), &json!("invalid_client")), "{agent}");
        assert_eq!((&said["revoked"], &said["call_after"]), (&json!(false), &json!(401)), "{agent}: {said:#}");
    }
}
