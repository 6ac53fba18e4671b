//! Approvals for other enforcers: the access request and approval profile of AuthZEN (Draft 1).

use chancery_model::Span;
use chancery_testkit::{Agent, Answer};
use serde_json::{Value, json};

use super::world::World;

/// Something else that is asked for.
const FURTHER: &str = r#"
@id("own-refund") @approval("confirm")
forbid (principal, action == Action::"s/refund", resource)
when { context.args.amount > 4000 && context.args.amount <= 5000 }
unless { context.approval.granted };
"#;

/// Another enforcer beside the company's server.
struct Enforced {
    world: World,
    enforcer: Agent,
}

impl Enforced {
    async fn start() -> Self {
        let world = World::start().await;
        let enforcer = world.app.service_account("payments").await;
        Self { world, enforcer }
    }

    async fn evaluate(&self, question: &Value) -> Value {
        self.enforcer.ask("evaluation", question).await.ok()
    }

    /// The question with the approval of a task, as the enforcer carries it out.
    async fn carry_out(&self, question: &Value, approval: &Value) -> Value {
        let mut question = question.clone();
        question["context"]["approval"] = approval.clone();
        self.evaluate(&question).await
    }

    async fn submit(&self, question: &Value, denial: &Value) -> Answer {
        let mut sent = question.clone();
        sent["denial"] = json!({
            "evaluation_id": denial["context"]["evaluation_id"],
            "expires_at": denial["context"]["access_request"]["expires_at"],
        });
        sent["context"]["business_justification"] = "the customer <b>insists</b>".into();
        self.enforcer.ask("requests", &sent).await
    }

    /// The denial of a refund, brought before people: the task.
    async fn asked(&self, amount: i64) -> Value {
        let denial = self.evaluate(&refund(amount)).await;
        let answer = self.submit(&refund(amount), &denial).await;
        assert_eq!(answer.status, 202, "{}", answer.text());
        answer.json()["task"].clone()
    }

    async fn task(&self, id: &str) -> Answer {
        get(&self.enforcer, id).await
    }
}

async fn get(enforcer: &Agent, id: &str) -> Answer {
    let resource = enforcer.mcp("").replace("/mcp/", "/access/v1");
    enforcer.send(&resource, &format!("/requests/{id}"), "GET", &[], b"").await
}

fn refund(amount: i64) -> Value {
    json!({
        "subject": {"type": "Agent", "id": "helper"},
        "action": {"name": "s/refund"},
        "resource": {"type": "Tool", "id": "s/refund"},
        "context": {"args": {"order": "o-1", "amount": amount}, "session": {"age_seconds": 1}},
    })
}

fn kind(answer: &Answer, status: u16) -> String {
    assert_eq!(answer.status, status, "{}", answer.text());
    assert_eq!(answer.header("content-type"), "application/problem+json");
    let kind = answer.json()["type"].as_str().unwrap().to_owned();
    kind.strip_prefix("urn:openid:authzen:access-request:error:").unwrap_or(&kind).to_owned()
}

fn answered(answer: &Value) -> (bool, &str, &str) {
    let text = |name: &str| answer["context"][name].as_str().unwrap_or_default();
    (answer["decision"] == true, text("reason"), text("next_action"))
}

#[tokio::test]
async fn another_enforcer_lets_people_approve_and_carries_out_once() {
    let it = Enforced::start().await;
    let metadata = it.world.app.http().get(&it.world.app.at("/.well-known/authzen-configuration")).await.ok();
    assert_eq!(metadata["access_request_endpoint"], it.world.app.at("/access/v1/requests"));
    assert_eq!(metadata["capabilities"], json!(["urn:openid:authzen:capability:access-request"]));

    assert_eq!(it.evaluate(&refund(200)).await["decision"], true, "small ones need nobody");
    let denial = it.evaluate(&refund(340)).await;
    assert_eq!(answered(&denial), (false, "approval_required", ""), "{denial}");
    assert_eq!(denial["context"]["evaluation_id"], denial["context"]["id"]);
    let sent = it.submit(&refund(340), &denial).await;
    assert_eq!((sent.status.as_u16(), sent.header("retry-after")), (202, "5".to_owned()), "{}", sent.text());
    let task = sent.json()["task"].clone();
    let id = task["id"].as_str().unwrap().to_owned();
    assert_eq!(
        (&task["status"], task["status_endpoint"].as_str()),
        (&json!("pending"), Some(sent.header("location").as_str()))
    );
    assert_eq!(it.submit(&refund(340), &denial).await.json()["task"]["id"], id, "the same question is the same task");

    // The same noun and the same page as the gateway's.
    let pending = it.world.pending().await;
    assert_eq!(pending.len(), 1);
    let asked = (&pending[0]["agent"], &pending[0]["enforcer"], &pending[0]["reason"]);
    assert_eq!(asked, (&json!("helper"), &json!("payments"), &json!("the customer <b>insists</b>")));
    let page = it.world.browser("fin").await.get(&format!("/approvals/{id}")).await.text();
    for shown in ["helper", "s/refund on Tool s/refund", "payments", "context.args.amount", "340", "&lt;b&gt;insists"] {
        assert!(page.contains(shown), "{shown}: {page}");
    }
    assert_eq!(it.world.say("fin", &id, "approve").await.status, 200);

    let done = it.task(&id).await.ok();
    assert_eq!(
        (&done["task"]["status"], &done["result"]["mode"]),
        (&json!("approved"), &json!("reevaluate")),
        "{done}"
    );
    let approval = &done["result"]["approval"];
    assert_eq!(it.evaluate(&refund(340)).await["decision"], false, "an approval that is not named does nothing");
    let other = it.carry_out(&refund(341), approval).await;
    assert_eq!(answered(&other), (false, "out_of_scope", "request"), "{other}");
    let mut several = json!({ "evaluations": [refund(340)] });
    several["evaluations"][0]["context"]["approval"] = approval.clone();
    let several = it.enforcer.ask("evaluations", &several).await.ok();
    assert_eq!(several["evaluations"][0]["decision"], false, "finding out what could be done uses nothing up");

    let yes = it.carry_out(&refund(340), approval).await;
    assert_eq!((&yes["decision"], &yes["context"]["approval"]["id"]), (&json!(true), &json!(id)), "{yes}");
    let again = it.carry_out(&refund(340), approval).await;
    assert_eq!(answered(&again), (false, "approval_expired", "request"), "once: {again}");
    let used = it.world.app.admin("GET", &format!("/v1/approvals/{id}"), Value::Null).await.ok();
    assert_eq!(used["state"], "used");
    let entry = yes["context"]["id"].as_str().unwrap();
    let why = it.world.app.admin("GET", &format!("/v1/decisions/{entry}"), Value::Null).await.ok();
    assert_eq!(
        (&why["outcome"], &why["approval"], &why["enforcer"]),
        (&json!("allowed"), &json!(id), &json!("payments"))
    );
}

#[tokio::test]
async fn many_that_carry_out_at_once_carry_out_once() {
    let it = Enforced::start().await;
    let id = it.asked(340).await["id"].as_str().unwrap().to_owned();
    assert_eq!(it.world.say("fin", &id, "approve").await.status, 200);
    let approval = it.task(&id).await.ok()["result"]["approval"].clone();
    let mut question = refund(340);
    question["context"]["approval"] = approval;
    let asked = (0..16).map(|_| {
        let (enforcer, question) = (it.enforcer.clone(), question.clone());
        tokio::spawn(async move { enforcer.ask("evaluation", &question).await.ok()["decision"] == true })
    });
    let mut allowed = 0;
    for answer in asked.collect::<Vec<_>>() {
        allowed += usize::from(answer.await.unwrap());
    }
    assert_eq!(allowed, 1);
}

#[tokio::test]
async fn nobody_is_asked_about_what_would_be_refused_anyway_here_either() {
    let it = Enforced::start().await;
    let denied = it.evaluate(&refund(5001)).await;
    assert!(denied["decision"] == false && denied["context"]["access_request"].is_null(), "{denied}");
    assert_eq!(kind(&it.submit(&refund(5001), &with_id(&denied)).await, 400), "not_requestable");
    let allowed = it.evaluate(&refund(1)).await;
    assert_eq!(kind(&it.submit(&refund(1), &with_id(&allowed)).await, 400), "not_requestable");

    // It was requestable when it was denied, and is refused by now.
    let denial = it.evaluate(&refund(340)).await;
    let contained = json!({"scope": "agent", "subject": "helper", "reason": "test"});
    assert_eq!(it.world.app.admin("POST", "/v1/containments", contained).await.status, 200);
    assert_eq!(kind(&it.submit(&refund(340), &denial).await, 400), "not_requestable");
    assert!(it.world.pending().await.is_empty());
}

/// An answer that cannot be brought, with what an enforcer would need to bring it.
fn with_id(answer: &Value) -> Value {
    json!({"context": {"evaluation_id": answer["context"]["id"], "access_request": {"expires_at": "2099-01-01T00:00:00Z"}}})
}

#[tokio::test]
async fn a_denial_is_brought_as_it_was_by_whoever_got_it_and_in_time() {
    let it = Enforced::start().await;
    let denial = it.evaluate(&refund(340)).await;
    assert_eq!(kind(&it.submit(&refund(341), &denial).await, 400), "invalid_denial_binding", "another amount");
    let mut sent = refund(340);
    sent["subject"]["id"] = "stranger".into();
    assert_eq!(kind(&it.submit(&sent, &denial).await, 400), "invalid_denial_binding", "another subject");
    let mut sent = refund(340);
    sent["context"].as_object_mut().unwrap().remove("session");
    assert_eq!(kind(&it.submit(&sent, &denial).await, 400), "invalid_denial_binding", "less context");
    let unknown = json!({"context": {"evaluation_id": "d-zzzzzz"}});
    assert_eq!(kind(&it.submit(&refund(340), &unknown).await, 400), "invalid_denial_binding");
    let mut forged = refund(340);
    forged["denial"] = json!({"evaluation_id": denial["context"]["id"], "binding_token": "x.y.z"});
    assert_eq!(kind(&it.enforcer.ask("requests", &forged).await, 400), "invalid_denial_binding");

    let other = Enforced { enforcer: it.world.app.service_account("other").await, world: it.world };
    assert_eq!(kind(&other.submit(&refund(340), &denial).await, 400), "invalid_denial_binding", "another enforcer's");
    let agent = other.world.app.agent("assistant").await;
    assert_eq!(agent.ask("requests", &refund(340)).await.problem(403), "C2001", "only enforcers ask");
    let it = Enforced { enforcer: it.enforcer, world: other.world };
    it.world.app.clock().advance(Span::minutes(10));
    assert_eq!(kind(&it.submit(&refund(340), &denial).await, 410), "expired_denial");
    assert!(it.world.pending().await.is_empty());
}

#[tokio::test]
async fn a_task_is_its_enforcers() {
    let it = Enforced::start().await;
    let id = it.asked(340).await["id"].as_str().unwrap().to_owned();
    let other = it.world.app.service_account("other").await;
    assert_eq!(kind(&get(&other, &id).await, 404), "unknown_task");
    assert_eq!(kind(&it.task("apr_nothing").await, 404), "unknown_task");
    assert_eq!(it.world.say("fin", &id, "approve").await.status, 200);
    let approval = it.task(&id).await.ok()["result"]["approval"].clone();
    let mut question = refund(340);
    question["context"]["approval"] = approval.clone();
    let stolen = other.ask("evaluation", &question).await.ok();
    assert_eq!(answered(&stolen), (false, "approval_unverifiable", "none"), "{stolen}");
    // What the gateway's people approved is no enforcer's, and the other way round.
    let client = it.world.client().await;
    assert!(!super::world::ran(&client.refund(340).await));

    it.world.app.clock().advance(Span::seconds(121));
    assert_eq!(kind(&it.task(&id).await, 410), "task_expired");
    let late = it.carry_out(&refund(340), &approval).await;
    assert_eq!(answered(&late), (false, "approval_expired", "request"), "{late}");
}

#[tokio::test]
async fn a_task_can_be_taken_back_until_somebody_decided_it() {
    let it = Enforced::start().await;
    let id = it.asked(340).await["id"].as_str().unwrap().to_owned();
    let taken = it.enforcer.ask(&format!("requests/{id}/cancel"), &json!({})).await.ok();
    assert_eq!(taken["task"]["status"], "cancelled");
    assert!(it.world.pending().await.is_empty());
    let again = it.enforcer.ask(&format!("requests/{id}/cancel"), &json!({})).await;
    assert_eq!(kind(&again, 409), "invalid_task_state");

    let id = it.asked(350).await["id"].as_str().unwrap().to_owned();
    assert_eq!(it.world.say("fin", &id, "deny").await.status, 200);
    assert_eq!(it.task(&id).await.ok()["task"]["status"], "denied");
    let denied = it.carry_out(&refund(350), &json!({"id": id})).await;
    assert_eq!(answered(&denied).1, "approval_unverifiable", "{denied}");
}

#[tokio::test]
async fn new_policies_void_what_was_approved_for_another_enforcer() {
    let it = Enforced::start().await;
    let id = it.asked(340).await["id"].as_str().unwrap().to_owned();
    assert_eq!(it.world.say("fin", &id, "approve").await.status, 200);
    let approval = it.task(&id).await.ok()["result"]["approval"].clone();
    it.world.app.write_policy("more.cedar", FURTHER);
    it.world.app.admin("POST", "/v1/policies/reload", json!({})).await.ok();
    let voided = it.carry_out(&refund(340), &approval).await;
    assert_eq!(answered(&voided), (false, "approval_expired", "request"), "{voided}");
    assert!(voided["context"]["access_request"].is_object(), "it can be asked for anew");
}

#[tokio::test]
async fn what_nobody_could_confirm_is_not_requestable() {
    let schema = "entity user; entity document; action read, print appliesTo { principal: user, resource: document };";
    let policies = r#"
@id("read") @outcome("require_approval") @approval("confirm") permit (principal, action == Action::"read", resource);
@id("print") @outcome("require_approval") permit (principal, action == Action::"print", resource);
"#;
    let builder = chancery_testkit::TestApp::builder().without_policies();
    let app = builder.policy("schema.cedarschema", schema).policy("p.cedar", policies).start().await;
    let enforcer = app.service_account("library").await;
    let asked = |action: &str| json!({"subject": {"type": "user", "id": "u1"}, "action": {"name": action}, "resource": {"type": "document", "id": "d"}});
    let printing = enforcer.ask("evaluation", &asked("print")).await.ok();
    assert!(printing["context"]["access_request"].is_object(), "{printing}");
    let reading = enforcer.ask("evaluation", &asked("read")).await.ok();
    assert_eq!(answered(&reading), (false, "", ""), "it is done in the name of no person: {reading}");
}
