//! Every verb once.

use std::os::unix::fs::PermissionsExt;

use chancery_testkit::{Browser, HttpUpstream, TestApp};
use serde_json::{Value, json};
use tokio::io::{AsyncBufReadExt, AsyncReadExt, AsyncWriteExt, BufReader};
use tokio::net::{TcpListener, TcpStream};

use super::{Desk, on_real_time, read};
use crate::gateway::world::World;

#[tokio::test]
async fn agents_and_their_keys() {
    let desk = Desk::open().await;
    let made =
        desk.json("agent register bot --sponsor m@example.com --owner l@example.com --purpose x --days 30").await;
    let code = made["enrolment"]["code"].as_str().unwrap().to_owned();
    let enrolled = desk.run_with(&["agent", "enrol", "bot", "-o", "json"], &code).await;
    assert_eq!(enrolled.exit, 0, "{}", enrolled.err);
    let key = desk.keys().join("bot.key");
    assert_eq!(std::fs::metadata(&key).unwrap().permissions().mode() & 0o777, 0o600);
    let again = desk.run_with(&["agent", "enrol", "bot"], &code).await;
    assert_eq!((again.exit, again.err.contains("C6005")), (1, true), "{}", again.err);

    let code = desk.ok("agent code bot -o name").await;
    let file = desk.app.directory().join("code.txt");
    std::fs::write(&file, code).unwrap();
    desk.ok(&format!("agent enrol bot --code-file {}", file.display())).await;

    assert_eq!(desk.ok("agent list -o name").await, "bot\n");
    assert_eq!(desk.json("agent get bot").await["state"], "active");
    assert_eq!(desk.json("agent suspend bot --reason test").await["state"], "suspended");
    assert_eq!(desk.ok("agent list --state suspended -o name").await, "bot\n");
    assert_eq!(desk.json("agent resume bot").await["state"], "active");
    desk.ok("agent extend bot --days 60").await;
    assert_eq!(desk.json("agent bearer bot --allow").await["bearer"], "allowed");
    assert!(desk.ok("finding list").await.contains("bearer-allowed\tbot"));
    assert_eq!(desk.json("agent bearer bot --refuse").await["bearer"], "refused");
}

#[tokio::test]
async fn a_call_through_the_bridge_is_listed_explained_and_proved() {
    let desk = Desk::open().await;
    desk.enrolled("bot").await;
    let grant = desk.json("grant create --template use-tool --agent bot --server crm --tool echo --why test").await;
    let id = grant["id"].as_str().unwrap().to_owned();
    assert!(desk.ok("grant list --agent bot").await.starts_with(&id));
    super::bridge::conversation(&desk, "bot", "crm").await;

    let intent = desk.upstream.calls().pop().expect("a call").header("chancery-intent").unwrap().to_owned();
    let story = desk.ok(&format!("why {intent}")).await;
    assert!(story.starts_with("allowed: bot may call crm/echo"), "{story}");
    assert!(story.contains("policy   use-tool"), "{story}");
    assert_eq!(desk.json(&format!("why {intent}")).await["outcome"], "allowed");

    let session = desk.ok("session list --agent bot -o name").await.lines().next().unwrap_or_default().to_owned();
    assert_eq!(desk.json(&format!("session end {session}")).await["state"], "ended");
    assert!(desk.json(&format!("grant revoke {id} --reason over")).await["revoked_at"].is_string());

    assert!(desk.ok(&format!("log prove {intent}")).await.starts_with("c2sp.org/tlog-proof@v1\n"));
    desk.ok(&format!("log erase {intent} --body arguments --reason test")).await;
    assert!(desk.ok("log tail -n 5").await.contains("erase"));
    assert_eq!(desk.ok("log tail -n 3 -o jsonl").await.lines().count(), 3);
}

#[tokio::test]
async fn a_connection_is_authorized_listed_and_cut() {
    let world = World::start().await;
    let app = on_real_time(world.behind(json!({"mode": "authorization_code"}))).start().await;
    let desk = Desk { app, upstream: HttpUpstream::start().await };
    assert!(desk.ok("connection list").await.starts_with("crm\tnone\tauthorization_code"));

    let mut child = desk.command(&["connection", "authorize", "crm"]).spawn().unwrap();
    let mut said = BufReader::new(child.stderr.take().unwrap()).lines();
    let url = loop {
        let line = said.next_line().await.unwrap().expect("an address");
        if line.starts_with("http") {
            break line;
        }
    };
    let back = desk.app.http().get(&url).await.header("location");
    assert_eq!(desk.app.http().get(&back).await.status, 200);
    let ended = tokio::time::timeout(super::PATIENCE, child.wait_with_output()).await.unwrap().unwrap();
    let told = String::from_utf8_lossy(&ended.stdout).into_owned();
    assert!(ended.status.success() && told.contains("connected"), "{told}");
    assert!(desk.ok("connection list").await.starts_with("crm\topen\tauthorization_code"));

    desk.ok("connection disconnect crm --reason test").await;
    assert!(desk.ok("log tail -n 5").await.contains("disconnect connection"));
    let again = desk.run("connection disconnect crm").await;
    assert_eq!((again.exit, again.err.contains("C4025")), (3, true), "{}", again.err);
}

#[tokio::test]
async fn the_log_is_verified_against_an_older_checkpoint() {
    let desk = Desk::open().await;
    let old = desk.app.directory().join("old.note");
    std::fs::write(&old, desk.ok("log checkpoint").await).unwrap();
    desk.enrolled("bot").await;
    let report = desk.json(&format!("log verify --checkpoint {}", old.display())).await;
    assert_eq!(report["ok"], true);
    assert!(report["extends"]["entries"].as_u64() < report["entries"].as_u64(), "{report}");
    let forged = read(&old).replacen("\n4\n", "\n3\n", 1);
    std::fs::write(&old, forged + "x").unwrap();
    assert_eq!(desk.run(&format!("log verify --checkpoint {}", old.display())).await.exit, 7);

    let bundle = desk.app.directory().join("all.bundle");
    desk.ok(&format!("log export -o {}", bundle.display())).await;
    let file = std::fs::File::open(&bundle).unwrap();
    chancery_verify::verify(file, &chancery_verify::Options::default()).expect("the bundle verifies");
}

#[tokio::test]
async fn policies_tools_and_secrets() {
    let desk = Desk::open().await;
    let policies = desk.app.directory().join("policies");
    let shown = policies.display().to_string();
    desk.ok(&format!("policy check {shown}")).await;
    desk.ok(&format!("policy fmt {shown}")).await;
    desk.ok(&format!("policy fmt --check {shown}")).await;
    assert!(desk.ok(&format!("policy schema {shown}")).await.contains("crm/echo"));
    assert!(desk.ok("policy schema --base").await.contains("entity Agent"));
    assert_eq!(desk.json("policy status").await["failed"], false);
    assert_eq!(desk.json("policy reload").await["failed"], false);
    let test = json!([{
        "name": "nothing is granted", "decision": "deny",
        "request": {"principal": "Agent::\"a\"", "action": "Action::\"mcp/connect\"", "resource": "Tool::\"crm/echo\"", "context": {}},
    }]);
    std::fs::create_dir_all(policies.join("tests")).unwrap();
    std::fs::write(policies.join("tests/a.json"), test.to_string()).unwrap();
    let tested = desk.run(&format!("policy test {shown}")).await;
    assert!(tested.exit == 0 && tested.out.contains("passed"), "{}{}", tested.out, tested.err);
    std::fs::write(policies.join("bad.cedar"), "permit (principal").unwrap();
    let refused = desk.run("policy reload").await;
    assert!(refused.exit == 1 && refused.err.contains("C3001"), "{}", refused.err);
    assert_eq!(desk.run(&format!("policy check {shown}")).await.exit, 1);

    assert!(desk.ok("tool list --server crm").await.contains("crm/echo\tpinned"));
    assert_eq!(desk.run("tool approve crm echo").await.exit, 8);
    approve_what_was_seen(&desk).await;
    let set = desk.run_with(&["secret", "set", "crm-key"], "canary-91cd\n").await;
    assert!(set.exit == 0 && !set.out.contains("canary"), "{}{}", set.out, set.err);
    assert!(desk.ok("secret list").await.starts_with("crm-key\t1\t"));
    desk.ok("secret delete crm-key").await;
    assert_eq!(desk.run("secret delete crm-key").await.exit, 3);
}

/// Without a digest the definition is shown, and nothing is approved.
async fn approve_what_was_seen(desk: &Desk) {
    let says = |text: &str| json!([{"name": "echo", "description": text, "inputSchema": {"type": "object"}}]);
    desk.upstream.set_tools(says("Now it sends mail."));
    assert!(desk.app.agent("lister").await.tools("crm").await.is_empty());
    let looked = desk.run("tool approve crm echo").await;
    assert_eq!(looked.exit, 2, "{}", looked.err);
    assert!(looked.out.contains("-   \"description\": \"Says it back.\""), "{}", looked.out);
    assert!(looked.out.contains("+   \"description\": \"Now it sends mail.\""), "{}", looked.out);
    assert!(desk.ok("tool list --server crm").await.contains("crm/echo\tquarantined"));
    let command = looked.err.split_once("chancery ").expect("a command").1.lines().next().expect("a line").to_owned();
    assert!(desk.ok(&command).await.contains("state\tpinned"));
    assert_eq!(desk.run("tool approve crm ghost").await.exit, 3);
}

#[tokio::test]
async fn status_doctor_completion_and_client_settings() {
    let desk = Desk::open().await;
    assert_eq!(desk.json("status").await["ready"], true);
    let config = desk.app.directory().join("chancery.toml");
    std::fs::write(
        &config,
        format!("policies = \"policies\"\nkek = \"kek\"\n[servers.crm]\nurl = \"{}\"\n", desk.upstream.url()),
    )
    .unwrap();
    let checked = desk.json("doctor").await;
    assert!(checked.as_array().unwrap().iter().all(|row| row["state"] != "bad"), "{checked}");
    for shell in ["bash", "zsh", "fish"] {
        assert!(desk.ok(&format!("completion {shell}")).await.contains("chancery"), "{shell}");
    }
    let printed = desk.ok("mcp config --client vscode --as bot --server crm").await;
    let printed: Value = serde_json::from_str(&printed).unwrap();
    assert_eq!(printed["servers"]["crm"]["type"], "stdio");
    desk.ok("mcp config --client cursor --as bot --server crm --write").await;
    assert!(read(&desk.app.directory().join(".cursor/mcp.json")).contains("\"mcpServers\""));
}

#[tokio::test]
async fn errors_are_four_lines_or_one_object_with_an_exit_code() {
    let desk = Desk::open().await;
    let missing = desk.run("agent get ghost").await;
    assert_eq!((missing.exit, missing.out.as_str()), (3, ""));
    assert!(
        missing.err.starts_with("error: no such agent\n  why: ") && missing.err.contains("[C6001]\n  do:  "),
        "{}",
        missing.err
    );
    let object: Value = serde_json::from_str(&desk.run("agent get ghost -o json").await.err).unwrap();
    assert_eq!((&object["code"], &object["exit"]), (&json!("C6001"), &json!(3)));

    let usage = desk.run("agnt list -o json").await;
    let object: Value = serde_json::from_str(&usage.err).unwrap();
    assert_eq!((usage.exit, &object["code"]), (2, &json!("C7003")));
    assert_eq!(desk.run("agent register bot").await.exit, 2);
    desk.enrolled("bot").await;
    let taken = desk.run("agent register bot --sponsor a --owner b --purpose c").await;
    assert_eq!(taken.exit, 8, "{}", taken.err);
    let nobody = desk.run("--data /nowhere status").await;
    assert_eq!((nobody.exit, nobody.err.contains("C7004")), (9, true), "{}", nobody.err);
    assert_eq!(desk.run("--help").await.exit, 0);
    assert_eq!(desk.run("--version").await.exit, 0);
}

#[tokio::test]
async fn a_server_starts_serves_and_stops_in_order() {
    use tokio::io::{AsyncBufReadExt, BufReader};
    let desk = Desk::open().await;
    let place = desk.app.directory().join("second");
    std::fs::create_dir_all(place.join("policies")).unwrap();
    std::fs::write(place.join("policies/base.cedar"), chancery_testkit::POLICIES).unwrap();
    let config = place.join("chancery.toml");
    std::fs::write(&config, "listen = \"127.0.0.1:0\"\ndata = \"data\"\nkek = \"kek\"\n").unwrap();
    let shown = config.display().to_string();
    let mut command = desk.command(&["serve", "--config", &shown]);
    command.env_remove("CHANCERY_DATA");
    let mut child = command.spawn().expect("it starts");
    let mut lines = BufReader::new(child.stderr.take().unwrap()).lines();
    let ready = async {
        while let Some(line) = lines.next_line().await.unwrap() {
            if line == "ready" {
                return;
            }
        }
        panic!("it ended before it was ready");
    };
    tokio::time::timeout(super::PATIENCE, ready).await.expect("ready in time");
    let data = place.join("data").display().to_string();
    assert!(desk.ok(&format!("--data {data} status")).await.starts_with("ready\ttrue"));
    let pid = child.id().expect("it runs").to_string();
    #[expect(clippy::disallowed_methods, reason = "a signal to the one process this test started")]
    let killed = std::process::Command::new("kill").args(["-TERM", &pid]).status().expect("kill");
    assert!(killed.success());
    let ended = tokio::time::timeout(super::PATIENCE, child.wait()).await.expect("it stops").unwrap();
    assert_eq!(ended.code(), Some(0));
    assert!(!place.join("data/admin.sock").exists(), "the socket is left behind");
}

/// Hands everything on, but for the answer to an enrolment: that is lost on the way.
async fn lossy(listener: TcpListener, server: std::net::SocketAddr) {
    while let Ok((mut client, _)) = listener.accept().await {
        let mut behind = TcpStream::connect(server).await.unwrap();
        let mut request = vec![0; 64 * 1024];
        let length = client.read(&mut request).await.unwrap();
        behind.write_all(&request[..length]).await.unwrap();
        if request.starts_with(b"POST /oauth/enrol") {
            assert_ne!(behind.read(&mut request).await.unwrap(), 0, "the server answers");
            continue;
        }
        tokio::spawn(async move { tokio::io::copy_bidirectional(&mut client, &mut behind).await });
    }
}

#[tokio::test]
async fn a_key_whose_enrolment_got_no_answer_is_kept() {
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let between = listener.local_addr().unwrap().to_string();
    let upstream = HttpUpstream::start().await;
    let app = on_real_time(TestApp::builder()).config(|config| config.hosts.push(between.clone())).start().await;
    let desk = Desk { app, upstream };
    tokio::spawn(lossy(listener, desk.app.app().address()));
    let code = desk.app.register("bot", "agent").await;
    let lost = desk.run_at(&format!("http://{between}"), &["agent", "enrol", "bot"], &code).await;
    let kept = || -> Vec<String> {
        let files = std::fs::read_dir(desk.keys()).unwrap();
        files.map(|file| file.unwrap().file_name().into_string().unwrap()).collect()
    };
    let thumbprint = desk.json("agent get bot").await["key_thumbprint"].as_str().unwrap().to_owned();
    assert_eq!(kept(), [format!("bot.{thumbprint}.new")]);
    assert!(lost.exit != 0 && lost.err.contains(&thumbprint) && lost.err.contains("mv "), "{}", lost.err);
    let again = desk.run_at(&format!("http://{between}"), &["agent", "enrol", "bot"], "A-WRONG-CODE").await;
    assert!(again.exit != 0 && kept().iter().any(|name| name.contains(&thumbprint)), "{}", again.err);
    // A refusal that arrives is certain: that key is thrown away.
    assert_eq!(desk.run_with(&["agent", "enrol", "bot"], &code).await.exit, 1);
    assert_eq!(kept().iter().filter(|name| name.contains(&thumbprint)).count(), 1);
    assert!(kept().len() <= 2, "{:?}", kept());
}

#[tokio::test]
async fn codes_that_were_made_before_a_failure_are_shown() {
    let desk = Desk::open().await;
    desk.json("blueprint create crm --sponsor m@example.com --owner l@example.com --purpose x").await;
    desk.ok("blueprint instantiate crm --name crm-oslo").await;
    let names: String = (0..1_000).map(|n| format!("crm-n{n}\n")).collect();
    let file = desk.app.directory().join("names.txt");
    std::fs::write(&file, format!("{names}crm-oslo\n")).unwrap();
    let half = desk.run(&format!("blueprint instantiate crm --names-file {} --codes", file.display())).await;
    assert!(half.exit == 1 && half.err.contains("`crm-oslo` is taken"), "{}", half.err);
    assert_eq!(half.out.matches("chy-enrol-").count(), 1_000);
}

#[tokio::test]
async fn blueprints_and_their_instances() {
    let desk = Desk::open().await;
    let made =
        desk.json("blueprint create crm --sponsor m@example.com --owner l@example.com --purpose x --days 30").await;
    assert_eq!((&made["state"], &made["lifetime_seconds"]), (&json!("active"), &json!(30 * 86_400)));
    assert_eq!(desk.ok("blueprint list -o name").await, "crm\n");
    let made = desk.ok("blueprint instantiate crm --count 1002 -o name").await;
    assert_eq!((made.lines().count(), made.lines().last()), (1_002, Some("crm-01002")));
    let codes = desk.json("blueprint instantiate crm --name crm-oslo --name crm-rome --codes").await;
    assert!(codes[1]["code"].as_str().unwrap().starts_with("chy-enrol-"), "{codes}");
    let file = desk.app.directory().join("names.txt");
    std::fs::write(&file, "crm-oslo\ncrm-paris\n").unwrap();
    let refused = desk.run(&format!("blueprint instantiate crm --names-file {}", file.display())).await;
    assert!(refused.exit == 1 && refused.err.contains("`crm-oslo` is taken"), "{}", refused.err);
    assert_eq!(desk.run("blueprint instantiate crm").await.exit, 2);
    desk.ok("agent register crm-late --blueprint crm --enrol").await;
    assert_eq!(desk.ok("agent list --blueprint crm -o name").await.lines().count(), 1_005);
    assert_eq!(desk.ok("agent list --blueprint crm --limit 3 --prefix crm-0 -o name").await.lines().count(), 3);

    assert_eq!(desk.json("blueprint suspend crm --reason test").await["state"], "suspended");
    let stopped = desk.json("agent get crm-late").await;
    assert!(stopped["stopped"].as_str().unwrap().contains("its blueprint `crm` is suspended"), "{stopped}");
    assert!(desk.ok("agent list --state suspended --text late").await.starts_with("crm-late\tsuspended"));
    assert_eq!(desk.run("blueprint suspend crm").await.exit, 8);
    assert_eq!(desk.json("blueprint resume crm").await["state"], "active");
    assert_eq!(desk.json("blueprint show crm").await["epoch"], 3);
    assert_eq!(desk.run("blueprint show ghost").await.exit, 3);

    let manifest = desk.app.directory().join("manifest.json");
    let digest = |c: &str| format!("sha256:{}", c.repeat(64));
    let text = json!({"model": "one", "prompt_digest": digest("a"), "tools_digest": digest("b")});
    std::fs::write(&manifest, text.to_string()).unwrap();
    let shown = desk.json(&format!("agent manifest crm-late --file {}", manifest.display())).await;
    assert_eq!(shown["manifest"]["model"], "one");
    let approved = shown["digest"].as_str().unwrap().to_owned();
    assert_eq!(desk.json(&format!("agent manifest crm-late --approve {approved}")).await["digest"], shown["digest"]);
    assert_eq!(desk.run(&format!("agent manifest crm-late --approve {}", digest("0"))).await.exit, 8);
    assert_eq!(desk.json("blueprint manifest crm").await["digest"], json!(null));
}

#[tokio::test]
async fn the_kill_switch_and_break_glass() {
    let desk = Desk::open().await;
    desk.enrolled("bot").await;
    let preview = desk.json("kill agent bot --dry-run").await;
    assert_eq!((&preview["agents"], &preview["already"]), (&json!(1), &Value::Null));
    let unasked = desk.run("kill agent bot --reason odd").await;
    assert_eq!(unasked.exit, 2, "a script says --yes: {}", unasked.err);
    let unnamed = desk.run("kill agent --yes").await;
    assert_eq!(unnamed.exit, 2, "{}", unnamed.err);
    assert_eq!(desk.run("kill agent bto --yes").await.exit, 1, "there is no such agent");

    let done = desk.run("kill agent bot --reason odd --yes -o json").await;
    let thrown: Value = serde_json::from_str(&done.out).unwrap_or_else(|e| panic!("{e}: {}{}", done.out, done.err));
    let id = thrown["id"].as_str().unwrap();
    for said in ["record", "calls", "connections", "processes", "acknowledged after"] {
        assert!(done.err.contains(said), "{said}: {}", done.err);
    }
    let again = desk.run("kill agent bot --yes").await;
    assert!(again.exit == 0 && again.err.contains("it was contained before"), "{}", again.err);
    assert_eq!(desk.ok("containment list -o name").await.trim(), id);
    assert_eq!(desk.json(&format!("containment get {id}")).await["reason"], "odd");
    assert_eq!(desk.run(&format!("unkill {id}")).await.exit, 2, "a reason is needed");
    let lifted = desk.run(&format!("unkill {id} --reason mended")).await;
    assert!(lifted.exit == 0 && lifted.err.contains("sessions from before stay ended"), "{}", lifted.err);
    assert_eq!(desk.ok("containment list -o name").await, "");
    assert_eq!(desk.run("containment get ctm_x").await.exit, 3);
    let everything = desk.json("kill everything --reason drill --yes").await;
    assert_eq!(everything["scope"], "everything");

    desk.ok("person add mara@example.com").await;
    let glass = desk.json("break-glass open mara@example.com --reason night --minutes 5").await;
    let id = glass["id"].as_str().unwrap();
    assert!(desk.ok("finding list").await.contains(id));
    assert_eq!(desk.run("break-glass open mara@example.com --reason again").await.exit, 8);
    desk.ok(&format!("break-glass end {id}")).await;
    desk.ok(&format!("break-glass review {id} --note fine")).await;
    assert_eq!(desk.json("break-glass list").await[0]["review"], "fine");
}

#[tokio::test]
async fn people_their_accounts_and_trust_sources() {
    let issuer = "https://login.example.com";
    let builder = TestApp::builder().config(|config| {
        let provider = chancery_server::Provider { issuer: issuer.to_owned(), jwks_uri: None, tenant: None };
        config.delegation.providers = vec![provider];
    });
    let desk = Desk { app: on_real_time(builder).start().await, upstream: HttpUpstream::start().await };
    desk.ok("person add mara@example.com --display Mara").await;
    let account = format!("mara@example.com --issuer {issuer} --subject 00u1|x");
    assert_eq!(desk.json(&format!("person account add {account}")).await["subject"], "00u1|x");
    let again = desk.run(&format!("person account add {account}")).await;
    assert_eq!((again.exit, again.err.contains("C1063")), (8, true), "{}", again.err);
    let listed = desk.ok("person account list mara@example.com").await;
    assert_eq!(listed, format!("mara@example.com\t{issuer}\t00u1|x\n"));
    desk.ok(&format!("person account remove {account} --reason left")).await;
    assert_eq!(desk.ok("person account list mara@example.com").await, "");

    desk.ok("agent register mesh --sponsor m@example.com --owner l@example.com --purpose x").await;
    let subject = "spiffe://mesh.example/ns/pay/sa/mesh";
    let add = format!("trust add mesh --agent mesh --kind spiffe_x509 --subject {subject}");
    let keyless = desk.run(&add).await;
    assert!(keyless.err.contains("C1043") && keyless.err.contains("bundle endpoint"), "{}", keyless.err);
    let added = desk.json(&format!("{add} --bundle-url https://mesh.example/bundle.json")).await;
    assert_eq!((added["issuer"].as_str(), added["agent"].as_str()), (Some("spiffe://mesh.example"), Some("mesh")));
    assert!(desk.ok("trust list").await.contains(subject));
    desk.ok("trust remove mesh --reason moved").await;
}

#[tokio::test]
async fn drills_oversight_passkeys_and_proposals() {
    let two = vec!["group.create".to_owned()];
    let app = on_real_time(TestApp::builder()).config(|c| c.people.two_person = two).start().await;
    let desk = Desk { app, upstream: HttpUpstream::start().await };
    desk.enrolled("canary").await;
    let asked = desk.run("drill canary").await;
    assert_eq!((asked.exit, asked.err.contains("--yes")), (2, true), "{}", asked.err);
    let drilled = desk.json("drill canary --yes").await;
    assert_eq!(drilled["acknowledged"], true);
    let rows = desk.ok("oversight --since 1d").await;
    assert!(rows.lines().next().unwrap().contains("drill.ended\tagent canary\tdrill:local:"), "{rows}");
    let times = desk.ok("oversight --times --by day").await;
    assert!(times.contains("drill.ended\t1\t"), "{times}");
    let whole = desk.json("oversight").await;
    assert_eq!((whole["items"].as_array().unwrap().len(), &whole["times"][0]["kind"]), (4, &json!("drill.ended")));
    let entry = whole["items"][0]["entry"].as_str().unwrap();
    assert!(desk.ok(&format!("log prove {entry}")).await.starts_with("c2sp.org/tlog-proof@v1\n"));

    let (mut mara, _) = Browser::with_roles(&desk.app, "mara", &["admin"]).await;
    let listed = desk.ok("person passkey list mara -o name").await;
    assert!(listed.starts_with("pky_") && listed.lines().count() == 1, "{listed}");
    for (name, waits) in [("one", true), ("two", true)] {
        let proposed = mara.api("POST", "/v1/groups", json!({"name": name})).await;
        assert_eq!(proposed.status == 202, waits, "{}", proposed.text());
    }
    let waiting = desk.json("proposal list").await;
    let ids: Vec<&str> = waiting.as_array().unwrap().iter().map(|row| row["id"].as_str().unwrap()).collect();
    assert_eq!(
        (ids.len(), &waiting[0]["proposed_by"], &waiting[0]["body"]),
        (2, &json!("mara"), &json!(r#"{"name":"one"}"#))
    );
    assert!(desk.ok(&format!("proposal confirm {}", ids[0])).await.contains(r#""name":"one""#));
    desk.ok(&format!("proposal withdraw {}", ids[1])).await;
    assert_eq!(desk.ok("group list -o name").await, "one\n");
    assert_eq!(desk.run(&format!("proposal confirm {}", ids[1])).await.exit, 3, "it is not there any more");
    let log = desk.app.log().await;
    let confirmed = log.iter().find(|entry| entry["change"] == "confirm proposal").unwrap();
    assert!(confirmed["human"].as_str().unwrap().starts_with("local:"), "{confirmed}");

    desk.ok(&format!("person passkey remove mara {} --reason lost", listed.trim())).await;
    assert_eq!(desk.ok("person passkey list mara -o name").await, "");
    assert_eq!(mara.api("GET", "/v1/me", Value::Null).await.problem(401), "C1031", "her logins are over");
    assert_eq!(desk.run(&format!("person passkey remove mara {}", listed.trim())).await.exit, 3);
}
