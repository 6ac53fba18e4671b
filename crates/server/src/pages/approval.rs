//! `/approvals/{id}`: one call that waits for people, on one screen.
//!
//! What is shown is made from what would run: the canonical arguments, one by one. What the agent says about them is
//! quoted as what it says. A yes is for the digest that the page carries; if the request is another by then, it counts
//! for nothing.

use std::collections::BTreeMap;
use std::fmt::Write as _;
use std::sync::Arc;

use axum::extract::{Path, State};
use bytes::Bytes;
use chancery_authenticate::SignedIn;
use chancery_model::problem::{BAD_REQUEST, NO_APPROVAL};
use chancery_model::{Approval, ApprovalId, ApprovalState, Digest, Kind, Risk, Span};
use chancery_oversee::approvals::{ApprovalError, Approver, Field, Say, effect, may_decide, median, numbers};
use chancery_record::Filter;
use chancery_store::bodies;
use http::{HeaderMap, Uri};

use super::{Page, Posted, Visit, form_key, text, unknown_at};
use crate::policies::sha256;
use crate::rooms::Rooms;

/// Calls of a week that are looked at.
const WEEK: usize = 200;

/// What was there before, of the same agent and tool.
#[derive(Debug, Default, PartialEq)]
struct History {
    /// Calls within a week; [`WEEK`] stands for that many or more.
    calls: usize,
    /// The middle value of each number among their arguments.
    medians: BTreeMap<String, f64>,
}

/// Shows what would run, and who may say yes to it.
pub(crate) async fn show(
    State(rooms): State<Arc<Rooms>>,
    Path(id): Path<String>,
    headers: HeaderMap,
    uri: Uri,
) -> Result<Page, Page> {
    let visit = Visit::of(&rooms, &headers);
    if let Some(page) = visit.detour(&uri) {
        return Ok(page);
    }
    let signed_in = visit.signed_in(&rooms).await?.ok_or_else(|| unknown_at(&uri))?;
    let approval = found(&rooms, &id, &signed_in).await?;
    page(&rooms, &approval, &signed_in).await.map_err(|e| refused(&e, &signed_in))
}

/// Takes a yes or a no.
pub(crate) async fn decide(
    State(rooms): State<Arc<Rooms>>,
    Path(id): Path<String>,
    headers: HeaderMap,
    body: Bytes,
) -> Result<Page, Page> {
    let posted = Posted::read(&rooms, &headers, &body)?;
    let signed_in = posted.sender(&rooms).await?;
    let approval = found(&rooms, &id, &signed_in).await?;
    let approve = match posted.field("say") {
        "approve" => true,
        "deny" => false,
        _ => return Err(Page::problem(BAD_REQUEST, "The form says neither yes nor no.").to(&signed_in)),
    };
    let seen: Digest = posted.field("seen").parse().map_err(|_| refused(&ApprovalError::Changed, &signed_in))?;
    let comment = Some(posted.field("comment").trim()).filter(|comment| !comment.is_empty());
    let groups = rooms.groups_of(&signed_in.person);
    let by = approver(&rooms, &signed_in, &groups);
    let said = rooms.approvals.say(&approval.id, &by, &Say { approve, comment, seen }).await;
    let said = said.map_err(|e| refused(&e, &signed_in))?;
    Ok(done(&said, &signed_in))
}

/// Who they are for a request.
fn approver<'a>(rooms: &Rooms, signed_in: &'a SignedIn, groups: &'a [String]) -> Approver<'a> {
    let person = &*signed_in.person;
    Approver { person, groups, approver: rooms.is_approver(person), proved_at: rooms.proved_at(signed_in) }
}

async fn found(rooms: &Rooms, id: &str, signed_in: &SignedIn) -> Result<Approval, Page> {
    let missing = || Page::problem(NO_APPROVAL, "There is no such request.").to(signed_in);
    let id: ApprovalId = id.parse().map_err(|_| missing())?;
    let approval = rooms.approvals.get(&id).await.map_err(|e| refused(&e, signed_in))?;
    Ok(approval)
}

async fn page(rooms: &Rooms, approval: &Approval, signed_in: &SignedIn) -> Result<Page, ApprovalError> {
    let now = rooms.clock.now();
    let last = rooms.approvals.last_used(approval).await?;
    let groups = rooms.groups_of(&signed_in.person);
    let by = approver(rooms, signed_in, &groups);
    let allowed = may_decide(approval, &by);
    // Whoever may not decide about it learns that it exists, and not what it says.
    if let Err(why) = &allowed
        && !rooms.is_overseer(&signed_in.person)
    {
        return Ok(refused(why, signed_in));
    }
    rooms.approvals.show(&approval.id, &signed_in.person.id);
    let history = history(rooms, approval).await;
    let mut body = String::new();
    body += &sentence(approval);
    body += &times(approval, now.0, rooms);
    body += &shown(approval, last.as_ref());
    body += &claim(approval);
    body += &circumstances(approval, &history);
    body += &match allowed {
        Ok(()) if approval.is_pending(now) => form(rooms, approval, &by, signed_in),
        Ok(()) => String::new(),
        Err(why) => {
            format!("<p class=\"notice warn\">You may look at this, not decide it: {}.</p>", text(&why.to_string()))
        }
    };
    body += &exact(rooms, approval);
    Ok(Page::new("Approve this call?", body).to(signed_in))
}

/// Who wants what, in one sentence.
fn sentence(approval: &Approval) -> String {
    format!(
        "<p class=\"big\"><strong>{}</strong> wants to use <em>{}</em> on <em>{}</em></p>",
        text(&approval.agent_name),
        text(&approval.target),
        text(&approval.server),
    )
}

fn times(approval: &Approval, now: i64, rooms: &Rooms) -> String {
    let left = approval.expires_at.0 - now;
    match approval.standing(rooms.clock.now()) {
        "pending" => {
            format!("<p class=\"dim\">{} left, until {}</p>", lasting(left), text(&approval.expires_at.rfc3339()))
        }
        standing => format!("<p class=\"notice warn\">This request is {standing}. There is nothing to decide.</p>"),
    }
}

/// A time that is left, in the largest unit that says enough.
fn lasting(micros: i64) -> String {
    let minutes = micros / Span::minutes(1).0;
    match minutes {
        ..1 => "Less than a minute".to_owned(),
        1 => "1 minute".to_owned(),
        2..120 => format!("{minutes} minutes"),
        _ => format!("{} hours", minutes / 60),
    }
}

/// The arguments, one by one.
fn shown(approval: &Approval, last: Option<&Approval>) -> String {
    let before = last.map(|last| last.arguments.as_deref());
    let fields = effect(approval.arguments.as_deref(), before, sha256);
    let mut rows = String::new();
    for field in &fields {
        let _ = write!(
            rows,
            "<tr><th scope=\"row\">{}</th><td>{}</td></tr>",
            text(&field.path),
            value(field, last.is_some())
        );
    }
    let rows = if rows.is_empty() { "<tr><td>without arguments</td></tr>".to_owned() } else { rows };
    let compared = match last {
        None => "Nobody has approved a call of this tool by this agent before.".to_owned(),
        Some(last) => format!("Compared with the last one that was approved, of {}.", text(&last.created_at.rfc3339())),
    };
    format!(
        "<h2>What would run</h2><table class=\"effect\"><tbody>{rows}</tbody></table><p class=\"dim\">{compared}</p>"
    )
}

fn value(field: &Field, compared: bool) -> String {
    match (&field.value, &field.before) {
        (Some(value), Some(before)) => {
            format!("<strong class=\"changed\">{}</strong> <small>was {}</small>", text(value), text(before))
        }
        (Some(value), None) if compared && field.changed => {
            format!("<strong class=\"changed\">{}</strong> <small>new</small>", text(value))
        }
        (Some(value), None) => text(value),
        (None, before) => format!("<small>not sent; was {}</small>", text(before.as_deref().unwrap_or_default())),
    }
}

/// What the agent says, as what it says.
fn claim(approval: &Approval) -> String {
    let Some(reason) = &approval.reason else {
        return "<p class=\"dim\">The agent gives no reason.</p>".to_owned();
    };
    format!("<h2>Reason given by the agent</h2><blockquote>{}</blockquote>", text(reason))
}

fn circumstances(approval: &Approval, history: &History) -> String {
    let mut rows = vec![("On whose behalf", text(&on_behalf(approval)))];
    let demands: Vec<String> = approval.demands.iter().map(|demand| demand.who()).collect();
    rows.push(("Who has to approve", text(&demands.join(" and "))));
    let policies: Vec<&str> = approval.demands.iter().map(|demand| &*demand.policy).collect();
    rows.push(("Policy", format!("<code>{}</code>", text(&policies.join(", ")))));
    rows.push(("Calls this week", text(&usual(approval, history))));
    let said: Vec<String> =
        approval.votes.iter().map(|vote| format!("{} said {}", vote.name, yes(vote.approve))).collect();
    if !said.is_empty() {
        rows.push(("So far", text(&said.join(", "))));
    }
    let rows = rows.iter().fold(String::new(), |all, (name, value)| all + &format!("<dt>{name}</dt><dd>{value}</dd>"));
    format!("<dl>{rows}</dl>")
}

fn on_behalf(approval: &Approval) -> String {
    match &approval.human {
        Some(human) => format!("{human} ({})", approval.chain.join(" → ")),
        None => format!("itself ({})", approval.chain.join(" → ")),
    }
}

fn yes(approve: bool) -> &'static str {
    if approve { "yes" } else { "no" }
}

/// How this one lies beside what the agent usually does with the tool.
fn usual(approval: &Approval, history: &History) -> String {
    let calls = match history.calls {
        0 => return "this would be the first".to_owned(),
        WEEK.. => format!("{WEEK} or more"),
        calls => calls.to_string(),
    };
    let now = approval.arguments.as_deref().map(numbers).unwrap_or_default();
    let beside = |(path, number): (&String, &f64)| {
        let median = history.medians.get(path).filter(|median| *median != number)?;
        Some(format!("{path} is {number}, usually {median}"))
    };
    let beside: Vec<String> = now.iter().filter_map(beside).take(3).collect();
    if beside.is_empty() { calls } else { format!("{calls}; {}", beside.join("; ")) }
}

/// The form, or what is missing for it.
fn form(rooms: &Rooms, approval: &Approval, by: &Approver<'_>, signed_in: &SignedIn) -> String {
    let voted = approval.votes.iter().any(|vote| vote.person == by.person.id);
    if voted {
        return "<p class=\"notice good\">You have approved it. It waits for others.</p>".to_owned();
    }
    let risky = match approval.risk() {
        Risk::High => "<p class=\"notice warn\">Much hangs on this: to approve it you show your passkey.</p>",
        Risk::Low | Risk::Medium => "",
    };
    format!(
        "{risky}<form method=\"post\" action=\"/approvals/{}\">{}<input type=\"hidden\" name=\"seen\" value=\"{}\">\
         <p><label for=\"comment\">Comment (optional; the agent sees it)</label><br>\
         <input type=\"text\" id=\"comment\" name=\"comment\" maxlength=\"500\" autocomplete=\"off\"></p>\
         <div class=\"actions even\"><button name=\"say\" value=\"approve\">Approve once</button>\
         <button class=\"plain\" name=\"say\" value=\"deny\">Deny</button></div></form>",
        text(approval.id.as_str()),
        form_key(signed_in),
        text(&rooms.approvals.digest(approval).to_string()),
    )
}

/// The request to the letter, for whoever wants to see it.
fn exact(rooms: &Rooms, approval: &Approval) -> String {
    let arguments = approval.arguments.as_deref().unwrap_or("none");
    let input = approval.input.as_deref().map_or_else(String::new, |input| format!("<pre>{}</pre>", text(input)));
    format!(
        "<details><summary>Show the exact request</summary><pre>{}</pre>{input}<dl><dt>Request</dt><dd><code>{}</code></dd>\
         <dt>Digest</dt><dd><code>{}</code></dd><dt>Session</dt><dd><code>{}</code></dd>\
         <dt>Policies</dt><dd><code>{}</code></dd></dl></details>",
        text(arguments),
        text(approval.id.as_str()),
        text(&rooms.approvals.digest(approval).to_string()),
        text(approval.session.as_str()),
        text(&approval.policy_version),
    )
}

/// What the agent did with the tool within a week.
async fn history(rooms: &Rooms, approval: &Approval) -> History {
    let filter = Filter {
        agent: Some(approval.agent.to_string()),
        server: Some(approval.server.clone()),
        tool: Some(approval.target.clone()),
        kind: Some(Kind::Intent),
        since: Some(rooms.clock.now() - Span::days(7)),
        ..Filter::default()
    };
    let found = rooms.recorder.search(&filter, WEEK).await.unwrap_or_default();
    let mut values: BTreeMap<String, Vec<f64>> = BTreeMap::new();
    for intent in &found {
        let kept = bodies::get(&rooms.store, intent.position).await.unwrap_or_default();
        let arguments = kept.into_iter().find(|body| body.name == "arguments").and_then(|body| body.kept);
        let Some(text) = arguments.and_then(|kept| String::from_utf8(kept.content).ok()) else { continue };
        for (path, number) in numbers(&text) {
            values.entry(path).or_default().push(number);
        }
    }
    let medians = values.into_iter().filter_map(|(path, numbers)| Some((path, median(numbers)?))).collect();
    History { calls: found.len(), medians }
}

fn done(approval: &Approval, signed_in: &SignedIn) -> Page {
    let agent = text(&approval.agent_name);
    let (title, body) = match approval.state {
        ApprovalState::Approved => (
            "Approved",
            format!(
                "<p class=\"notice good\"><strong>{agent}</strong> may do exactly this, once, until {}.</p>\
                 <p class=\"dim\">Most clients send the call again by themselves. Anything else asks anew.</p>",
                text(&approval.expires_at.rfc3339())
            ),
        ),
        ApprovalState::Pending => {
            ("Noted", "<p class=\"notice good\">Your yes is noted. It needs more people.</p>".to_owned())
        }
        _ => ("Denied", format!("<p class=\"notice bad\">It will not run. <strong>{agent}</strong> is told.</p>")),
    };
    Page::new(title, body).to(signed_in)
}

fn refused(e: &ApprovalError, signed_in: &SignedIn) -> Page {
    Page::problem(e.row(), &e.to_string()).to(signed_in)
}
