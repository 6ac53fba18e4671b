//! The markup of one request, from top to bottom as it is read on a phone.

use std::fmt::Write as _;

use chancery_authenticate::SignedIn;
use chancery_model::{Approval, ApprovalState, Demand, Digest, Foretold, Span, Timestamp, Vote};
use chancery_oversee::approvals::{Field, effect};
use serde_json::Value;

use super::history::History;
use super::reach::Reach;
use crate::pages::passkeys::SHOWN;
use crate::pages::{Page, escaped, form_key, marked, sentence, text};
use crate::policies::sha256;

/// Arguments that stand in the sentence, at the most, and how long each may be there.
const NAMED: usize = 3;
const SHORT: usize = 48;

/// What whoever looks may say to it.
pub(super) enum Decide {
    /// Nothing: they are not among those who are asked.
    Not(String),
    /// Nothing any more.
    Over,
    /// They have said yes, and others are waited for.
    Voted,
    /// Yes or no.
    Plain,
    /// Yes with a passkey, or no. These are the options for the browser.
    Signed(Value),
    /// The same, and they have no passkey.
    NoPasskey,
}

/// Everything that is shown.
pub(super) struct Card<'a> {
    pub(super) approval: &'a Approval,
    pub(super) digest: Digest,
    pub(super) now: Timestamp,
    /// The last one of the kind that was approved and ran.
    pub(super) last: Option<&'a Approval>,
    pub(super) history: History,
    pub(super) reach: Reach,
    pub(super) decide: Decide,
    /// In whose place whoever looks would decide.
    pub(super) place: Option<&'a str>,
    pub(super) by: &'a SignedIn,
}

impl Card<'_> {
    pub(super) fn page(&self) -> Page {
        let mut body = lead(self.approval);
        body += &self.stands();
        body += &self.effect();
        body += &self.foretold();
        body += &claim(self.approval);
        body += &self.circumstances();
        body += &self.reach();
        body += &self.form();
        body += &self.exact();
        Page::new(title(self.approval, self.now), body)
    }

    /// Is a passkey shown on it?
    pub(super) fn is_signed(&self) -> bool {
        matches!(self.decide, Decide::Signed(_))
    }

    /// How much time there is, or what became of it.
    fn stands(&self) -> String {
        let approval = self.approval;
        let until = time(approval.expires_at);
        let said = match approval.standing(self.now) {
            "pending" => {
                let left = lasting(approval.expires_at - self.now);
                return format!("<p class=\"left\"><strong>{left} left</strong>, until {until}</p>");
            }
            "approved" => ("good", format!("It may run once, until {until}. It has not run yet.")),
            "used" => ("good", format!("It was approved, and ran {}.", at(approval.used_at))),
            "denied" => ("bad", "It will not run, and the agent was told so.".to_owned()),
            "cancelled" if approval.decoy => ("warn", "This one was a test. Nothing was done.".to_owned()),
            "cancelled" => ("warn", "Whoever asked took it back, or what asked for it was stopped.".to_owned()),
            _ => ("warn", format!("Nobody decided or used it in time: it ended {until}.")),
        };
        format!("<p class=\"notice {}\">{}</p>", said.0, said.1)
    }

    /// The arguments, one by one, beside those of the last one.
    fn effect(&self) -> String {
        let last = self.last;
        let before = last.map(|last| last.arguments.as_deref());
        let fields = effect(self.approval.arguments.as_deref(), before, sha256);
        let mut rows = String::new();
        for field in &fields {
            let (name, shown) = (marked(&field.path), value(field, last.is_some()));
            let _ = write!(rows, "<tr><th scope=\"row\">{name}</th><td>{shown}</td></tr>");
        }
        let rows = if rows.is_empty() { "<tr><td>without arguments</td></tr>".to_owned() } else { rows };
        let compared = match last {
            None => "No call of this tool by this agent was approved before.".to_owned(),
            Some(last) => format!("Compared with the last one that was approved, {}.", time(last.created_at)),
        };
        let what = if self.approval.used_at.is_some() { "What ran" } else { "What would run" };
        let usual = text(&self.history.beside(self.approval.arguments.as_deref()));
        format!(
            "<h2>{what}</h2><table class=\"effect\"><tbody>{rows}</tbody></table>\
             <p class=\"dim\">{compared}</p><p class=\"usual\">{usual}</p>"
        )
    }

    /// What the upstream says of it, as its claim.
    fn foretold(&self) -> String {
        let Some(dry_run) = &self.approval.dry_run else { return String::new() };
        let server = marked(&self.approval.server);
        let quoted = |said: &str| format!("<blockquote><pre tabindex=\"0\">{}</pre></blockquote>", marked(said));
        let said = match &dry_run.foretold {
            Foretold::Effect(said) => format!("<p>{server} says that it would do this:</p>{}", quoted(said)),
            Foretold::Failure(said) => {
                format!("<p class=\"notice warn\">{server} says that it would fail:</p>{}", quoted(said))
            }
            Foretold::Nothing(why) => format!("<p class=\"dim\">{server} could not be asked: {}.</p>", marked(why)),
        };
        let how = match &dry_run.argument {
            Some(argument) => format!("{} with {} = true", dry_run.tool, argument),
            None => dry_run.tool.clone(),
        };
        let asked = format!(
            "Asked with {}, {}, before you were. The server answers for what it says.",
            text(&how),
            time(dry_run.at)
        );
        format!("<h2>Dry run</h2>{said}<p class=\"dim\">{asked}</p>")
    }

    fn circumstances(&self) -> String {
        let approval = self.approval;
        let mut rows = vec![("On whose behalf", text(&on_behalf(approval)))];
        let demands: Vec<String> = approval.demands.iter().map(|demand| asks(demand, &approval.votes)).collect();
        rows.push(("Who has to approve", demands.join("<br>")));
        if !approval.votes.is_empty() {
            let said: Vec<String> = approval.votes.iter().map(voice).collect();
            rows.push(("So far", said.join("<br>")));
        }
        let rows =
            rows.iter().fold(String::new(), |all, (name, value)| all + &format!("<dt>{name}</dt><dd>{value}</dd>"));
        format!("<dl>{rows}</dl>")
    }

    fn reach(&self) -> String {
        let class = if self.reach.destroys() { " class=\"warned\"" } else { "" };
        let lines =
            self.reach.lines().iter().fold(String::new(), |all, line| all + &format!("<li>{}</li>", text(line)));
        format!("<h2>How far it goes</h2><ul{class}>{lines}</ul>")
    }

    /// The form, or why there is none.
    fn form(&self) -> String {
        match &self.decide {
            Decide::Over => String::new(),
            Decide::Not(why) => {
                format!("<p class=\"notice warn\">You may look at this, not decide it: {}.</p>", text(why))
            }
            Decide::Voted => {
                "<p class=\"notice good\">It is approved from your place. It waits for others.</p>".to_owned()
            }
            Decide::Plain => self.ask("", "Approve once", ""),
            Decide::Signed(options) => {
                let options = escaped(&options.to_string());
                let attributes = format!(" data-passkey=\"get\" data-options=\"{options}\"");
                let without = "<noscript><p class=\"notice warn\">To approve this you show your passkey, and browsers do \
                               that by JavaScript only. You can still deny it.</p></noscript>";
                self.ask(&attributes, "Approve with passkey", without)
            }
            Decide::NoPasskey => {
                let missing = "<p class=\"notice warn\">To approve this you show a passkey, and you have none yet: \
                               <a href=\"/passkeys\">register one</a>, then come back.</p>";
                self.ask("", "Approve with passkey", missing)
            }
        }
    }

    /// Yes and no, of the same size, where a thumb is.
    fn ask(&self, attributes: &str, yes: &str, note: &str) -> String {
        let id = text(self.approval.id.as_str());
        let signed = if attributes.is_empty() { [].as_slice() } else { SHOWN.as_slice() };
        let hidden =
            signed.iter().fold(String::new(), |all, name| all + &format!("<input type=\"hidden\" name=\"{name}\">"));
        let disabled = if matches!(self.decide, Decide::Plain) { "" } else { " disabled" };
        let place = self.place.map_or_else(String::new, |name| {
            format!(
                "<p class=\"notice good\">You stand in for <strong>{}</strong>: you decide in their place.</p>",
                text(name)
            )
        });
        let (key, seen) = (form_key(self.by), text(&self.digest.to_string()));
        format!(
            "{place}<form method=\"post\" action=\"/approvals/{id}\"{attributes}>{key}{hidden}\
             <input type=\"hidden\" name=\"seen\" value=\"{seen}\">\
             <p><label for=\"comment\">Comment</label> <span class=\"dim\">optional, the agent sees it</span>\
             <textarea id=\"comment\" name=\"comment\" maxlength=\"500\" rows=\"2\"></textarea></p>{note}\
             <div class=\"bar\"><p role=\"status\" class=\"dim\"></p><div class=\"actions even\">\
             <button name=\"say\" value=\"approve\"{disabled}>{yes}</button>\
             <button class=\"plain\" name=\"say\" value=\"deny\">Deny</button></div></div></form>"
        )
    }

    /// The request to the letter, for whoever wants to see it.
    fn exact(&self) -> String {
        let approval = self.approval;
        let block = |given: &Option<String>| {
            let shown = |given: &str| format!("<pre tabindex=\"0\">{}</pre>", marked(given));
            given.as_deref().map_or_else(String::new, shown)
        };
        let policies: Vec<&str> = approval.demands.iter().map(|demand| &*demand.policy).collect();
        let rows = [
            ("Policy", policies.join(", ")),
            ("Request", approval.id.to_string()),
            ("Digest", self.digest.to_string()),
            ("Session", approval.session.to_string()),
            ("Set of policies", approval.policy_version.clone()),
        ];
        let rows = rows.iter().fold(String::new(), |all, (name, value)| {
            all + &format!("<dt>{name}</dt><dd><code>{}</code></dd>", text(value))
        });
        let (arguments, input) = (block(&approval.arguments), block(&approval.input));
        format!("<details><summary>Show the exact request</summary>{arguments}{input}<dl>{rows}</dl></details>")
    }
}

/// What is shown after a yes or a no.
pub(super) fn done(approval: &Approval) -> Page {
    let (title, class, said) = match approval.state {
        _ if approval.decoy => decoy(approval),
        ApprovalState::Approved => {
            let until = time(approval.expires_at);
            let said = format!(
                "It may do exactly this, once, until {until}. Most clients send the call again by themselves; anything \
                 else asks anew."
            );
            ("Approved", "good", said)
        }
        ApprovalState::Pending => ("Noted", "good", "Your yes is noted. It needs more people.".to_owned()),
        _ => ("Denied", "bad", "It will not run, and the agent is told.".to_owned()),
    };
    let again = format!("<p><a href=\"/approvals/{}\">Look at it again</a></p>", text(approval.id.as_str()));
    Page::new(title, format!("{}<p class=\"notice {class}\">{said}</p>{again}", lead(approval)))
}

/// What is said to whoever decided something that was about no call.
fn decoy(approval: &Approval) -> (&'static str, &'static str, String) {
    match approval.state {
        ApprovalState::Denied => {
            ("Denied", "good", "This one was a test: nobody had asked for it. You looked, and said no.".to_owned())
        }
        _ => {
            let said = "This one was a test: nobody had asked for it, and policies refuse it whatever people say. Nothing \
                        was done, and it is noted that you said yes.";
            ("That was a test", "warn", said.to_owned())
        }
    }
}

fn title(approval: &Approval, now: Timestamp) -> &'static str {
    match approval.standing(now) {
        "pending" => "Approve this call?",
        "approved" => "Approved",
        "used" => "Approved and used",
        "denied" => "Denied",
        "cancelled" => "Taken back",
        _ => "Too late",
    }
}

/// Who wants what, in one sentence, from the arguments and nothing else.
fn lead(approval: &Approval) -> String {
    let fields = effect(approval.arguments.as_deref(), None, sha256);
    let short = |field: &&Field| field.value.as_ref().is_some_and(|value| value.chars().count() <= SHORT);
    let named: Vec<String> = fields
        .iter()
        .filter(short)
        .take(NAMED)
        .map(|field| format!("{} <b>{}</b>", marked(&field.path), marked(field.value.as_deref().unwrap_or_default())))
        .collect();
    let more = match fields.len() - named.len() {
        0 => String::new(),
        1 => " and 1 more argument".to_owned(),
        more => format!(" and {more} more arguments"),
    };
    let with = if named.is_empty() { more } else { format!(": {}{more}", named.join(", ")) };
    format!(
        "<p class=\"lead\"><strong>{}</strong> wants to use <strong>{}</strong> on {}{with}</p>",
        text(&approval.agent_name),
        text(&approval.target),
        text(&approval.server),
    )
}

fn value(field: &Field, compared: bool) -> String {
    match (&field.value, &field.before) {
        (Some(value), Some(before)) => {
            format!("<strong class=\"changed\">{}</strong> <small>was {}</small>", marked(value), marked(before))
        }
        (Some(value), None) if compared && field.changed => {
            format!("<strong class=\"changed\">{}</strong> <small>new</small>", marked(value))
        }
        (Some(value), None) => marked(value),
        (None, before) => format!("<small>not sent; was {}</small>", marked(before.as_deref().unwrap_or_default())),
    }
}

/// What the agent says, as what it says.
fn claim(approval: &Approval) -> String {
    let Some(reason) = &approval.reason else {
        return "<p class=\"dim\">The agent gives no reason.</p>".to_owned();
    };
    format!("<h2>Reason given by the agent</h2><blockquote>{}</blockquote>", text(reason))
}

/// Who has to say yes, and how many of them have.
fn asks(demand: &Demand, votes: &[Vote]) -> String {
    let yes = votes.iter().filter(|vote| vote.approve && vote.meets.contains(&demand.policy)).count();
    let so_far = match (yes, demand.quorum) {
        (0, _) | (_, 1) => String::new(),
        (yes, _) => format!(" <small>{yes} did</small>"),
    };
    // Names stand in backticks for programs and logs.
    format!("{}{so_far}", text(&sentence(&demand.who()).replace('`', "")))
}

fn voice(vote: &Vote) -> String {
    let said = if vote.approve { "yes" } else { "no" };
    let with = if vote.passkey.is_some() { ", with a passkey" } else { "" };
    let comment = vote.comment.as_deref().map_or_else(String::new, |comment| format!(": “{}”", text(comment)));
    let place = vote.for_person.as_deref().map_or_else(String::new, |name| format!(" for {}", text(name)));
    format!("{}{place} said {said}{with}{comment}", text(&vote.name))
}

fn on_behalf(approval: &Approval) -> String {
    let mut chain = approval.chain.clone();
    if chain.last() != Some(&approval.agent_name) {
        chain.push(approval.agent_name.clone());
    }
    match (&approval.human, chain.len()) {
        (None, 1) => "its own".to_owned(),
        (None, _) => chain.join(" → "),
        (Some(human), _) => format!("{human} ({})", chain.join(" → ")),
    }
}

/// A time that is left, in the largest unit that says enough.
fn lasting(left: Span) -> String {
    let minutes = left.as_seconds() / 60;
    match minutes {
        ..1 => "Less than a minute".to_owned(),
        1 => "1 minute".to_owned(),
        2..120 => format!("{minutes} minutes"),
        _ => format!("{} hours", minutes / 60),
    }
}

/// A moment to the minute; the whole of it for programs.
fn time(at: Timestamp) -> String {
    let whole = at.rfc3339();
    let shown: String = whole.chars().take(16).collect();
    format!("<time datetime=\"{}\">{} UTC</time>", escaped(&whole), escaped(&shown.replace('T', " ")))
}

fn at(when: Option<Timestamp>) -> String {
    when.map_or_else(|| "before".to_owned(), time)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_left_is_said_in_one_unit() {
        let said = [(30, "Less than a minute"), (60, "1 minute"), (899, "14 minutes"), (7200, "2 hours")];
        for (seconds, said) in said {
            assert_eq!(lasting(Span::seconds(seconds)), said);
        }
    }
}
