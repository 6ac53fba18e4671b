//! Many instances of one blueprint, in one commit.

use std::collections::HashSet;

use chancery_model::{Agent, AgentId, AgentKind, Span, Timestamp};
use chancery_store::enrolments::Enrolment;
use chancery_store::{StoreError, Tx, agents, enrolments};
use serde_json::json;

use crate::registrar::{By, Registrar, TRIES};
use crate::{EnrolmentCode, RegisterError, Registration, fields};

/// How many instances one request may ask for.
pub const MOST_INSTANCES: usize = 1_000;
/// How many bytes all names of one request may take, so that one entry can list them.
const MOST_BYTES: usize = 60_000;
/// How many digits a number has at least, so that names sort by their numbers.
const DIGITS: usize = 5;

/// Which instances are to be made.
#[derive(Debug, Clone)]
pub struct Instances {
    /// How they are called.
    pub names: Names,
    /// What kind of identity they are.
    pub kind: AgentKind,
    /// The accountable business person, where it is not the blueprint's.
    pub sponsor: Option<String>,
    /// The technical keeper, where it is not the blueprint's.
    pub owner: Option<String>,
    /// Why they exist, where it is not what the blueprint says.
    pub purpose: Option<String>,
    /// How long they may live, where it is not what the blueprint says.
    pub expires_in: Option<Span>,
    /// Whether each gets a one-time enrolment code.
    pub codes: bool,
}

/// How new instances are called.
#[derive(Debug, Clone)]
pub enum Names {
    /// So.
    These(Vec<String>),
    /// `PREFIX-00001` and on, after the highest number there is; the blueprint's name if there is no prefix.
    Numbered {
        /// How many.
        count: usize,
        /// What stands before the number.
        prefix: Option<String>,
    },
}

/// What was made.
#[derive(Debug)]
pub struct Made {
    /// The instances, in the order of their names in the request.
    pub instances: Vec<Instance>,
    /// From then on they may not act.
    pub expires_at: Timestamp,
}

/// One new instance.
#[derive(Debug)]
pub struct Instance {
    /// Its id.
    pub id: AgentId,
    /// Its name.
    pub name: String,
    /// The code with which it enrols its key, where codes were asked for.
    pub code: Option<EnrolmentCode>,
}

impl Registrar {
    /// Registers instances of a blueprint: all of them or none, in one commit, under one entry that lists them.
    pub async fn instantiate(&self, blueprint: &str, request: &Instances, actor: &str) -> Result<Made, RegisterError> {
        let mut tries = 1;
        loop {
            match self.try_instantiate(blueprint, request, actor).await {
                // Somebody else took the numbers in between: take the next ones.
                Err(RegisterError::Instances { .. }) if request.numbered() && tries < TRIES => tries += 1,
                done => return done,
            }
        }
    }

    async fn try_instantiate(&self, blueprint: &str, request: &Instances, actor: &str) -> Result<Made, RegisterError> {
        let now = self.clock.now();
        let blueprint = self.blueprint(blueprint).await?;
        blueprint.demand_active("instantiated")?;
        let names = self.names(&request.names, &blueprint.name).await?;
        let mut agents = Vec::with_capacity(names.len());
        for name in names {
            agents.push(self.named(&request.registration(name, &blueprint.name), Some(&blueprint), now)?);
        }
        let codes = agents
            .iter()
            .map(|_| request.codes.then(|| EnrolmentCode::new(now, self.config.code_lifetime, &*self.random)));
        let codes: Vec<Option<EnrolmentCode>> = codes.collect();
        let enrolments = agents.iter().zip(&codes);
        let enrolments = enrolments.filter_map(|(agent, code)| Some(code.as_ref()?.stored(&agent.id, now))).collect();
        let first = agents.first().ok_or_else(|| wrong("names", "it is empty"))?;
        let expires_at = first.expires_at;
        let listed: Vec<&str> = agents.iter().map(|agent| agent.name.as_str()).collect();
        let after = json!({
            "instances": listed, "kind": first.kind, "sponsor": first.sponsor, "owner": first.owner,
            "purpose": first.purpose, "expires_at": first.expires_at, "codes": request.codes,
        });
        let draft = By { actor, verb: "instantiate", reason: None }.draft(now, "blueprint", &blueprint.name, &after);
        let made = agents.iter().zip(codes).map(|(agent, code)| (agent.id.clone(), agent.name.clone(), code));
        let made = made.map(|(id, name, code)| Instance { id, name, code }).collect();
        self.store.write(draft, move |tx| Box::pin(insert(tx, agents, enrolments))).await?;
        Ok(Made { instances: made, expires_at })
    }

    async fn names(&self, names: &Names, blueprint: &str) -> Result<Vec<String>, RegisterError> {
        let (count, field) = match names {
            Names::These(names) => (names.len(), "names"),
            Names::Numbered { count, .. } => (*count, "count"),
        };
        if count == 0 || count > MOST_INSTANCES {
            return Err(wrong(field, &format!("{count} is not 1 to {MOST_INSTANCES} at once")));
        }
        let names = match names {
            Names::These(names) => names.clone(),
            Names::Numbered { count, prefix } => {
                let prefix = fields::name("prefix", prefix.as_deref().unwrap_or(blueprint))?;
                let last = agents::last_number(&self.store, &prefix).await?;
                (1..=*count as u64).map(|n| format!("{prefix}-{:0DIGITS$}", last.saturating_add(n))).collect()
            }
        };
        if names.iter().map(|name| name.len() + 3).sum::<usize>() > MOST_BYTES {
            return Err(wrong(field, &format!("all names together take more than {MOST_BYTES} bytes: ask for fewer")));
        }
        match strange(&names) {
            bad if bad.is_empty() => Ok(names),
            bad => Err(RegisterError::Instances { bad, of: names.len() }),
        }
    }
}

impl Instances {
    fn numbered(&self) -> bool {
        matches!(self.names, Names::Numbered { .. })
    }

    fn registration(&self, name: String, blueprint: &str) -> Registration {
        Registration {
            name,
            kind: self.kind,
            sponsor: self.sponsor.clone(),
            owner: self.owner.clone(),
            purpose: self.purpose.clone(),
            blueprint: Some(blueprint.to_owned()),
            expires_in: self.expires_in,
            adopts: None,
        }
    }
}

/// Names that are none, or that come twice.
fn strange(names: &[String]) -> Vec<String> {
    let mut seen: HashSet<&str> = HashSet::new();
    let mut bad = Vec::new();
    for name in names {
        if !fields::is_name(name) {
            bad.push(fields::no_name(name));
        } else if !seen.insert(name) {
            bad.push(format!("`{name}` comes twice"));
        }
    }
    bad
}

async fn insert(tx: &mut Tx, agents: Vec<Agent>, enrolments: Vec<Enrolment>) -> Result<(), StoreError> {
    let mut taken = Vec::new();
    for agent in &agents {
        if agents::is_taken(&mut *tx, &agent.name).await? {
            taken.push(format!("`{}` is taken", agent.name));
        }
    }
    if !taken.is_empty() {
        return Err(StoreError::refuse(RegisterError::Instances { bad: taken, of: agents.len() }));
    }
    for agent in &agents {
        agents::insert(tx, agent).await?;
    }
    for enrolment in &enrolments {
        enrolments::insert(tx, enrolment).await?;
    }
    Ok(())
}

fn wrong(field: &'static str, why: &str) -> RegisterError {
    RegisterError::Field { field, why: why.to_owned() }
}
