//! Who may what, when, and what a verdict carries.

use std::sync::Arc;

use chancery_model::{AgentState, Blueprint, BlueprintState, GrantMode, Outcome, Span};
use serde_json::{Value, json};

use super::{CALL, NOW, agent, build, by, engine, grant, refund};
use crate::{Acting, Engine, From, Link, ServerAct, ToolCall};

fn args() -> Value {
    json!({"order": "o-1", "amount": 120})
}

#[test]
fn a_grant_permits_while_it_is_in_force() {
    let engine = engine(CALL);
    let mut given = grant(1, "tools-call", "Agent::\"crm\"", "Tool::\"billing/refund\"");
    assert!(!refund(&engine, &args()).allows());
    engine.grant_changed(&given).unwrap();
    let verdict = refund(&engine, &args());
    let by_grant = verdict.decision.determining[0].grant.as_deref();
    assert_eq!((verdict.decision.outcome, by_grant), (Outcome::Allow, Some(given.id.as_str())));
    let permit = verdict.permit.unwrap();
    assert_eq!(
        (&**permit.agent(), &**permit.server(), permit.tool().map(|t| &**t)),
        ("crm", "billing", Some("refund"))
    );
    assert_eq!((permit.args_digest(), permit.policy_version()), (&[9; 32], &engine.version()));
    given.expires_at = Some(NOW);
    engine.grant_changed(&given).unwrap();
    assert!(!refund(&engine, &args()).allows());
    given.expires_at = Some(NOW + Span::seconds(1));
    engine.grant_changed(&given).unwrap();
    assert!(refund(&engine, &args()).allows());
    given.revoked_at = Some(NOW + Span::days(1));
    engine.grant_changed(&given).unwrap();
    assert!(!refund(&engine, &args()).allows(), "revoked is revoked, whatever the clock says");
    assert_eq!(engine.grants(), 0);
}

#[test]
fn a_right_to_act_for_people_is_none_to_act_alone_and_the_other_way_round() {
    let engine = engine(CALL);
    engine.grant_changed(&grant(2, "tools-call", "Human::\"mia\"", "Server::\"billing\"")).unwrap();
    let mut given = grant(1, "tools-call", "Agent::\"crm\"", "Server::\"billing\"");
    for (mode, alone, for_mia) in [(GrantMode::OnBehalfOf, false, true), (GrantMode::Autonomous, true, false)] {
        given.mode = mode;
        engine.grant_changed(&given).unwrap();
        let by_mia = as_one(&engine, Acting { human: Some("mia"), ..by("crm") });
        assert_eq!((refund(&engine, &args()).allows(), by_mia.allows()), (alone, for_mia), "{mode:?}");
    }
}

/// The same of a right to let others act: which of the two counts is told by the root of the chain.
#[test]
fn a_right_to_hand_over_for_people_is_none_to_hand_over_what_is_ones_own() {
    const HAND_OVER: &str =
        r#"@id("delegate") permit (principal in ?principal, action == Action::"delegate", resource in ?resource);"#;
    let engine = engine(HAND_OVER);
    engine.agent_changed(&agent("desk"));
    let mut given = grant(1, "delegate", "Agent::\"crm\"", "Agent::\"desk\"");
    let may = |human| {
        let link = Link { from: From::Agent("crm"), to: "desk", depth: 2, human };
        engine.may_delegate(&link, NOW).allows()
    };
    for (mode, alone, for_somebody) in [(GrantMode::OnBehalfOf, false, true), (GrantMode::Autonomous, true, false)] {
        given.mode = mode;
        engine.grant_changed(&given).unwrap();
        assert_eq!((may(false), may(true)), (alone, for_somebody), "{mode:?}");
    }
}

/// An enforcer of its own is answered as the gateway is: for the agent and for the person.
#[test]
fn whoever_asks_by_authzen_is_told_what_the_agent_and_the_person_may_both() {
    let engine = engine(CALL);
    let asked = |human: Option<&str>| {
        let human = human.map(|human| json!({"type": "Human", "id": human}));
        let context = json!({"session": {"age_seconds": 1}, "args": {}, "human": human});
        let mut asked = json!({
            "subject": {"type": "Agent", "id": "crm"}, "action": {"name": "billing/list"},
            "resource": {"type": "Tool", "id": "billing/list"}, "context": context,
        });
        if human.is_none() {
            asked["context"].as_object_mut().unwrap().remove("human");
        }
        serde_json::from_value::<crate::Evaluation>(asked).unwrap()
    };
    let ask = |human: Option<&str>| {
        let verdict = engine.evaluate(&asked(human), NOW);
        (verdict.allows(), verdict.decision.part.as_deref().map(str::to_owned))
    };
    let mut given = grant(1, "tools-call", "Agent::\"crm\"", "Server::\"billing\"");
    engine.grant_changed(&given).unwrap();
    assert_eq!((ask(None).0, ask(Some("mia")).0), (true, false), "its own right is not one to act for people");
    given.mode = GrantMode::OnBehalfOf;
    engine.grant_changed(&given).unwrap();
    assert_eq!(ask(Some("mia")), (false, Some("person `mia`".to_owned())));
    let misses = engine.explain(&crate::Asked::Evaluation(asked(Some("mia"))), NOW);
    assert!(
        !misses.is_empty() && misses.iter().all(|miss| miss.part.as_deref() == Some("person `mia`")),
        "{misses:#?}"
    );
    engine.grant_changed(&grant(2, "tools-call", "Human::\"mia\"", "Server::\"billing\"")).unwrap();
    assert_eq!(ask(Some("mia")), (true, None));
    assert!(!ask(Some("bob")).0 && !ask(None).0);
    assert!(engine.explain(&crate::Asked::Evaluation(asked(Some("mia"))), NOW).is_empty());
}

/// The call of a refund by somebody.
fn as_one(engine: &Engine, by: Acting<'_>) -> crate::Verdict {
    let args = args();
    let call = ToolCall { by, server: "billing", tool: "refund", definition: None, args: &args, args_digest: [0; 32] };
    engine.tool_call(&call, NOW)
}

/// The right of a chain is what the person, every agent of it and the task have in common, and the answer says who
/// has it not.
#[test]
fn everybody_of_a_chain_must_have_the_right() {
    use chancery_model::Limit;
    let engine = engine(CALL);
    engine.agent_changed(&agent("desk"));
    let limits = |text: &str| vec![Arc::<[Limit]>::from(Limit::read(text).unwrap())];
    let (wide, narrow) = (
        limits(r#"[{"type": "mcp_tool", "server": "billing"}]"#),
        limits(r#"[{"type": "mcp_tool", "server": "billing", "constraints": {"amount": {"max": 100}}}]"#),
    );
    let chain = Acting { human: Some("mia"), ancestors: &["desk"], limits: &wide, ..by("crm") };
    let of = |number: usize, principal: &str| {
        let mut given = grant(number, "tools-call", principal, "Server::\"billing\"");
        given.mode = GrantMode::OnBehalfOf;
        given
    };
    let ask = |by: Acting<'_>| {
        let verdict = as_one(&engine, by);
        let part = verdict.decision.part.as_deref().map(str::to_owned);
        assert_eq!(part.is_none(), verdict.allows());
        assert!(part.as_ref().is_none_or(|part| verdict.why.starts_with(part.as_str())), "{}", verdict.why);
        (part, verdict)
    };
    assert_eq!(ask(chain).0.as_deref(), Some("agent `crm`"), "nobody has it: the agent that acts is named first");
    engine.grant_changed(&of(1, "Agent::\"crm\"")).unwrap();
    assert_eq!(ask(chain).0.as_deref(), Some("agent `desk`"));
    engine.grant_changed(&of(2, "Agent::\"desk\"")).unwrap();
    assert_eq!(ask(chain).0.as_deref(), Some("person `mia`"));
    let lists = |by: Acting<'_>| engine.lists(by, "billing", "refund", NOW);
    assert!(!lists(chain), "what one of them may not do is not listed");
    engine.grant_changed(&grant(3, "tools-call", "Human::\"mia\"", "Server::\"billing\"")).unwrap();
    let (part, verdict) = ask(chain);
    assert!(part.is_none() && lists(chain));
    let grants: Vec<_> = verdict.decision.determining.iter().filter_map(|d| d.grant.as_deref()).collect();
    assert_eq!(grants.len(), 3, "all three determined it: {grants:?}");
    let (part, verdict) = ask(Acting { limits: &narrow, ..chain });
    assert_eq!((part.as_deref(), verdict.code), (Some("task"), Some(chancery_model::problem::OUTSIDE_TASK)));
    // The same is told by what would make it pass.
    let call = |by| {
        crate::Asked::from(&ToolCall {
            by,
            server: "billing",
            tool: "refund",
            definition: None,
            args: &args(),
            args_digest: [0; 32],
        })
    };
    assert!(engine.explain(&call(chain), NOW).is_empty());
    let misses = engine.explain(&call(Acting { human: Some("bob"), limits: &narrow, ..chain }), NOW);
    let parts: std::collections::BTreeSet<_> = misses.iter().filter_map(|miss| miss.part.as_deref()).collect();
    assert_eq!(parts.into_iter().collect::<Vec<_>>(), ["person `bob`", "task"], "{misses:#?}");
    // And each of them answers for itself, the person first.
    let answers = |by| {
        let shares = engine.shares(&call(by), NOW);
        shares.into_iter().map(|share| (share.part, share.outcome, share.policies.len())).collect::<Vec<_>>()
    };
    let said = |part: &str, outcome, policies| (part.to_owned(), outcome, policies);
    let (yes, no) = (Outcome::Allow, Outcome::Deny);
    let agents = [said("agent `desk`", yes, 1), said("agent `crm`", yes, 1)];
    let all = [&[said("person `mia`", yes, 1)], &agents[..], &[said("task", yes, 0)]].concat();
    assert_eq!(answers(chain), all);
    let some = [&[said("person `bob`", no, 0)], &agents[..], &[said("task", no, 0)]].concat();
    assert_eq!(answers(Acting { human: Some("bob"), limits: &narrow, ..chain }), some);
    assert_eq!(answers(by("crm")), [], "for itself there is nobody else to ask");
    engine.agent_changed(&chancery_model::Agent { state: AgentState::Suspended, ..agent("desk") });
    assert_eq!(ask(chain).0.as_deref(), Some("agent `desk`"), "one that is stopped stops all behind it");
}

#[test]
fn a_persons_presence_is_enough_while_it_is_fresh() {
    let text = format!(
        "{CALL}\n@id(\"big\") @outcome(\"step_up\") @max_age(\"60\") permit (principal, action == Action::\"billing/refund\", resource);"
    );
    let engine = engine(&text);
    engine.grant_changed(&grant(1, "tools-call", "Agent::\"crm\"", "Server::\"billing\"")).unwrap();
    let ask = |presence: Option<i64>| as_one(&engine, Acting { presence: presence.map(Span::seconds), ..by("crm") });
    for (presence, outcome) in [(None, Outcome::StepUp), (Some(61), Outcome::StepUp), (Some(60), Outcome::Allow)] {
        let verdict = ask(presence);
        assert_eq!(verdict.decision.outcome, outcome, "{presence:?}");
        assert_eq!(verdict.decision.max_age, (outcome == Outcome::StepUp).then_some(60));
    }
    for (annotation, why) in [("@max_age(\"0\")", "no number of seconds"), ("@max_age(\"5\")", "only a permit")] {
        let outcome = if why.starts_with("no") { "@outcome(\"step_up\")" } else { "" };
        let text = format!("@id(\"x\") {outcome} {annotation} permit (principal, action, resource);");
        let problems = build(&[("p.cedar", &text)]).unwrap_err();
        assert!(problems[0].code == "C3009" && problems[0].message.contains(why), "{problems:#?}");
    }
}

#[test]
fn a_stopped_agent_is_refused_whatever_its_grants() {
    let engine = engine(CALL);
    engine.grant_changed(&grant(1, "tools-call", "Agent::\"crm\"", "Server::\"billing\"")).unwrap();
    for (state, expires_at, reason) in [
        (AgentState::Suspended, NOW + Span::days(1), "is suspended"),
        (AgentState::Registered, NOW + Span::days(1), "has not enrolled"),
        (AgentState::Active, NOW, "time of agent `crm` is over"),
    ] {
        engine.agent_changed(&chancery_model::Agent { state, expires_at, ..agent("crm") });
        let verdict = refund(&engine, &args());
        assert!(!verdict.allows() && verdict.permit.is_none());
        assert!(verdict.why.contains(reason), "{}", verdict.why);
    }
    engine.agent_changed(&agent("crm"));
    assert!(refund(&engine, &args()).allows());
}

fn stem(name: &str, state: BlueprintState) -> Blueprint {
    Blueprint {
        id: "bpt_00000000000000000000000001".parse().unwrap(),
        name: name.into(),
        sponsor: "s".into(),
        owner: "o".into(),
        purpose: "p".into(),
        lifetime: Span::days(90),
        manifest: None,
        state,
        epoch: 1,
        created_at: NOW,
    }
}

#[test]
fn a_grant_to_a_blueprint_is_for_instances_made_later_too_and_its_suspension_stops_all() {
    let instance = |name: &str| chancery_model::Agent { blueprint: Some("crm".into()), ..agent(name) };
    let may = |engine: &Engine, name: &str| {
        let args = args();
        let call = ToolCall {
            by: by(name),
            server: "billing",
            tool: "refund",
            definition: None,
            args: &args,
            args_digest: [0; 32],
        };
        let verdict = engine.tool_call(&call, NOW);
        (verdict.allows(), verdict.why)
    };
    let engine = engine(CALL);
    engine.agent_changed(&instance("crm-1"));
    engine.grant_changed(&grant(1, "tools-call", "Blueprint::\"crm\"", "Server::\"billing\"")).unwrap();
    engine.agent_changed(&instance("crm-2"));
    assert!(may(&engine, "crm-1").0 && may(&engine, "crm-2").0);
    assert!(!may(&engine, "crm").0, "an agent of that name is no instance");

    engine.blueprint_changed(&stem("crm", BlueprintState::Suspended));
    engine.agent_changed(&instance("crm-3"));
    for name in ["crm-1", "crm-2", "crm-3"] {
        let (allowed, why) = may(&engine, name);
        assert!(!allowed && why.contains("its blueprint `crm` is suspended"), "{why}");
    }
    engine.install(build(&[("policies.cedar", CALL)]).unwrap());
    assert!(!may(&engine, "crm-1").0, "another policy set lets nobody go on");
    engine.blueprint_changed(&stem("other", BlueprintState::Suspended));
    engine.blueprint_changed(&stem("crm", BlueprintState::Active));
    assert!(may(&engine, "crm-1").0 && may(&engine, "crm-3").0);
}

#[test]
fn a_group_can_hold_blueprints() {
    let groups = r#"[{"uid": {"type": "Group", "id": "sales"}, "attrs": {}, "parents": []},
        {"uid": {"type": "Blueprint", "id": "crm"}, "attrs": {}, "parents": [{"type": "Group", "id": "sales"}]}]"#;
    let engine = Engine::new(build(&[("p.cedar", CALL), ("entities.json", groups)]).unwrap());
    engine.grant_changed(&grant(1, "tools-call", "Group::\"sales\"", "Server::\"billing\"")).unwrap();
    engine.agent_changed(&chancery_model::Agent { blueprint: Some("crm".into()), ..agent("crm") });
    assert!(refund(&engine, &args()).allows());
    engine.agent_changed(&chancery_model::Agent { blueprint: Some("other".into()), ..agent("crm") });
    assert!(!refund(&engine, &args()).allows());
}

#[test]
fn arguments_that_do_not_fit_are_a_deny_if_a_policy_looks_at_them() {
    let policy = r#"@id("small") permit (principal == Agent::"crm", action == Action::"billing/refund", resource) when { context.args.amount <= 200 };"#;
    let engine = engine(policy);
    assert!(refund(&engine, &json!({"order": "o", "amount": 200})).allows());
    assert!(refund(&engine, &json!({"order": "o", "amount": 200, "note": 5})).allows(), "no policy looks at it");
    for (args, reason) in [
        (json!({"order": "o", "amount": 201}), "no policy"),
        (json!({"order": "o", "amount": "200"}), "argument `amount` is a string, not an integer"),
        (json!({"order": "o", "amount": 199.5}), "is 199.5, not an integer"),
        (json!({"order": "o"}), "argument `amount` is missing"),
        (json!([1]), "not an object"),
        (Value::Null, "argument `amount` is missing"),
    ] {
        let verdict = refund(&engine, &args);
        assert!(!verdict.allows() && verdict.why.contains(reason), "{}", verdict.why);
    }
}

#[test]
fn the_strictest_outcome_of_the_permits_stands_and_gives_no_permit() {
    let over = |outcome: &str| {
        format!(
            "{CALL}\n@id(\"big\") @outcome(\"{outcome}\") permit (principal, action == Action::\"billing/refund\", resource) when {{ context.args.amount > 100 }};"
        )
    };
    for (name, outcome) in [("require_approval", Outcome::RequireApproval), ("step_up", Outcome::StepUp)] {
        let engine = engine(&over(name));
        engine.grant_changed(&grant(1, "tools-call", "Agent::\"crm\"", "Server::\"billing\"")).unwrap();
        let verdict = refund(&engine, &args());
        assert_eq!(verdict.decision.outcome, outcome);
        assert!(!verdict.allows() && verdict.permit.is_none());
        assert!(refund(&engine, &json!({"order": "o", "amount": 100})).allows());
    }
}

#[test]
fn a_forbid_wins() {
    let engine = engine(&format!(
        "{CALL}\n@id(\"no\") forbid (principal, action in Action::\"tools/call\", resource) when {{ resource.destructive }};"
    ));
    engine.grant_changed(&grant(1, "tools-call", "Agent::\"crm\"", "Server::\"billing\"")).unwrap();
    let verdict = refund(&engine, &args());
    assert_eq!(verdict.why, "policy `no` forbids it");
    let list = ToolCall {
        by: by("crm"),
        server: "billing",
        tool: "list",
        definition: None,
        args: &Value::Null,
        args_digest: [0; 32],
    };
    assert!(engine.tool_call(&list, NOW).allows());
}

#[test]
fn an_evaluation_error_is_a_deny_even_beside_a_permit() {
    // The loader refuses such a policy; here one is put past it.
    let mut snapshot = build(&[("p.cedar", CALL)]).unwrap();
    for effect in ["permit", "forbid"] {
        let text = format!("{effect} (principal, action, resource) when {{ context.nothing == 1 }};");
        let template = cedar_policy_core::parser::parse_policy_or_template(None, &text).unwrap();
        let id: Arc<str> = format!("bad-{effect}").into();
        snapshot.rules.push(crate::rule::Rule::new(id, "x".into(), Outcome::Allow, &template));
    }
    snapshot.index = crate::index::Index::of(&snapshot.rules);
    let engine = Engine::new(snapshot);
    engine.agent_changed(&agent("crm"));
    engine.grant_changed(&grant(1, "tools-call", "Agent::\"crm\"", "Server::\"billing\"")).unwrap();
    let verdict = refund(&engine, &args());
    assert!(!verdict.allows() && verdict.permit.is_none());
    assert_eq!(verdict.decision.errors.len(), 2, "{:?}", verdict.decision);
}

#[test]
fn another_snapshot_keeps_agents_and_grants() {
    let engine = engine(CALL);
    engine.grant_changed(&grant(1, "tools-call", "Group::\"sales\"", "Server::\"billing\"")).unwrap();
    let odd = grant(2, "tools-call", "Squad::\"x\"", "Server::\"billing\"");
    assert!(engine.grant_changed(&odd).unwrap_err().detail.contains("no entity type `Squad`"));
    assert!(!refund(&engine, &args()).allows());
    let sales = r#"[{"uid": {"type": "Group", "id": "sales"}, "attrs": {}, "parents": []},
        {"uid": {"type": "Agent", "id": "crm"}, "parents": [{"type": "Group", "id": "sales"}]}]"#;
    engine.install(build(&[("p.cedar", CALL), ("entities.json", sales), ("s.cedarschema", "entity Squad;")]).unwrap());
    assert!(refund(&engine, &args()).allows());
    assert_eq!(engine.grants(), 2, "the grant that was strange is taken over now");
}

#[test]
fn a_grant_that_could_never_match_is_told_before_it_is_stored() {
    let one = r#"@id("one") permit (principal == ?principal, action == Action::"tools/call", resource == ?resource);"#;
    let engine = engine(&format!("{CALL}\n{one}"));
    let check = |template, principal, resource| engine.check_grant(template, principal, resource).map_err(|p| p.detail);
    assert_eq!(check("tools-call", "Group::\"x\"", "Server::\"billing\""), Ok(()));
    for (template, principal, resource, why) in [
        ("tools-cal", "Agent::\"x\"", "Server::\"s\"", "did you mean `tools-call`?"),
        ("tools-call", "Agent::x", "Server::\"s\"", "is not an entity"),
        ("tools-call", "Tool::\"x\"", "Server::\"s\"", "cannot be granted to a Tool"),
        ("tools-call", "Agent::\"x\"", "Prompt::\"s\"", "cannot be granted on a Prompt"),
        (
            "one",
            "Blueprint::\"x\"",
            "Tool::\"s\"",
            "to a Blueprint: it says `==`, and `in` would take all that is in one",
        ),
        ("one", "Agent::\"x\"", "Server::\"s\"", "on a Server: it says `==`"),
    ] {
        assert!(check(template, principal, resource).unwrap_err().contains(why), "{template} {principal} {resource}");
    }
}

#[test]
fn tools_are_listed_where_they_could_be_called() {
    let small = r#"@id("small") permit (principal == Agent::"crm", action == Action::"billing/refund", resource) when { context.args.amount <= 200 };"#;
    let engine = engine(&format!("{CALL}\n{small}"));
    let lists = |tool| engine.lists(by("crm"), "billing", tool, NOW);
    assert!(lists("refund") && !lists("list") && !lists("nothing"));
    engine.grant_changed(&grant(1, "tools-call", "Agent::\"crm\"", "Tool::\"billing/list\"")).unwrap();
    assert!(lists("list"));
    let barred =
        format!("{CALL}\n{small}\n@id(\"no\") forbid (principal, action in Action::\"tools/call\", resource);");
    engine.install(build(&[("p.cedar", &barred)]).unwrap());
    assert!(!lists("refund"));
}

#[test]
fn other_acts_are_decided_on_their_resource() {
    let engine = engine(
        r#"@id("connect") permit (principal is Agent, action == Action::"mcp/connect", resource is Server);
           @id("docs") permit (principal == Agent::"crm", action == Action::"resources/read", resource in Server::"billing")
           when { resource.uri like "docs://*" };"#,
    );
    let act = |action, resource| {
        engine.server_act(&ServerAct { by: by("crm"), server: "billing", action, resource, args_digest: [0; 32] }, NOW)
    };
    assert!(act("mcp/connect", None).permit.is_some_and(|p| p.tool().is_none() && &**p.action() == "mcp/connect"));
    assert!(act("resources/read", Some("docs://a")).allows());
    assert!(!act("resources/read", Some("file:///etc/passwd")).allows());
    for (action, resource) in [("resources/read", None), ("mcp/connect", Some("x")), ("no/such", None)] {
        assert!(!act(action, resource).allows(), "{action}");
    }
}

#[test]
fn a_tool_is_judged_by_the_definition_that_the_policies_know() {
    use chancery_model::ToolState::{Pinned, Quarantined};
    use chancery_model::problem::{POLICIES_BEHIND, QUARANTINED};
    let engine = engine(CALL);
    engine.grant_changed(&grant(1, "tools-call", "Agent::\"crm\"", "Server::\"billing\"")).unwrap();
    let call = |definition: [u8; 32]| {
        let args = args();
        let call = ToolCall {
            by: by("crm"),
            server: "billing",
            tool: "refund",
            definition: Some(definition),
            args: &args,
            args_digest: [0; 32],
        };
        engine.tool_call(&call, NOW).code
    };
    assert_eq!((call([0; 32]), call([1; 32])), (None, Some(POLICIES_BEHIND)));
    let listed = || engine.lists(by("crm"), "billing", "refund", NOW);
    assert!(listed());
    let mut refund = super::tools().remove(0);
    for (state, digest, code) in
        [(Quarantined, [0; 32], Some(QUARANTINED)), (Pinned, [1; 32], Some(POLICIES_BEHIND)), (Pinned, [0; 32], None)]
    {
        (refund.state, refund.digest) = (state, digest);
        engine.tool_changed(&refund);
        assert_eq!((call([0; 32]), listed()), (code, code.is_none()), "{state:?}");
    }
    for blocked in [true, false] {
        engine.block_server("billing", blocked);
        assert_eq!(listed(), !blocked);
    }
    // A set that knows the new definition ends it; what changed before it was built still counts.
    refund.digest = [1; 32];
    engine.tool_changed(&refund);
    assert_eq!(call([1; 32]), Some(POLICIES_BEHIND));
    engine.install(super::build_with(&[("p.cedar", CALL)], &[refund]).unwrap());
    assert_eq!((call([1; 32]), call([0; 32])), (None, Some(POLICIES_BEHIND)));
}

#[test]
fn of_a_tool_that_was_never_approved_nothing_is_believed() {
    let definition = json!({"inputSchema": {"type": "object", "properties": {"amount": {"type": "string"}}},
        "annotations": {"readOnlyHint": true}});
    let mut tools = super::tools();
    tools.push(chancery_model::Tool::unapproved("billing", "wipe", ([5; 32], definition.to_string()), NOW));
    let text = format!(
        "{CALL} @id(\"reading\") permit (principal, action, resource is Tool) when {{ resource.read_only }};
         @id(\"wipe\") permit (principal, action == Action::\"billing/wipe\", resource);"
    );
    let snapshot = super::build_with(&[("p.cedar", &text)], &tools).unwrap();
    assert_eq!(snapshot.warnings().iter().filter(|w| w.code == "C3012").count(), 1, "it waits for the tool");
    let engine = Engine::new(snapshot);
    engine.agent_changed(&agent("crm"));
    for name in ["tools/list", "tools/call"] {
        let asked = json!({
            "subject": {"type": "Agent", "id": "crm"}, "action": {"name": name},
            "resource": {"type": "Tool", "id": "billing/wipe"}, "context": {"session": {"age_seconds": 1}},
        });
        let verdict = engine.evaluate(&serde_json::from_value(asked).unwrap(), NOW);
        assert_eq!(verdict.code, Some(chancery_model::problem::QUARANTINED), "{name}: {}", verdict.why);
    }
}
