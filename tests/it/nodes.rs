//! Several processes on one database: what one of them stops is stopped at all, even at one that is stopped itself.

use std::io::{BufRead, BufReader, Write};
use std::process::{Child, ChildStdin, ChildStdout, Command, Stdio};
use std::sync::Arc;

use chancery_it::{Seeded, WallClock};
use chancery_lend::Postgres;
use chancery_model::{Agent, AgentId, AgentKind, AgentState, BearerUse, Change, Draft, Kind, Secret, Span, Timestamp};
use chancery_store::{Config, How, Store, agents, nodes, token_hash};

/// How often a process is stopped.
const TIMES: u64 = 4;

/// Another process, at which questions can be asked.
struct Other {
    child: Child,
    questions: ChildStdin,
    answers: BufReader<ChildStdout>,
}

impl Other {
    #[expect(clippy::disallowed_methods, reason = "a node is a process")]
    fn start(dir: &std::path::Path, url: &str, token: &Secret) -> Self {
        let mut command = Command::new(env!("CARGO_BIN_EXE_node-loop"));
        command.arg(dir).args([url, token.expose()]).stdin(Stdio::piped()).stdout(Stdio::piped());
        let mut child = command.spawn().unwrap();
        let (questions, answers) = (child.stdin.take().unwrap(), BufReader::new(child.stdout.take().unwrap()));
        let mut other = Self { child, questions, answers };
        assert_eq!(other.answer(), "ready");
        other
    }

    fn ask(&mut self) {
        self.questions.write_all(b"\n").unwrap();
    }

    fn answer(&mut self) -> String {
        let mut line = String::new();
        self.answers.read_line(&mut line).unwrap();
        line.trim().to_owned()
    }

    #[expect(clippy::disallowed_methods, reason = "a signal to the one process this test started")]
    fn signal(&self, name: &str) {
        let sent = Command::new("kill").args([name, &self.child.id().to_string()]).status().unwrap();
        assert!(sent.success());
    }
}

impl Drop for Other {
    fn drop(&mut self) {
        drop(self.child.kill());
        drop(self.child.wait());
    }
}

fn agent(number: u64) -> Agent {
    let now = Timestamp::from_seconds(1_795_000_000);
    Agent {
        id: AgentId::new(now, &Seeded::new(number)),
        name: format!("crm-{number}"),
        kind: AgentKind::Agent,
        sponsor: "ada@example.com".into(),
        owner: "grace@example.com".into(),
        purpose: "tests".into(),
        blueprint: None,
        manifest: None,
        state: AgentState::Active,
        epoch: 0,
        bearer: BearerUse::Refused,
        key_thumbprint: None,
        public_jwk: None,
        created_at: now,
        expires_at: Timestamp::from_seconds(1_900_000_000),
    }
}

fn draft(verb: &str, id: &str) -> Draft {
    let change = Change { noun: "agent".into(), id: id.into(), verb: verb.into(), after: None };
    Draft { kind: Kind::Change, at: Timestamp(1), change: Some(change), ..Draft::default() }
}

async fn token(store: &Store) -> Secret {
    let token = store.node_token();
    let hash = token_hash(token.expose());
    let (from, until) = (Timestamp(1), Timestamp(i64::MAX));
    let write = store.write(draft("invite", "token"), move |tx| {
        Box::pin(async move { nodes::insert_token(tx, &hash, from, until).await })
    });
    write.await.unwrap();
    token
}

async fn put(store: &Store, agent: Agent, new: bool) -> u64 {
    let write = store.write(draft("put", &agent.name), move |tx| {
        Box::pin(async move { if new { agents::insert(tx, &agent).await } else { agents::update(tx, &agent).await } })
    });
    write.await.unwrap().durable.change()
}

/// The worst moment to be stopped: a question is waiting when the process goes on. It must not answer as one that may
/// act and does not know who was stopped meanwhile.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_process_that_was_stopped_does_not_act_by_what_it_knew() {
    let Some(server) = Postgres::start() else { return };
    let url = server.database();
    let (here, there) = (tempfile::tempdir().unwrap(), tempfile::tempdir().unwrap());
    let config = Config { database: Some(Secret::new(url.clone())), ..Config::at(here.path()) };
    let store = Store::open(&config, Arc::new(WallClock), Arc::new(Seeded::new(1))).await.unwrap();
    let token = token(&store).await;
    let mut other = Other::start(there.path(), &url, &token);
    for number in 0..TIMES {
        let crm = agent(number);
        let change = put(&store, crm.clone(), true).await;
        let confirmed = store.watch().confirmed(change).await.unwrap();
        assert_eq!(confirmed[0].how, How::Confirmed, "{confirmed:?}");
        other.ask();
        assert_eq!(other.answer(), format!("fresh crm-{number} Active"));

        other.signal("-STOP");
        let watch = store.watch();
        let change = put(&store, crm.suspend().unwrap(), false).await;
        let confirmed = watch.confirmed(change).await.unwrap();
        assert_eq!(confirmed[0].how, How::LeaseEnded, "{confirmed:?}");
        assert!(confirmed[0].after < Span::seconds(5), "{confirmed:?}");
        other.ask();
        other.signal("-CONT");
        let answer = other.answer();
        assert_ne!(answer, format!("fresh crm-{number} Active"), "it would have let a suspended agent act");

        let knows = async {
            loop {
                other.ask();
                if other.answer() == format!("fresh crm-{number} Suspended") {
                    return;
                }
                tokio::time::sleep(std::time::Duration::from_millis(50)).await;
            }
        };
        tokio::time::timeout(std::time::Duration::from_secs(20), knows).await.expect("it goes on by itself");
    }
}
