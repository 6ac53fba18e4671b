//! Random policies and templates. Some are refused by the loader: contradictions, sums that may overflow,
//! attributes of entities that may not exist.

use super::super::rng::Rng;
use super::{ACTIONS, Applies, PEOPLE, THINGS};

/// A policy or template with this id.
pub fn policy(rng: &mut Rng, actions: &[Applies], id: &str) -> String {
    let effect = if rng.chance(70) { "permit" } else { "forbid" };
    let about_tools = rng.chance(40);
    let template = effect == "permit" && rng.chance(35);
    let scope = match (about_tools, template) {
        (true, true) => "principal in ?principal, action in Action::\"tools/call\", resource in ?resource".to_owned(),
        (true, false) => tool_scope(rng),
        (false, true) => format!("{}, {}, {}", slot(rng, "principal"), own_action(rng), slot(rng, "resource")),
        (false, false) => own_scope(rng, actions),
    };
    let mut text = format!("@id(\"{id}\")\n{effect} ({scope})");
    for word in ["when", "unless"] {
        if rng.chance(if word == "when" { 65 } else { 20 }) {
            let condition = if about_tools { tool_condition(rng, &scope, 2) } else { own_condition(rng, 3) };
            text += &format!("\n{word} {{ {condition} }}");
        }
    }
    text + ";\n"
}

fn slot(rng: &mut Rng, side: &str) -> String {
    let kinds = if side == "principal" { PEOPLE } else { THINGS };
    let kind = *rng.pick(&kinds);
    rng.pick(&[format!("{side} == ?{side}"), format!("{side} in ?{side}"), format!("{side} is {kind} in ?{side}")])
        .clone()
}

fn own_action(rng: &mut Rng) -> String {
    let one = format!("Action::\"a{}\"", rng.below(ACTIONS));
    let other = format!("Action::\"a{}\"", rng.below(ACTIONS));
    rng.pick(&[
        format!("action == {one}"),
        "action in Action::\"all\"".into(),
        "action in Action::\"edit\"".into(),
        format!("action in [{one}, {other}]"),
        format!("action in [{one}, Action::\"edit\"]"),
    ])
    .clone()
}

fn own_scope(rng: &mut Rng, actions: &[Applies]) -> String {
    let (kind, thing) = (*rng.pick(&PEOPLE), *rng.pick(&THINGS));
    let (n, m) = (rng.below(6), rng.below(6));
    let (t, f) = (format!("Team::\"t{}\"", rng.below(3)), format!("Folder::\"f{}\"", rng.below(3)));
    let who = [
        "principal".to_owned(),
        "principal".to_owned(),
        format!("principal == {kind}::\"p{n}\""),
        format!("principal in {t}"),
        format!("principal in Group::\"g{}\"", rng.below(3)),
        format!("principal is {kind}"),
        format!("principal is {kind} in {t}"),
    ];
    let what = [
        "resource".to_owned(),
        "resource".to_owned(),
        format!("resource == {thing}::\"d{m}\""),
        format!("resource in {f}"),
        format!("resource is {thing}"),
        format!("resource is {thing} in {f}"),
    ];
    let action = own_action(rng);
    debug_assert_eq!(actions.len(), ACTIONS);
    format!("{}, {action}, {}", rng.pick(&who), rng.pick(&what))
}

fn tool_scope(rng: &mut Rng) -> String {
    let (a, g, t) = (rng.below(5), rng.below(3), rng.below(4));
    let who = [
        "principal".to_owned(),
        format!("principal == Agent::\"a{a}\""),
        format!("principal in Group::\"g{g}\""),
        "principal in Blueprint::\"b0\"".to_owned(),
        format!("principal is Agent in Group::\"g{g}\""),
    ];
    let tool = format!("s{}/t{t}", t % 2);
    let action = ["action in Action::\"tools/call\"".to_owned(), format!("action == Action::\"{tool}\"")];
    let what = [
        "resource".to_owned(),
        format!("resource == Tool::\"{tool}\""),
        format!("resource in Server::\"s{}\"", rng.below(2)),
        "resource is Tool".to_owned(),
    ];
    format!("{}, {}, {}", rng.pick(&who), rng.pick(&action), rng.pick(&what))
}

fn combine(rng: &mut Rng, depth: usize, atom: &mut dyn FnMut(&mut Rng) -> String) -> String {
    if depth == 0 || rng.chance(30) {
        return atom(rng);
    }
    let (a, b) = (combine(rng, depth - 1, atom), combine(rng, depth - 1, atom));
    match rng.below(5) {
        0 | 1 => format!("({a} && {b})"),
        2 => format!("({a} || {b})"),
        3 => format!("!({a})"),
        _ => format!("(if {a} then {b} else {})", atom(rng)),
    }
}

fn own_condition(rng: &mut Rng, depth: usize) -> String {
    combine(rng, depth, &mut |rng| {
        let (n, p, t, x) = (rng.below(10), rng.below(7), rng.below(3), *rng.pick(&["x", "y", "z"]));
        match rng.below(24) {
            0 => format!("principal.level > {n}"),
            1 => format!("principal.level * 3 + context.amount <= {}", n * 20),
            2 => format!("principal.level * resource.size > {n}"),
            3 => format!("-context.amount < -{}", n * 10),
            4 => "principal.active".into(),
            5 => "resource.secret".into(),
            6 => "context.urgent".into(),
            7 => format!("principal.name == \"{}\"", rng.pick(&["ann", "bob"])),
            8 => "principal.name like \"*b\"".into(),
            9 => format!("principal.tags.contains(\"{x}\")"),
            10 => format!("principal.tags.containsAny([\"{x}\", \"q\"])"),
            11 => "resource has owner && resource.owner == principal".into(),
            12 => format!("resource has owner.level && resource.owner.level > {n}"),
            13 => format!("principal.peer.level > {n}"),
            14 => format!("principal.peer has level && principal.peer.level > {n}"),
            15 => format!(
                "principal has boss && principal.boss has peer && principal.boss.peer has level && principal.boss.peer.level < {n}"
            ),
            16 => "context has note && context.note == \"alpha\"".into(),
            17 => format!("principal in Team::\"t{t}\""),
            18 => format!("resource in Folder::\"f{t}\""),
            19 => format!("resource.score.lessThan(decimal(\"{t}.75\"))"),
            20 => format!("P0::\"p{p}\" has level && P0::\"p{p}\".level > {n}"),
            21 => format!("P0::\"p{p}\" in Team::\"t{t}\""),
            22 => format!("principal.peer in [Team::\"t{t}\", Team::\"t0\"]"),
            _ => "principal.active && !principal.active".into(),
        }
    })
}

fn tool_condition(rng: &mut Rng, scope: &str, depth: usize) -> String {
    let one_tool = scope.contains("action ==");
    combine(rng, depth, &mut |rng| {
        let n = rng.below(300);
        match rng.below(if one_tool { 19 } else { 12 }) {
            0 => "context has reason".into(),
            1 => "context has human && context.human == Human::\"h0\"".into(),
            2 => "context has human && context.human has email && context.human.email like \"h0@*\"".into(),
            3 => format!("context.session.age_seconds < {}", n * 3),
            4 => "resource.destructive".into(),
            5 => "principal is Agent && principal.owner == \"sales\"".into(),
            6 => format!("principal in Group::\"g{}\"", n % 3),
            7 => "resource in Server::\"s1\"".into(),
            8 => format!("context.meters.m{} >= {}", n % 2, n % 7),
            9 => format!("context.session.done.contains(\"s{}/t{}\")", n % 2, n % 4),
            10 => format!("context.session.calls < {}", n % 9),
            11 => format!("context.meters.m0 + context.session.calls * 2 > {}", n % 12),
            12 | 13 => format!("context.args has amount && context.args.amount <= {n}"),
            14 => format!("context.args has price && context.args.price.lessThan(decimal(\"{n}.25\"))"),
            15 => "context.args has note && context.args.note like \"a*\"".into(),
            16 => "context.args has urgent && context.args.urgent".into(),
            17 => "context.args has tags && context.args.tags.contains(\"x\")".into(),
            _ => format!("context.args has amount && context.args.amount * context.args.amount < {n}"),
        }
    })
}
