use super::*;

fn places() -> Places {
    Places { data: "/var/lib/chancery".into(), kek: "/etc/chancery/kek".into(), path: None }
}

fn parse(text: &str) -> Result<Config, ConfigError> {
    Config::parse(text, Path::new("/etc/chancery/chancery.toml"), &places())
}

#[test]
fn an_empty_file_is_complete() {
    let config = parse("").unwrap();
    assert_eq!(config.listen.to_string(), "127.0.0.1:8420");
    assert_eq!(config.data, Path::new("/var/lib/chancery"));
    assert_eq!(config.policies, Path::new("/etc/chancery/policies"));
    assert_eq!(config.tokens.seconds, 300);
}

#[test]
fn an_unknown_key_is_refused_with_place_and_suggestion() {
    let error = parse("listen = \"127.0.0.1:1\"\npolcies = \"p\"\n").unwrap_err();
    assert_eq!(error.place, "/etc/chancery/chancery.toml:2:1");
    assert_eq!(error.suggestion.as_deref(), Some("did you mean `policies`?"));
}

#[test]
fn unknown_keys_deep_inside_are_refused_too() {
    let error = parse("[servers.crm]\nurl = \"http://127.0.0.1:1/mcp\"\nrecord_feilds = []\n").unwrap_err();
    assert_eq!(error.suggestion.as_deref(), Some("did you mean `record_fields`?"));
    assert!(parse("[tokens]\nsecondz = 3\n").unwrap_err().suggestion.unwrap().contains("`seconds`"));
}

#[test]
fn only_loopback_is_listened_on() {
    let error = parse("listen = \"0.0.0.0:8420\"").unwrap_err();
    assert_eq!(error.place, "listen");
    assert!(error.message.contains("0.0.0.0:8420 is not a loopback address"), "{error}");
    assert!(parse("listen = \"[::1]:8420\"").is_ok());
}

#[test]
fn the_key_does_not_lie_with_the_data() {
    let error = parse("kek = \"/var/lib/chancery/kek\"").unwrap_err();
    assert_eq!(error.place, "kek");
}

#[test]
fn a_public_url_is_https_or_local() {
    assert!(parse("public_url = \"https://chancery.example\"").is_ok());
    assert!(parse("public_url = \"http://localhost:8420\"").is_ok());
    for bad in ["http://chancery.example", "https://chancery.example/", "https://a/b", "chancery"] {
        assert_eq!(parse(&format!("public_url = \"{bad}\"")).unwrap_err().place, "public_url", "{bad}");
    }
}

#[test]
fn a_server_has_one_transport_and_a_plain_name() {
    assert!(parse("[servers.crm]\ncommand = \"crm\"\nargs = [\"--stdio\"]\n").is_ok());
    assert!(parse("[servers.crm]\n").is_err());
    assert!(parse("[servers.crm]\nurl = \"http://127.0.0.1/\"\ncommand = \"x\"\n").is_err());
    assert!(parse("[servers.\"CRM/1\"]\ncommand = \"x\"\n").is_err());
    assert!(parse("[servers.crm]\nurl = \"ftp://x\"\n").is_err());
}

#[test]
fn an_injected_value_says_where_the_secret_goes() {
    let text = "[servers.crm]\nurl = \"http://127.0.0.1/\"\ninject = {header=\"X-Key\", value=\"k\", secret=\"crm\"}\n";
    assert_eq!(parse(text).unwrap_err().place, "servers.crm.inject.value");
}

#[test]
fn lifetimes_have_limits() {
    assert!(parse("[tokens]\nseconds = 901\n").is_err());
    assert!(parse("[tokens]\nseconds = 29\n").is_err());
    assert!(parse("[tokens]\nsession_minutes = 10\nidle_minutes = 11\n").is_err());
}

#[test]
fn what_may_be_fetched_is_listed_by_host_and_port() {
    let config = parse("[fetch]\nallow = [\"127.0.0.1:9000\"]\nauthorities = \"ca.pem\"\n").unwrap();
    assert_eq!(config.fetch.allow, ["127.0.0.1:9000"]);
    assert_eq!(config.fetch.authorities.as_deref(), Some(Path::new("/etc/chancery/ca.pem")));
    for bad in ["127.0.0.1", "http://127.0.0.1:9000", "169.254.169.254:80", "*:443"] {
        assert_eq!(parse(&format!("[fetch]\nallow = [\"{bad}\"]\n")).unwrap_err().place, "fetch", "{bad}");
    }
}

#[test]
fn a_connection_stands_alone_and_has_what_its_mode_needs() {
    let server = |more: &str| parse(&format!("[servers.crm]\n{more}\n"));
    let oauth = "[servers.crm.oauth]\nmode = \"jwt_bearer\"\nclient_id = \"us\"\nassertion_file = \"token\"";
    let config = server(&format!("url = \"http://127.0.0.1/\"\n{oauth}")).unwrap();
    let file = config.servers["crm"].oauth.as_ref().unwrap().assertion_file.clone().unwrap();
    assert_eq!(file, Path::new("/etc/chancery/token"));
    let inject = "inject = {header=\"X-Key\", value=\"{secret}\", secret=\"crm\"}";
    for bad in [
        format!("url = \"http://127.0.0.1/\"\n{inject}\n{oauth}"),
        format!("command = \"x\"\n{oauth}"),
        "url = \"http://127.0.0.1/\"\n[servers.crm.oauth]\nmode = \"client_credentials\"".to_owned(),
    ] {
        assert_eq!(server(&bad).unwrap_err().place, "servers.crm.oauth", "{bad}");
    }
    let typo = server("url = \"http://127.0.0.1/\"\n[servers.crm.oauth]\nmode = \"authorization_code\"\nisuer = \"x\"");
    assert_eq!(typo.unwrap_err().suggestion.as_deref(), Some("did you mean `issuer`?"));
}

#[test]
fn only_the_tls_door_may_listen_beyond_loopback() {
    let tls = |more: &str| parse(&format!("[tls]\ncertificate = \"c.pem\"\nkey = \"k.pem\"\n{more}"));
    let read = tls("").unwrap().tls.unwrap();
    assert_eq!(read.listen.to_string(), "127.0.0.1:8443");
    assert_eq!(read.key, Path::new("/etc/chancery/k.pem"));
    assert!(tls("listen = \"192.0.2.7:443\"").is_ok());
    assert_eq!(tls("listen = \"0.0.0.0:443\"").unwrap_err().place, "tls.listen");
    assert!(tls("listen = \"0.0.0.0:443\"\npublic_url = \"https://chancery.example\"").is_ok());
    for bad in ["http://127.0.0.1:8443", "https://chancery.example/", "chancery.example"] {
        assert_eq!(tls(&format!("public_url = \"{bad}\"")).unwrap_err().place, "tls.public_url", "{bad}");
    }
    assert!(parse("[tls]\ncertificate = \"c.pem\"").is_err());
}

#[test]
fn one_user_id_is_one_agent() {
    let spiffe = |more: &str| parse(&format!("[spiffe]\ntrust_domain = \"acme.example\"\n{more}"));
    let one = "workload_socket = \"w.sock\"\n[[spiffe.workloads]]\nuid = 1\nagent = \"billing\"\n";
    let read = spiffe(one).unwrap().spiffe.unwrap();
    assert_eq!(read.workload_socket.as_deref(), Some(Path::new("/etc/chancery/w.sock")));
    assert_eq!(read.workload_socket_mode.bits(), 0o600);
    assert_eq!(spiffe("workload_socket_mode = \"0660\"").unwrap().spiffe.unwrap().workload_socket_mode.bits(), 0o660);
    assert!(spiffe("workload_socket_mode = \"0666\"").is_err());
    for bad in [
        format!("{one}[[spiffe.workloads]]\nuid = 1\nagent = \"crm\"\n"),
        one.replace("workload_socket = \"w.sock\"\n", ""),
        one.replace("billing", "../billing"),
        one.replace("billing", "billing\"\ninstance = \"a/b"),
    ] {
        assert_eq!(spiffe(&bad).unwrap_err().place, "spiffe.workloads", "{bad}");
    }
    assert_eq!(parse("[spiffe]\ntrust_domain = \"Acme\"").unwrap_err().place, "spiffe.trust_domain");
}

#[test]
fn a_database_is_named_once_and_its_address_is_never_shown() {
    let store = |text: &str| parse(&format!("[store]\n{text}"));
    let read = store("url = \"postgres://chancery:hunter2@127.0.0.1/chancery\"").unwrap();
    assert_eq!(read.database.as_ref().unwrap().expose(), "postgres://chancery:hunter2@127.0.0.1/chancery");
    assert!(!format!("{read:?}").contains("hunter2"));
    assert!(parse("").unwrap().database.is_none());
    for bad in ["url = \"mysql://x:hunter2@y\"", "url = \"postgres://x\"\nurl_file = \"f\"", "url_file = \"/nowhere\""]
    {
        let refused = store(bad).unwrap_err();
        assert!(refused.place.starts_with("store") && !refused.to_string().contains("hunter2"), "{refused}");
    }
    let node = parse("[node]\nname = \"b\"\nrole = \"gateway\"\njoin_file = \"join\"").unwrap().node;
    assert_eq!((node.role, node.join_file.as_deref()), (Role::Gateway, Some(Path::new("/etc/chancery/join"))));
    assert!(parse("[node]\nrole = \"king\"").is_err());
}

#[test]
fn people_come_by_a_name() {
    for good in ["https://id.example", "https://id.example:8443", "http://localhost:8420"] {
        assert!(parse(&format!("[people]\nurl = \"{good}\"\n")).is_ok(), "{good}");
    }
    for bad in
        ["http://127.0.0.1:8420", "https://192.0.2.7", "https://[2001:db8::1]", "http://id.example", "id.example"]
    {
        assert_eq!(parse(&format!("[people]\nurl = \"{bad}\"\n")).unwrap_err().place, "people.url", "{bad}");
    }
}

#[test]
fn people_have_one_address() {
    let url = |text: &str| parse(text).unwrap().people_url(8420);
    let tls = "[tls]\ncertificate = \"c\"\nkey = \"k\"\n";
    assert_eq!(url(""), "http://localhost:8420");
    assert_eq!(url("public_url = \"http://127.0.0.1:9000\"\n"), "http://localhost:8420");
    assert_eq!(url("public_url = \"https://id.example\"\n"), "https://id.example");
    assert_eq!(url(tls), "http://localhost:8420");
    assert_eq!(url(&format!("{tls}public_url = \"https://id.example:8443\"\n")), "https://id.example:8443");
    let both = format!("public_url = \"https://id.example\"\n[people]\nurl = \"https://people.example\"\n{tls}");
    assert_eq!(url(&both), "https://people.example");
}

#[test]
fn channels_and_triggers_are_told_apart_and_checked() {
    let channel = "[[channel]]\nname = \"pager\"\nkind = \"webhook\"\nurl = \"https://a.example/x\"\nevents = [\"containment.*\"]\n";
    let config = parse(&format!("{channel}secret_file = \"s\"\n")).unwrap();
    assert_eq!(config.channels[0].secret_file.as_deref(), Some(Path::new("/etc/chancery/s")));
    assert_eq!(config.automatic_containments, 10);
    let secret = format!("{channel}secret = \"s\"\n");
    for (bad, place) in [
        (channel.to_owned(), "channel.secret"),
        (format!("{secret}{secret}"), "channel.name"),
        (secret.replace("containment.*", "kontainment.*"), "channel.events"),
        (secret.replace("https://a.example/x", "http://127.0.0.1:1/x"), "channel.url"),
        ("[[trigger]]\nname = \"a\"\nwhen = {}\n".to_owned(), "trigger.when"),
    ] {
        assert_eq!(parse(&bad).unwrap_err().place, place, "{bad}");
    }
    let trigger = "[[trigger]]\nname = \"a\"\nwhen = { refusals = 3, within = \"1m\" }\n";
    assert_eq!(parse(trigger).unwrap().triggers.len(), 1);
    assert_eq!(parse(&format!("{trigger}{trigger}")).unwrap_err().place, "trigger.name");
    let typo = parse(&trigger.replace("refusals", "refusal")).unwrap_err();
    assert_eq!(typo.suggestion.as_deref(), Some("did you mean `refusals`?"));
    assert!(parse(&format!("{trigger}contain = \"everything\"\n")).is_err());
}
