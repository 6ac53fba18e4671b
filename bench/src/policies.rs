//! The policies that are measured: as many grants as there are agents, one template with two conditions, two bans that
//! concern every call, and a right to connect.

/// Connecting, and two bans.
pub const STATIC: [(&str, &str); 3] = [
    ("connect", r#"permit (principal is Agent, action == Action::"mcp/connect", resource is Server);"#),
    (
        "ceiling",
        r#"forbid (principal, action == Action::"billing/echo", resource) when { context.args.amount > 1000 };"#,
    ),
    (
        "long-sessions",
        r#"forbid (principal, action == Action::"billing/echo", resource) when { context.session.age_seconds > 28800 };"#,
    ),
];

/// The template that grants link.
pub const TEMPLATE: (&str, &str) = (
    "use-small",
    r#"permit (principal == ?principal, action in [Action::"billing/echo", Action::"tools/list"], resource == ?resource)
when {
  action == Action::"tools/list" || (context.args.amount <= 200 && context.session.age_seconds < 3600)
};"#,
);

/// Anybody may hand anything to anybody.
const DELEGATE: (&str, &str) = ("delegate", r#"permit (principal, action == Action::"delegate", resource is Agent);"#);

/// All of it as one policy file.
pub fn file() -> String {
    let all = STATIC.iter().chain([&TEMPLATE, &DELEGATE]);
    all.map(|(id, text)| format!("@id(\"{id}\")\n{text}\n\n")).collect()
}
